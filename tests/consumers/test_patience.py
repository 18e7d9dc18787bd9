"""Waiting where it helps, and finding the culprit where it does not."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.health import Board
from consumers.patience import Abandoned, divided, outlast


class Refusing:
    """Work that fails whenever a culprit is among its items, and remembers what it has done."""

    def __init__(self, culprits: set[int]) -> None:
        self._culprits = culprits
        self.done: list[int] = []

    async def work(self, items: Sequence[int]) -> list[str]:
        if self._culprits & set(items):
            raise ValueError("one of them")
        self.done += items
        return [f"did {item}" for item in items]


@given(st.sets(st.integers(0, 40)), st.integers(1, 41))
def test_culprits_are_found_and_nobody_else_suffers(culprits: set[int], count: int) -> None:
    refusing = Refusing(culprits)
    found = asyncio.run(divided(refusing.work, range(count), lambda error: f"spoilt: {error}"))
    assert found == ["spoilt: one of them" if item in culprits else f"did {item}" for item in range(count)]
    assert refusing.done == [item for item in range(count) if item not in culprits]


async def test_a_database_that_is_away_is_no_culprit() -> None:
    async def work(_: Sequence[int]) -> list[None]:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await divided(work, [1, 2], lambda _: None)


async def test_an_outage_is_outlasted_and_told_once() -> None:
    answers = iter([OSError("away"), TimeoutError("slow"), None])
    board = Board()
    seen: list[bool] = []

    async def work() -> str:
        seen.append(all(one.up for one in board.view()))
        fault = next(answers)
        if fault:
            raise fault
        return "done"

    assert await outlast(work, board, "annotation", asyncio.Event()) == "done"
    assert seen == [True, False, False]
    assert all(one.up for one in board.view())


async def test_waiting_can_be_called_off() -> None:
    async def work() -> None:
        raise OSError("away")

    until = asyncio.Event()
    until.set()
    with pytest.raises(Abandoned):
        await outlast(work, Board(), "annotation", until)


async def test_a_mistake_is_not_waited_out() -> None:
    async def work() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await outlast(work, Board(), "annotation", asyncio.Event())
