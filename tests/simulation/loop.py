"""An event loop in which no time passes but the one that is waited for.

Nothing is read or written and nobody sleeps: where everything waits for a timer, the clock jumps to it. Callbacks that
are ready together run in an order that the seed chooses. Each belongs to a *life*, a simulated process or the world
around them, and a life can be stilled between any two of its steps: from then on nothing of it runs.
"""

import asyncio
import heapq
from asyncio import base_events
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any

#: More steps than any run takes: something goes round in circles.
_MOST_STEPS = 250_000


class StandstillError(Exception):
    """Everybody waits for somebody, and no timer runs."""


class Life:
    """Whoever steps belong to. It ends when told to, or when a fuse has burnt down: so many steps, or so many points.

    A point is where something outside is about to be touched or has just answered: the store, the wire, the broker.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stilled = False
        self.steps_left: int | None = None
        self.points_left: int | None = None
        self.on_end: Callable[[], None] = lambda: None
        self.left_over: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def end(self) -> None:
        """Still it, here and now: nothing that it has begun goes on."""
        if not self.stilled:
            self.stilled = True
            self.steps_left = self.points_left = None
            self.on_end()

    def step(self) -> bool:
        """Take a step; False: there is none any more."""
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.end()
        return not self.stilled

    async def point(self) -> None:
        """Pass a point, or end there."""
        if self.points_left is not None:
            self.points_left -= 1
            if self.points_left <= 0:
                self.end()
                await asyncio.get_running_loop().create_future()


#: Whose step this is; None: the world's.
LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


class NumberedTask(asyncio.Task[Any]):
    """A task with a place of its own in every set, the same in every run: by address they would differ."""

    def __init__(self, *arguments: Any, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(base_events.BaseEventLoop):
    """A loop with a time of its own. ``shuffles``: what is ready together runs in any order."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, luck: Random, *, shuffles: bool) -> None:
        super().__init__()
        self.steps = 0
        self._now = 0.0
        self._luck = luck
        self._shuffles = shuffles
        self._made = 0
        self.broken: list[str] = []
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Seconds since the beginning of this world."""
        return self._now

    def _run_once(self) -> None:
        if not self._ready:
            self._let_time_pass()
        batch = list(self._ready)
        self._ready.clear()
        if self._shuffles and len(batch) > 1:
            self._luck.shuffle(batch)
        for handle in batch:
            if not handle.cancelled():
                self._step(handle)

    def _let_time_pass(self) -> None:
        """Go to the next timer, and make ready what it and all others of that moment wait to do."""
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)
        if not self._scheduled:
            waiting = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise StandstillError(f"nothing is ready and no timer runs; these wait: {', '.join(waiting)}")
        self._now = max(self._now, self._scheduled[0].when())
        while self._scheduled and self._scheduled[0].when() <= self._now:
            self._ready.append(heapq.heappop(self._scheduled))

    def _step(self, handle: asyncio.Handle) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise StandstillError(f"{_MOST_STEPS} steps and no end: {handle}")
        life = handle._context.get(LIFE)  # type: ignore[attr-defined]
        if life is None or life.step():
            handle._run()
        else:
            life.left_over.append(handle)

    def bury(self, life: Life) -> None:
        """Let the tasks of a stilled life come to their ends, after everything was looked at: by being cancelled."""
        life.stilled = False
        life.steps_left = life.points_left = None
        self._ready.extend(life.left_over)
        life.left_over.clear()
        for task in life.tasks:
            task.cancel()

    def _make_task(self, _: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        self._made += 1
        task = NumberedTask(work, loop=self, number=self._made, **options)
        context = options.get("context")
        life = context.get(LIFE) if context is not None else LIFE.get()
        if life is not None:
            life.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note a callback that broke, as a timer's may: nobody waits for it, and nobody else would see."""
        if "handle" in context:
            self.broken.append(f"{context['handle']}: {context.get('exception')!r}")
        super().call_exception_handler(context)

    def _process_events(self, events: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""
