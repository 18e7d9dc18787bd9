"""The embedded service on a file that somebody else has locked, and on a full disk."""

import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.house import TOGETHER, House, open_house
from tests.faults.load import Load
from tests.faults.reckoning import reckon
from tests.faults.table import EMBEDDED, enter, fault
from tests.support.polling import until

pytestmark = pytest.mark.slow

ROOM_BYTES = 512 * 1024
ENDLESS = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Everything in one process."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'hookline.db'}"
    async with open_house(tmp_path, TOGETHER, DATABASE_URL=url) as opened:
        yield opened


async def until_refused(house: House, load: Load) -> None:
    """Wait until publishers are told to come again, and probes that the service accepts nothing."""
    await until(lambda: bool(load.refusals), within_s=60)
    assert {(refusal.status, refusal.code) for refusal in load.refusals} == {(503, "unavailable")}
    assert "The database is away; nothing was changed" in str(load.refusals[0])
    await house.until_it_says("api", "accepts nothing")


@fault("SQLite file locked by another process", EMBEDDED)
async def test_a_file_that_is_locked_for_longer_than_anybody_waits_costs_nothing(
    house: House, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with house.loaded() as load:
        with closing(sqlite3.connect(tmp_path / "hookline.db", isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            await until_refused(house, load)
        await house.until_all_are_ready()
        await load.goes_on()
    enter(request, await reckon(house, load))


def _largest(folder: Path) -> int:
    """The size of the largest file: database or write-ahead log."""
    return max(file.stat().st_size for file in folder.iterdir())


@fault("SQLite disk full", EMBEDDED)
async def test_a_full_disk_refuses_what_comes_and_loses_nothing(
    house: House, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pid = house.api.process.pid
    async with house.loaded(padding="x" * 4_000) as load:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_largest(tmp_path) + ROOM_BYTES, resource.RLIM_INFINITY))
        await until_refused(house, load)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, ENDLESS)
        await house.until_all_are_ready()
        await load.goes_on()
    enter(request, await reckon(house, load))
