"""One simulated process of the service: the real composition root, on a clock, a store and a wire of the simulation."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, TypeVar

from delivery.destinations.webhook import WebhookDestination
from delivery.domain.guard import EgressPolicy
from delivery.ports import Surroundings
from service.jobs import Job, _guarded, jobs
from service.runtime import Outside, Runtime, at_work
from service.settings import ROLES, Settings
from tests.simulation.database import Database, put_back, take_store
from tests.simulation.loop import LIFE, Life
from tests.simulation.wire import Call, Door, Wire

T = TypeVar("T")

MASTER_KEYS = "k1:" + "A" * 43 + "="

EPOCH = datetime(2026, 1, 1, 12, tzinfo=UTC)

#: For how long a clock job is let off at the most while nothing happens.
_LONGEST_LEAVE_S = 7200.0


class Watch:
    """A machine's clock: it shows the loop's time, more or less, and can be set."""

    def __init__(self, skew_s: float) -> None:
        self.skew_s = skew_s

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() + self.skew_s)


class Calm:
    """Knows whether a clock job could find anything to do: most of eleven hours nothing happens at all."""

    def __init__(self) -> None:
        self.next_wake: datetime | None = None
        self.stranded = False
        self.replaying = False
        self._stirred = asyncio.Event()

    def stir(self, next_wake: datetime | None, *, stranded: bool, replaying: bool) -> None:
        """Note a commit, and what there is to do since."""
        self.next_wake, self.stranded, self.replaying = next_wake, stranded, replaying
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def until(self, worthwhile: Callable[[], bool], watch: Watch) -> None:
        """Wait until it is worthwhile, and never for too long: what was overlooked here must not be left undone."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LONGEST_LEAVE_S
        while not worthwhile() and loop.time() < latest:
            due_in = (self.next_wake - watch.now()).total_seconds() if self.next_wake else _LONGEST_LEAVE_S
            wait_s = min(due_in if due_in > 0 else _LONGEST_LEAVE_S, latest - loop.time())
            try:
                async with asyncio.timeout(wait_s):
                    await self._stirred.wait()
            except TimeoutError:  # something is due, or it was long enough
                continue


class Process:
    """A process, from its start to its end: by being stopped, or by dying at any step."""

    def __init__(self, name: str, settings: Settings, watch: Watch, luck: Random, database: Database) -> None:
        self.name = name
        self.settings = settings
        self.watch = watch
        self.life = Life(name)
        self.luck = luck
        self.runtime: Runtime | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failed: BaseException | None = None
        self.stopped_at: float | None = None
        self.ended_at: float | None = None
        self._database = database
        self._stopping = asyncio.Event()
        self._context = contextvars.copy_context()
        self._context.run(LIFE.set, self.life)
        self._jobs_at_work: set[asyncio.Event] = set()
        self._store = take_store()

    @property
    def serving(self) -> bool:
        """Whether it can be asked anything."""
        return self.runtime is not None and not self.over.done() and not self._stopping.is_set()

    @property
    def places(self) -> int:
        """Places that are taken in its memory."""
        return self.runtime.courier._lanes.places if self.runtime is not None else 0

    def start(self, door: Door, on_call: Callable[[Call], None], calm: Calm) -> None:
        """Start it."""
        around = Surroundings(self.watch, self.luck, self.luck.randbytes)
        policy = EgressPolicy()
        wire: Any = Wire(self.life, self.watch, self.luck, door, on_call)
        webhook = WebhookDestination(wire, policy, attempt_timeout=self.settings.attempt_timeout)
        grace_s = self.settings.grace_period
        outside = Outside(self.name, around, self._store, policy, wire, {"webhook": webhook}, grace_s)
        self._begin(self._live(outside, calm)).add_done_callback(self._note_end)

    def stop(self) -> None:
        """Send it SIGTERM."""
        if self.stopped_at is None:
            self.stopped_at = asyncio.get_running_loop().time()
        self._stopping.set()

    def die(self) -> None:
        """Let it be gone: from now on nothing of it reaches anybody."""
        self._database.abandon(self.life)
        self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.ended_at = asyncio.get_running_loop().time()
            self.over.set_result(None)

    async def ask(self, work: Callable[[Runtime], Awaitable[T]], within_s: float = 30.0) -> T:
        """Let it do something for somebody outside.

        Raises:
            GoneError: it ended meanwhile, or did not answer in time; it may have been done.
        """
        runtime = self.runtime
        if not self.serving or runtime is None:
            raise GoneError
        asked = self._begin(_awaited(work, runtime))
        await asyncio.wait((asked, self.over), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done() or asked.cancelled():  # a handler goes on though nobody waits for its answer
            raise GoneError
        return asked.result()

    async def bury(self) -> None:
        """Take its remains away, when everything was looked at."""
        self._database.abandon(self.life)
        for task in self.life.tasks:
            if task.done() and not task.cancelled():
                task.exception()
        await asyncio.gather(*(task for task in self.life.tasks if not task.done()), return_exceptions=True)
        await put_back(self._store)

    def _begin(self, work: Awaitable[T]) -> "asyncio.Task[T]":
        coroutine: Any = work
        return asyncio.get_running_loop().create_task(coroutine, context=self._context.copy())

    def _note_end(self, living: "asyncio.Task[None]") -> None:
        if not living.cancelled():
            self.failed = living.exception()
        self._end()

    async def _live(self, outside: Outside, calm: Calm) -> None:
        async with at_work(self.settings, ROLES, outside) as runtime:
            self.runtime = runtime
            ticking = [asyncio.create_task(self._tick(job, calm)) for job in jobs(runtime)]
            await self._stopping.wait()
            await self._end_jobs(ticking)
        self._database.abandon(self.life)

    async def _tick(self, job: Job, calm: Calm) -> None:
        run = _guarded(job, self._jobs_at_work)
        while not self._stopping.is_set():
            await asyncio.sleep(job.every_s)
            await calm.until(partial(self._worthwhile, job, calm), self.watch)
            await run()

    def _worthwhile(self, job: Job, calm: Calm) -> bool:
        """Whether a job could find something to do."""
        match job.name:
            case "sweep":
                return calm.next_wake is not None and calm.next_wake <= self.watch.now()
            case "renew leases":
                return self.places > 0
            case "cancel stranded":
                return calm.stranded
            case "replay":
                return calm.replaying
        return False

    async def _end_jobs(self, ticking: "list[asyncio.Task[None]]") -> None:
        """As ``service.jobs.ticking`` does: who is at work may finish, within the grace period."""
        for ended in list(self._jobs_at_work):
            try:
                async with asyncio.timeout(self.settings.grace_period):
                    await ended.wait()
            except TimeoutError:  # it is cut off
                break
        for task in ticking:
            task.cancel()
        await asyncio.gather(*ticking, return_exceptions=True)


class GoneError(Exception):
    """The process that was asked is no more."""


async def _awaited(work: Callable[[Runtime], Awaitable[T]], runtime: Runtime) -> T:
    return await work(runtime)
