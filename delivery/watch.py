"""Watching how long requests are under way, as this process lives through it.

While the process itself is held up, by its own work or by its neighbours on the machine, answers lie unread and no
receiver is to blame. So a watch does not look at a clock: it counts beats, and of beats that were missed only one.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from delivery.tempo import SLOW_S, Tempo

_BEATS = 8
_BEAT_S = SLOW_S / _BEATS


class Watch:
    """Over one delivery's requests while its block is open; calls ``on_slow`` once they have taken ``SLOW_S``."""

    def __init__(self, on_slow: Callable[[], None]) -> None:
        self._on_slow = on_slow
        self._begun = False
        self._left = _BEATS
        self._next: asyncio.TimerHandle | None = None

    @property
    def tempo(self) -> Tempo | None:
        """What was learnt of the endpoint; None: no request was made."""
        if not self._begun:
            return None
        return "quick" if self._left else "slow"

    def __enter__(self) -> Self:
        self._begun = True
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next is not None:
            self._next.cancel()

    def _wait(self) -> None:
        self._next = asyncio.get_running_loop().call_later(_BEAT_S, self._beat)

    def _beat(self) -> None:
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self._next = None
            self._on_slow()
