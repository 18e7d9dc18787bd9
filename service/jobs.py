"""Every clock job on one page.

Each is safe to run in any number of processes at once: what makes it so is in the statements, not here. Nothing that a
customer waits for hangs on a tick, except what is due by the clock anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from delivery.store.engine import is_database_fault
from delivery.telemetry import warn
from service.settings import Role

if TYPE_CHECKING:
    from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Job:
    """One job: which role runs it, and how often."""

    name: str
    role: Role
    every_s: float
    run: Callable[[], Awaitable[Any]]


def jobs(runtime: "Runtime") -> list[Job]:
    """The jobs of a runtime, whatever its roles."""
    sweep, keeping = runtime.sweep, runtime.housekeeping
    return [
        Job("sweep", "worker", 1, sweep.run),
        Job("renew leases", "worker", 5, sweep.renew),
        Job("replay", "scheduler", 1, runtime.replays.run),
        Job("cancel stranded", "scheduler", 5, keeping.cancel_stranded),
        Job("disable failing", "scheduler", 60, keeping.disable_failing),
        Job("prune", "scheduler", 3600, keeping.prune),
        Job("measure backlog", "api", 5, keeping.measure),
        Job("note key use", "api", 10, runtime.auth.note_key_use),
    ]


@asynccontextmanager
async def ticking(runtime: "Runtime") -> AsyncIterator[None]:
    """Run the jobs of the runtime's roles while the block is open."""
    scheduler = AsyncIOScheduler()
    at_work: set[asyncio.Event] = set()
    for job in jobs(runtime):
        if job.role in runtime.roles:
            scheduler.add_job(
                _guarded(job, at_work),
                IntervalTrigger(seconds=job.every_s),
                name=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.pause()
        # its shutdown would cancel those at work, perhaps in the middle of a commit
        with suppress(TimeoutError):
            async with asyncio.timeout(runtime.settings.grace_period):
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
