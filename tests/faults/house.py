"""The service as it runs in earnest: an API process, two workers and a scheduler, each a process of its own."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.client import ApiError, open_api
from service.settings import ROLES, Role
from tests.faults.load import AWAY, Load
from tests.support.polling import until
from tests.support.program import Program, Running
from tests.support.receiver import Receiver, receiving

SECRET = "your-webhook-signing-secret"

#: Five seconds for an attempt, on however slow a machine, make leases that run out after twenty-two.
SETTINGS = {
    "ATTEMPT_TIMEOUT": "5",
    "RETRY_SCHEDULE": ",".join("1" * 30),
    "GRACE_PERIOD": "8",
    "LOG_LEVEL": "warning",
}


@dataclass
class House:
    """The processes by name, the receivers of its one account, and how to start a process anew."""

    program: Program
    roles: Mapping[str, str]
    _stack: AsyncExitStack
    environment: Mapping[str, Mapping[str, str]]
    account_id: str = ""
    processes: dict[str, Running] = field(default_factory=dict)
    receivers: Sequence[Receiver] = ()

    @property
    def api(self) -> Running:
        return self.processes["api"]

    async def start(self, name: str) -> None:
        """Start a process, the first time or once more; it has the same address each time."""
        program = replace(self.program, environment=self.environment.get(name, {}))
        running = program.serving("--roles", self.roles[name], PORT=self._port_of(name))
        self.processes[name] = await self._stack.enter_async_context(running)

    def _port_of(self, name: str) -> str:
        before = self.processes.get(name)
        return before.url.rpartition(":")[2] if before else "0"

    async def kill(self, name: str) -> None:
        assert await self.processes[name].end(signal.SIGKILL) == -signal.SIGKILL

    def ask_to_stop(self, name: str) -> None:
        self.processes[name].process.send_signal(signal.SIGTERM)

    async def until_stopped(self, name: str) -> int:
        """Wait for the end of a process; return its exit code."""
        return await asyncio.to_thread(self.processes[name].process.wait, 60)

    # -- what the processes say of themselves --------------------------------------------------------------------------

    async def until_it_says(self, name: str, *words: str, within_s: float = 30) -> None:
        """Wait until a process says that it is not ready, and gives one of these reasons."""

        async def said() -> bool:
            why = await self.trouble_of(name)
            return any(word in why for word in words)

        await until(said, within_s=within_s, every_s=0.1)

    async def until_all_are_ready(self, within_s: float = 60) -> None:
        """Wait until every process that runs says that it is ready."""

        async def all_ready() -> bool:
            return not any([await self.trouble_of(name) for name in self.processes])

        await until(all_ready, within_s=within_s, every_s=0.1)

    async def trouble_of(self, name: str) -> str:
        """What `/readyz` of a process says is missing; empty: it is ready."""
        async with open_api(self.processes[name].url) as api:
            try:
                await api.get("/readyz")
            except ApiError as refusal:
                if refusal.status not in AWAY:
                    raise
                return str(refusal)
        return ""

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """Let no request be answered while the block is open; some are on their way when it begins."""
        for receiver in self.receivers:
            receiver.door.clear()
            receiver.most_at_once = 0
        await until(lambda: all(receiver.most_at_once > 1 for receiver in self.receivers), within_s=30)
        yield
        for receiver in self.receivers:
            receiver.door.set()

    @asynccontextmanager
    async def loaded(self, bus_url: str | None = None, padding: str = "") -> AsyncIterator[Load]:
        """Publish without a pause while the block is open, over HTTP and over the bus, and see all of it accepted."""
        load = Load(self.api.url, self.program.settings["API_KEY"], self.account_id, bus_url, padding)
        async with load.running():
            yield load


#: Who does what where the roles are apart, and where one process does everything.
APART: Mapping[str, Sequence[Role]] = {
    "scheduler": ("scheduler",),
    "worker 1": ("worker",),
    "worker 2": ("worker",),
    "api": ("api",),
}
TOGETHER: Mapping[str, Sequence[Role]] = {"api": ROLES}


@asynccontextmanager
async def open_house(
    folder: Path,
    roles: Mapping[str, Sequence[Role]],
    environment: Mapping[str, Mapping[str, str]] | None = None,
    **settings: str,
) -> AsyncIterator[House]:
    """Start every process, and register two receivers: one for everything, and one for annotations alone."""
    program = Program(folder, SETTINGS | settings)
    async with AsyncExitStack() as stack:
        house = House(program, {name: ",".join(of_one) for name, of_one in roles.items()}, stack, environment or {})
        await asyncio.gather(*(house.start(name) for name in roles))
        program.settings["URL"] = house.api.url
        house.account_id = (await program.bootstrap())["account_id"]
        house.receivers = [await stack.enter_async_context(receiving()) for _ in range(2)]
        for receiver, events in zip(house.receivers, (["*"], ["annotation.*"]), strict=True):
            receiver.trusts_only(SECRET)
            await program.register(receiver.url, SECRET, events=events)
        yield house
