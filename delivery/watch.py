"""Watching how long requests are under way, as this process lives through it.

While the process itself is held up, by its own work or by its neighbours on the machine, answers lie unread and no
receiver is to blame. So a watch looks at the clock in short steps, and of a step that took much longer than it should
counts only a part: a process that is merely busy still sees who is slow.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from delivery.domain.model import Tempo
from delivery.tempo import SLOW_S

_STEP_S = SLOW_S / 8

#: As much of a step is counted, however long it took.
_LONGEST_STEP_S = 2 * _STEP_S


class Watch:
    """Over one delivery's requests while its block is open; calls ``on_slow`` once they have taken ``SLOW_S``."""

    def __init__(self, on_slow: Callable[[], None]) -> None:
        self._on_slow = on_slow
        self._lived_s = 0.0
        self._looked_at: float | None = None
        self._next: asyncio.TimerHandle | None = None

    @property
    def tempo(self) -> Tempo | None:
        """What was learnt of the endpoint; None: no request was made."""
        if self._looked_at is None:
            return None
        return "slow" if self._lived_s >= SLOW_S else "quick"

    def __enter__(self) -> Self:
        self._looked_at = asyncio.get_running_loop().time()
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next is not None:
            self._next.cancel()
            self._count()

    def _wait(self) -> None:
        self._next = asyncio.get_running_loop().call_later(_STEP_S, self._look)

    def _look(self) -> None:
        self._count()
        if self._lived_s < SLOW_S:
            self._wait()
        else:
            self._next = None
            self._on_slow()

    def _count(self) -> None:
        assert self._looked_at is not None
        now = asyncio.get_running_loop().time()
        self._lived_s += min(now - self._looked_at, _LONGEST_STEP_S)
        self._looked_at = now
