"""The laws of working in batches."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.gather import Gatherer
from tests.support.polling import until


class BadItem(Exception):
    """The work fails because of what one item is."""


class Away(Exception):
    """The work fails whatever the items are."""


class Doubling:
    """Doubles numbers and remembers in which batches they came. While the ``gate`` is shut it is busy."""

    def __init__(self, poison: frozenset[int] = frozenset()) -> None:
        self.poison = poison
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.poison.intersection(items):
            raise BadItem
        return [2 * item for item in items]

    @property
    def worked_on(self) -> list[int]:
        return sorted(item for batch in self.batches for item in batch)


def is_bad_item(error: Exception) -> bool:
    return isinstance(error, BadItem)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


async def outcome(gatherer: Gatherer[int, int], item: int) -> int | str:
    """What becomes of an item: its result, or the name of the error."""
    try:
        return await gatherer.hand_in(item)
    except (BadItem, Away, asyncio.CancelledError) as error:
        return type(error).__name__


@given(st.lists(st.integers(), max_size=60), st.integers(1, 20))
def test_everybody_gets_the_result_of_their_own_item_in_batches_of_bounded_size(items: list[int], most: int) -> None:
    async def story() -> None:
        doubling = Doubling()
        async with Gatherer(doubling, most=most).running() as gatherer:
            results = await asyncio.gather(*(gatherer.hand_in(item) for item in items))
        assert results == [2 * item for item in items]
        assert [item for batch in doubling.batches for item in batch] == items, "in the order of handing in"
        assert all(1 <= len(batch) <= most for batch in doubling.batches)

    run(story())


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.integers(1, 40))
def test_only_those_who_handed_in_a_bad_item_hear_of_it(count: int, poison: set[int], most: int) -> None:
    async def story() -> None:
        doubling = Doubling(frozenset(poison))
        async with Gatherer(doubling, most=most, divides=is_bad_item).running() as gatherer:
            results = await asyncio.gather(*(outcome(gatherer, item) for item in range(count)))
        assert results == ["BadItem" if item in poison else 2 * item for item in range(count)]

    run(story())


async def test_finding_one_bad_item_among_many_takes_few_tries() -> None:
    doubling = Doubling(frozenset({321}))
    async with Gatherer(doubling, divides=is_bad_item).running() as gatherer:
        await asyncio.gather(*(outcome(gatherer, item) for item in range(500)))
    assert len(doubling.batches) <= 2 * 9 + 1  # two halves on each of the nine levels


async def test_an_error_that_is_no_items_fault_goes_to_the_whole_batch_and_the_next_one_is_fine() -> None:
    away = [True]

    async def work(items: Sequence[int]) -> Sequence[int]:
        if away.pop() if away else False:
            raise Away
        return items

    async with Gatherer(work, divides=is_bad_item).running() as gatherer:
        assert await asyncio.gather(*(outcome(gatherer, item) for item in range(3))) == ["Away"] * 3
        assert await outcome(gatherer, 7) == 7


async def test_what_comes_while_the_work_is_busy_makes_the_next_batch_and_a_lone_item_waits_for_nobody() -> None:
    doubling = Doubling()
    async with Gatherer(doubling).running() as gatherer:
        doubling.gate.clear()
        first = asyncio.create_task(gatherer.hand_in(1))
        await until(lambda: doubling.batches == [[1]])
        others = [asyncio.create_task(gatherer.hand_in(item)) for item in (2, 3, 4)]
        await asyncio.sleep(0)
        doubling.gate.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert doubling.batches == [[1], [2, 3, 4]]


async def test_what_was_handed_in_before_closing_is_still_worked_on() -> None:
    doubling = Doubling()
    async with Gatherer(doubling, most=2).running() as gatherer:
        waiting = [asyncio.create_task(gatherer.hand_in(item)) for item in range(9)]
        await asyncio.sleep(0)  # handed in, and nothing of it done yet
    assert doubling.worked_on == list(range(9))
    assert [task.result() for task in waiting] == [2 * item for item in range(9)]


async def test_work_that_never_ends_does_not_keep_the_house_from_closing() -> None:
    doubling = Doubling()
    doubling.gate.clear()
    gatherer = Gatherer(doubling, most=1)
    async with gatherer.running(grace_s=0.01):
        waiting = [asyncio.create_task(outcome(gatherer, item)) for item in range(3)]
        await until(lambda: bool(doubling.batches))
    assert await asyncio.gather(*waiting) == ["CancelledError"] * 3


async def test_when_the_block_is_left_by_an_exception_nobody_waits_for_ever() -> None:
    doubling = Doubling()
    doubling.gate.clear()
    gatherer = Gatherer(doubling, most=1)
    waiting: list[asyncio.Task[int | str]] = []

    async def story() -> None:
        async with gatherer.running():
            waiting.extend(asyncio.create_task(outcome(gatherer, item)) for item in range(3))
            await until(lambda: bool(doubling.batches))
            raise Away

    with pytest.raises(Away):
        await story()
    assert await asyncio.gather(*waiting) == ["CancelledError"] * 3


async def test_whoever_comes_after_closing_is_told_so() -> None:
    async with Gatherer(Doubling()).running() as gatherer:
        pass
    with pytest.raises(RuntimeError, match="after closing"):
        await gatherer.hand_in(1)


async def test_who_gives_up_waiting_disturbs_no_neighbour_and_the_work_is_done_all_the_same() -> None:
    doubling = Doubling()
    async with Gatherer(doubling).running() as gatherer:
        doubling.gate.clear()
        tasks = [asyncio.create_task(gatherer.hand_in(item)) for item in range(3)]
        await until(lambda: bool(doubling.batches))
        tasks[1].cancel()
        doubling.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert (results[0], results[2]) == (0, 4)
    assert isinstance(results[1], asyncio.CancelledError)
    assert doubling.worked_on == [0, 1, 2]


async def test_work_that_forgets_a_result_leaves_nobody_waiting() -> None:
    async def forgetful(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    async with Gatherer(forgetful).running() as gatherer:
        assert await asyncio.gather(*(outcome(gatherer, item) for item in range(3))) == [1, 2, "CancelledError"]
