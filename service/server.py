"""`hookline serve`: the service as a process, from its first socket to its last commit."""

import asyncio
import socket
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from delivery.telemetry import tell
from service.app import build_app
from service.database import until_prepared
from service.front import Front
from service.processes import Workers
from service.runtime import open_runtime
from service.settings import Role, Settings
from service.stopping import Grace, stopping, until


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process is to be: its roles, its address if it has one, and the worker processes beside it.

    ``worker_arguments`` are the words that start one; a process that ``ends_with_parent`` is such a worker.
    """

    settings: Settings
    roles: Collection[Role]
    listener: socket.socket | None = None
    workers: int = 0
    worker_arguments: Sequence[str] = ()
    ends_with_parent: bool = False


async def serve(plan: Plan) -> None:
    """Run until a signal asks to stop, then finish what is in flight."""
    async with stopping(ends_with_parent=plan.ends_with_parent) as stop, AsyncExitStack() as stack:
        front = Front(plan.listener, grace_s=plan.settings.grace_period) if plan.listener else None
        if front is not None:
            await stack.enter_async_context(front.excusing())
        if await until(stop, until_prepared(plan.settings, front.excuse if front else _nobody)):
            await _work(plan, front, stop, stack)
    tell("service.stopped")


async def _work(plan: Plan, front: Front | None, stop: asyncio.Event, stack: AsyncExitStack) -> None:
    """Open everything, in the order in which it must not be closed."""
    grace = Grace(plan.settings.grace_period)
    runtime = await stack.enter_async_context(open_runtime(plan.settings, plan.roles, grace_s=grace))
    workers = Workers(plan.workers, plan.worker_arguments, grace_s=grace)
    await stack.enter_async_context(workers.running())
    if front is not None:
        await stack.enter_async_context(front.showing(build_app(runtime)))
    tell("service.ready", roles=sorted(plan.roles), workers=plan.workers)
    await stop.wait()
    tell("service.stopping")
    grace.begin()


def _nobody(_: str) -> None:
    """Without HTTP there is nobody to make excuses to."""
