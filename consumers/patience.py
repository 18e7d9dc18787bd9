"""What to do when the database says no: wait where waiting helps, and find the culprit where it does not."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from consumers.health import Board
from delivery.store.engine import is_database_fault

T = TypeVar("T")
R = TypeVar("R")

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0


class Abandoned(Exception):
    """Waiting was called off. What was waited for is not settled, and whoever handed it in still has it."""


def pauses() -> Iterator[float]:
    """Seconds to wait before each new try, without end.

    >>> from itertools import islice
    >>> list(islice(pauses(), 8))
    [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    """
    pause = _FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE_S)


async def called_off(until: asyncio.Event, seconds: float) -> bool:
    """Wait; True as soon as the event is set, False when the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:  # the ordinary end of a pause
        return False
    return True


async def outlast(work: Callable[[], Awaitable[R]], board: Board, name: str, until: asyncio.Event) -> R:
    """Do work, again and again for as long as the database is away.

    Raises:
        Abandoned: ``until`` was set while the database was away.
    """
    for pause in pauses():
        try:
            result = await work()
        except Exception as error:
            if not is_database_fault(error):
                raise
            board.trouble("database", f"the database is away: {_plainly(error)}", name)
        else:
            board.clear("database", name)
            return result
        if await called_off(until, pause):
            break
    raise Abandoned


async def divided(
    work: Callable[[Sequence[T]], Awaitable[list[R]]], items: Sequence[T], spoilt: Callable[[Exception], R]
) -> list[R]:
    """Do work on many at once; where that fails because of what they are, on halves, until the culprit stands alone.

    Returns one result per item, in order; the culprit's is what ``spoilt`` makes of the error. Work must bear being
    done again on items that it was already done on.
    """
    try:
        return await work(items)
    except Exception as error:
        if is_database_fault(error):
            raise
        if len(items) == 1:
            return [spoilt(error)]
    middle = len(items) // 2
    return await divided(work, items[:middle], spoilt) + await divided(work, items[middle:], spoilt)


def _plainly(error: Exception) -> str:
    """What the driver says, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}"[:300]
