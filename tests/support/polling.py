"""Waiting for what will happen soon, without guessing how soon."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_PAUSE_S = 0.005


async def until(
    condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = 45, every_s: float = _PAUSE_S
) -> None:
    """Look again and again until the condition holds; fail, and show the condition, if it never does."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await _holds(condition):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"still not after {within_s} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(every_s)


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    found = condition()
    return found if isinstance(found, bool) else await found
