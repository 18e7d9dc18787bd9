"""Every clock job on one page.

Each is safe to run in any number of processes at once: what makes it so is in the statements, not here. Nothing that a
customer waits for hangs on a tick, except what is due by the clock anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from delivery.store.engine import is_database_fault
from delivery.telemetry import warn
from service.clock import SharedClock
from service.settings import Role

if TYPE_CHECKING:
    from service.runtime import Runtime


#: How often the machine's clock is looked at.
_GLANCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One job: which role runs it, every one where it is None, and how often."""

    name: str
    role: Role | None
    every_s: float
    run: Callable[[], Awaitable[Any]]


def jobs(runtime: "Runtime") -> list[Job]:
    """The jobs of a runtime, whatever its roles."""
    sweep, keeping = runtime.sweep, runtime.housekeeping
    clock = runtime.around.clock
    return [
        *([Job("look at the clock", None, 10, clock.look)] if isinstance(clock, SharedClock) else []),
        Job("sweep", "worker", 1, sweep.run),
        Job("renew leases", "worker", 5, sweep.renew),
        Job("replay", "scheduler", 1, runtime.replays.run),
        Job("poll sources", "scheduler", 1, runtime.polling.run),
        Job("fold statistics", "scheduler", 2, runtime.statistics.fold),
        Job("cancel stranded", "scheduler", 5, keeping.cancel_stranded),
        Job("disable failing", "scheduler", 60, keeping.disable_failing),
        Job("prune", "scheduler", 3600, keeping.prune),
        Job("prune statistics", "scheduler", 3600, runtime.statistics.prune),
        Job("prune logins", "scheduler", 3600, runtime.auth.logins.prune),
        Job("measure backlog", "api", 5, keeping.measure),
        Job("note key use", "api", 10, runtime.auth.note_key_use),
    ]


class Every(BaseTrigger):  # type: ignore[misc] # the library ships no types
    """So many seconds after the time before, however much the machine's clock was set forward since.

    The library's own trigger would catch up on every single tick between the two.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """Return when to run next."""
        return now + self._interval


async def _watch_the_clock(scheduler: AsyncIOScheduler) -> None:
    """Plan anew when the machine's clock was set back: until it is as late again, the scheduler would do nothing."""
    while True:
        before = datetime.now(UTC)
        await asyncio.sleep(_GLANCE_S)
        if datetime.now(UTC) < before:
            warn("clock.set_back")
            for job in scheduler.get_jobs():
                job.reschedule(job.trigger)


@asynccontextmanager
async def ticking(runtime: "Runtime") -> AsyncIterator[None]:
    """Run the jobs of the runtime's roles while the block is open."""
    scheduler = AsyncIOScheduler()
    at_work: set[asyncio.Event] = set()
    for job in jobs(runtime):
        if job.role is None or job.role in runtime.roles:
            scheduler.add_job(
                _guarded(job, at_work),
                Every(job.every_s),
                name=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
    scheduler.start()
    watching = asyncio.create_task(_watch_the_clock(scheduler))
    try:
        yield
    finally:
        watching.cancel()
        scheduler.pause()
        # its shutdown would cancel those at work, perhaps in the middle of a commit
        with suppress(TimeoutError):
            async with asyncio.timeout(float(runtime.grace_s)):
                for ended in list(at_work):
                    await ended.wait()
        scheduler.shutdown(wait=False)


def _guarded(job: Job, at_work: set[asyncio.Event]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        ended = asyncio.Event()
        at_work.add(ended)
        try:
            await job.run()
        except Exception as error:
            # the next tick tries again; a database that is away is no surprise, anything else is told in full
            if not is_database_fault(error):
                raise
            warn("job.failed", job=job.name, error=str(error))
        finally:
            at_work.discard(ended)
            ended.set()

    return run
