"""Worker processes beside the one that was started: begun, watched, replaced when they die, ended together.

A worker is a whole program of its own and shares nothing with the others but the database and the broker. So one that
is killed costs nothing but time: its leases run out, and the others take over what it had in hand.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import SupportsFloat

from prometheus_client import multiprocess

from consumers.patience import pauses
from delivery.telemetry import tell, warn

#: A worker that lived this long died of something else than its start, and is replaced at once.
_SETTLED_S = 30.0

#: What a worker needs beyond its grace period to close its connections.
_LAST_STEPS_S = 5.0


class Workers:
    """``count`` processes that run ``arguments``, each for as long as this one runs.

    ``grace_s`` is asked when they are to end.
    """

    def __init__(self, count: int, arguments: Sequence[str], *, grace_s: SupportsFloat) -> None:
        self._count = count
        self._arguments = arguments
        self._grace_s = grace_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the workers alive while the block is open; then ask them to stop, and wait for it."""
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(number)) for number in range(1, self._count + 1)]
            try:
                yield
            finally:
                for keeper in keepers:
                    keeper.cancel()

    async def _keep(self, number: int) -> None:
        waits = pauses()
        while True:
            began = monotonic()
            why = await self._live(number)
            if monotonic() - began > _SETTLED_S:
                waits = pauses()
            wait = next(waits)
            warn("worker.died", worker=number, why=why, again_in_s=wait)
            await asyncio.sleep(wait)

    async def _live(self, number: int) -> str:
        """Be one worker, from its start to its end; return how it ended."""
        command = (sys.executable, "-m", "service", *self._arguments)
        try:
            # a pipe that ends with us, so that it ends, too; a session of its own, so that Ctrl-C is ours to pass on
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, start_new_session=True)
        except OSError as error:  # no room for one more process: there may be later
            return f"did not start: {error}"
        tell("worker.started", worker=number, pid=process.pid)
        try:
            return f"exit code {await process.wait()}"
        finally:
            await self._end(process)
            _forget_metrics(process.pid)

    async def _end(self, process: Process) -> None:
        """Ask it to stop, and insist when it takes too long."""
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):  # it ended while we were asking
            process.terminate()
        try:
            async with asyncio.timeout(float(self._grace_s) + _LAST_STEPS_S):
                await process.wait()
        except TimeoutError:  # stuck: its leases will run out
            process.kill()
            await process.wait()


def _forget_metrics(pid: int) -> None:
    """Take the gauges of a dead process out of the sum."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call] # the library has no types here
