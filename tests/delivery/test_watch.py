"""Who is slow: the receiver, and not the process that was held up itself."""

import asyncio
import time

import pytest

from delivery import watch
from delivery.watch import Watch
from tests.support.polling import until


@pytest.fixture(autouse=True)
def in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a second otherwise is some hundredths of one."""
    monkeypatch.setattr(watch, "SLOW_S", 0.04)
    monkeypatch.setattr(watch, "_STEP_S", 0.005)
    monkeypatch.setattr(watch, "_LONGEST_STEP_S", 0.01)


async def test_a_request_that_goes_on_is_slow_before_it_is_over() -> None:
    told: list[str] = []
    with Watch(lambda: told.append("slow")) as watching:
        await until(lambda: bool(told))
        assert watching.tempo == "slow"
    assert (told, watching.tempo) == (["slow"], "slow")


async def test_a_request_that_is_soon_over_is_quick() -> None:
    with Watch(lambda: None) as watching:
        await asyncio.sleep(0)
    assert watching.tempo == "quick"


async def test_a_process_that_was_held_up_blames_nobody() -> None:
    told: list[str] = []
    with Watch(lambda: told.append("slow")) as watching:
        time.sleep(0.1)  # noqa: ASYNC251 - the event loop is held up: that is the point
        await asyncio.sleep(0)
    assert (told, watching.tempo) == ([], "quick")


async def test_a_process_that_is_merely_busy_sees_who_is_slow() -> None:
    told: list[str] = []
    with Watch(lambda: told.append("slow")):
        for _ in range(200):
            time.sleep(0.009)  # noqa: ASYNC251 - busy all the time, and never for long
            await asyncio.sleep(0)
            if told:
                break
        assert told == ["slow"]


async def test_where_no_request_was_made_nothing_was_learnt() -> None:
    assert Watch(lambda: None).tempo is None
