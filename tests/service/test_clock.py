"""What time it is: where several processes share a database, it says."""

import asyncio
import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from delivery.store.engine import time_of
from service.clock import SharedClock, SystemClock, clock_of
from service.jobs import Every
from service.stopping import Grace
from tests.support.stores import opened

A_LITTLE = timedelta(seconds=5)


@pytest.fixture
def _wrong_by_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine's clock be wrong."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(hours=7)

    monkeypatch.setattr("service.clock.datetime", Wrong)


@pytest.mark.usefixtures("_wrong_by_hours")
async def test_the_databases_clock_is_everybodys(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        clock = await clock_of(store)
        async with store.reading() as tx:
            assert abs(clock.now() - await time_of(tx)) < A_LITTLE


async def test_a_clock_goes_on_while_the_database_is_away() -> None:
    async with opened("postgresql+asyncpg://nobody@127.0.0.1:1/none") as store:
        clock = SharedClock(store)
        before = clock.now()
        await clock.look()
        await asyncio.sleep(0.01)
        assert before < clock.now() < before + A_LITTLE


async def test_on_a_file_the_machine_tells_the_time(sqlite_url: str) -> None:
    async with opened(sqlite_url) as store:
        assert isinstance(await clock_of(store), SystemClock)


async def test_a_clock_that_is_set_forward_by_years_makes_a_job_run_once() -> None:
    runs: list[int] = []
    scheduler = AsyncIOScheduler()
    job = scheduler.add_job(lambda: runs.append(1), Every(3600), misfire_grace_time=None, coalesce=True)
    scheduler.start()
    in_years = datetime.now(UTC) + timedelta(days=365 * 50)
    began = time.monotonic()
    assert len(job._get_run_times(in_years)) == 1
    assert time.monotonic() - began < 5
    scheduler.shutdown(wait=False)


def test_one_grace_period_is_for_all_who_have_to_end() -> None:
    grace = Grace(100)
    assert float(grace) == 100, "as long as nobody has asked to stop"
    grace.begin()
    first = float(grace)
    assert float(grace) <= first <= 100
    over = Grace(0)
    over.begin()
    assert 0 < float(over) < 1, "a moment for the last step"
    long_over = Grace(-60)
    long_over.begin()
    assert float(long_over) == 0
