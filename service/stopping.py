"""How a program is asked to stop: by a signal, or by the end of whoever started it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Whoever comes to its end late still has this long for its last step, and all of them together have this long.
_LAST_STEP_S = 0.5
_LAST_STEPS_S = 3.0


class Grace:
    """How long the end may take: one time for all that has to end, one after the other, and not one for each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = float(seconds)
        self._ends: float | None = None

    def begin(self) -> None:
        """Let the time run from now on."""
        self._ends = time.monotonic() + self._seconds

    def __float__(self) -> float:
        """Return the seconds that are left."""
        left = self._seconds if self._ends is None else self._ends - time.monotonic()
        return max(left, min(_LAST_STEP_S, left + _LAST_STEPS_S), 0.0)


@asynccontextmanager
async def stopping(*, ends_with_parent: bool = False) -> AsyncIterator[asyncio.Event]:
    """Give an event that the first SIGTERM or SIGINT sets; a second one ends the process at once.

    With ``ends_with_parent`` the end of standard input sets it, too. That is a pipe which only the parent holds, so a
    parent that is killed leaves no children behind.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    standard_input = sys.stdin.fileno() if ends_with_parent else None

    def ignore_from_now_on() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if standard_input is not None:
            loop.remove_reader(standard_input)

    def ask() -> None:
        stop.set()
        ignore_from_now_on()

    def listen() -> None:
        if standard_input is not None and not os.read(standard_input, 1024):
            ask()

    for number in _SIGNALS:
        loop.add_signal_handler(number, ask)
    if standard_input is not None:
        loop.add_reader(standard_input, listen)
    try:
        yield stop
    finally:
        ignore_from_now_on()


async def until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do the work; False: it was called off before it ended."""
    working, called_off = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, called_off}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        working.cancel()
        called_off.cancel()
        await asyncio.gather(working, called_off, return_exceptions=True)


async def until_stopped(work: Coroutine[None, None, None]) -> None:
    """Do the work until it ends or a signal asks to stop, which is no failure."""
    async with stopping() as stop:
        await until(stop, work)
