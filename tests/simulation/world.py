"""A run: the processes of a scenario, what is around them, and what befalls them, until nothing is left to do."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from service.settings import Settings
from tests.simulation.broker import Broker, Item
from tests.simulation.database import Database, serving
from tests.simulation.fate import suffer
from tests.simulation.history import History, Version
from tests.simulation.loop import Life
from tests.simulation.operators import Operators
from tests.simulation.process import MASTER_KEYS, Calm, Process, Watch
from tests.simulation.publishers import Publishers
from tests.simulation.receivers import Receiver
from tests.simulation.scenario import Scenario
from tests.simulation.story import Story
from tests.simulation.troubles import Troubles
from tests.simulation.wire import Call, Reply

#: Nothing takes longer than this: the real schedule is eleven hours.
_MOST_S = 4 * 24 * 3600.0

#: For so long nothing must have happened before everything counts as done.
_AFTERMATH_S = 90.0


class World:
    """Everything of one run. ``slots`` has the process that runs on each machine now, ``watches`` its clock."""

    def __init__(self, scenario: Scenario, path: Path, story: Story) -> None:
        self.scenario = scenario
        self.story = story
        self.luck = Random(f"world {scenario.seed}")
        self.troubles = Troubles(
            Random(f"troubles {scenario.seed}"),
            share=scenario.trouble_share,
            calm_from=scenario.trouble_until,
            ways=scenario.trouble_ways,
            long_s=scenario.trouble_s,
            outages=scenario.outages,
            tell=lambda life, what: story.tell(life.name, what),
        )
        self.database = Database(path, Random(f"database {scenario.seed}"), self.troubles)
        self.database.on_commit = self._on_commit
        self.broker = Broker(Random(f"broker {scenario.seed}"), disorder=scenario.disorder)
        self.broker.on_ack = self._on_ack
        self.history = History(path)
        self.calm = Calm()
        self.watches = [Watch(skew) for skew in scenario.skews]
        self.slots: list[Process] = []
        self.processes: dict[str, Process] = {}
        self.receivers: dict[str, Receiver] = {}
        self.acknowledged: list[tuple[Item, bool]] = []
        self.publishers = Publishers(self)
        self.operators = Operators(self)
        self.jumped = False
        self.held_at_rest: dict[str, int] = {}
        self._homes = 0

    # -- processes -----------------------------------------------------------------------------------------------------

    def start(self, slot: int) -> Process:
        """Start a process on a machine, under a name that was never used before."""
        generation = sum(name.partition("-")[0] == f"p{slot}" for name in self.processes)
        name = f"p{slot}-{generation}"
        process = Process(
            name, self._settings(), self.watches[slot], Random(f"{name} {self.scenario.seed}"), self.database
        )
        process.life.on_end = lambda: self._on_death(process)
        self.processes[name] = process
        self.slots[slot : slot + 1] = [process]
        self.story.tell(name, "starts")
        process.start(self._door, self._on_call, self.calm)
        return process

    def _settings(self) -> Settings:
        scenario = self.scenario
        return Settings(
            database_url="sqlite+aiosqlite:///simulated.db",
            bus_url="memory://" if scenario.memory_bus else "amqp://simulated",
            master_keys=MASTER_KEYS,
            jwt_secret="a secret of at least thirty-two characters",
            retry_schedule=scenario.schedule,
            worker_concurrency=scenario.parallel,
            endpoint_concurrency=scenario.per_endpoint,
            grace_period=scenario.grace_s,
        )

    async def some_process(self) -> Process:
        """Wait for a process that can be asked, and choose one."""
        able: list[Process] = []
        while not able:
            await asyncio.sleep(self.luck.random() * 0.2)
            able = [process for process in self.slots if process.serving]
        return self.luck.choice(able)

    def _on_death(self, process: Process) -> None:
        self.story.tell(process.name, "dies")
        process.die()
        self.broker.forget(process.life)

    # -- what is seen --------------------------------------------------------------------------------------------------

    def _on_commit(self, life: Life) -> None:
        process = self.processes[life.name]
        before = self.history.commits
        seen = self.history.look(life, asyncio.get_running_loop().time(), process.watch.now())
        if self.history.commits == before:  # a job that found nothing to do
            return
        for noun, version in seen:
            self.story.tell(life.name, f"commits {_told(noun, version)}")
        for one in self.slots:
            self.history.most_places[one.name] = max(one.places, self.history.most_places[one.name])
        history = self.history
        self.calm.stir(history.next_wake, stranded=history.stranded, replaying=history.replaying)

    def _on_call(self, call: Call) -> None:
        self.history.calls.append(call)
        self.story.tell(call.sender.name, f"sends {call.delivery_id} #{call.number} to {call.url}")

    def _on_ack(self, item: Item) -> None:
        safe = self.publishers.is_safe(item)
        self.acknowledged.append((item, safe))

    def _door(self, call: Call) -> Reply | None:
        now = asyncio.get_running_loop().time()
        receiver = self.receivers[call.url]
        call.could_verify = self.operators.knows_valid_secret(receiver, call)
        reply = receiver.take(call, now, call.clock)
        self.story.tell(call.url, f"answers {call.delivery_id} #{call.number}: {reply}")
        return reply

    def new_home(self, mood: Any, secret: str) -> Receiver:
        """Set up another server."""
        self._homes += 1
        url = f"https://r{self._homes}.example.com/hook"
        self.receivers[url] = Receiver(url, secret, mood, Random(f"{url} {self.scenario.seed}"))
        return self.receivers[url]

    # -- the run -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Let everything happen."""
        for slot in range(self.scenario.processes):
            self.start(slot)
        async with asyncio.TaskGroup() as group:
            await self.operators.subscribe()
            group.create_task(self.publishers.publish())
            group.create_task(self.operators.work())
            group.create_task(suffer(self))
        self.story.tell("world", "nothing more is done to it")
        await self._until_quiet()
        for process in self.slots:
            process.stop()
        await asyncio.wait({process.over for process in self.slots}, timeout=600)

    async def bury(self) -> None:
        """Take away what is left, without anybody looking."""
        self.database.on_commit = lambda _: None
        self.troubles.share, self.troubles.outages = 0.0, ()
        loop: Any = asyncio.get_running_loop()
        for process in self.processes.values():
            loop.bury(process.life)
        for process in self.processes.values():
            await process.bury()

    async def _until_quiet(self) -> None:
        """Wait until nothing is left to do, and nothing comes of that either; or for so long that it is stuck."""
        loop = asyncio.get_running_loop()
        while loop.time() < _MOST_S:
            commits = self.history.commits
            await asyncio.sleep(_AFTERMATH_S)
            if self._quiet() and commits == self.history.commits:
                self.held_at_rest = {one.name: one.places for one in self.slots if one.serving}
                return

    def _quiet(self) -> bool:
        """Whether nothing is due, now or ever, and nobody who is cut off from the store may still have something."""
        cut_off = any(asyncio.get_running_loop().time() < outage.end for outage in self.troubles.outages)
        return self.history.at_rest and self.broker.empty and self.publishers.heard_all and not cut_off

    @contextmanager
    def staged(self) -> Iterator[None]:
        """Put the simulation where the machine's parts are."""
        loop = asyncio.get_running_loop()
        with (
            serving(self.database),
            patch("aio_pika.connect", self.broker.connect),
            patch("consumers.rabbit.bus._WATCH_S", 3600.0),
            patch("delivery.destinations.journey.perf_counter", loop.time),
            patch("delivery.telemetry._log", self.story),
        ):
            yield


def _told(noun: str, version: Version) -> str:
    if noun != "delivery":
        return f"{noun} {version['id']}"
    row = version.row
    parts = (row["standing"], f"lease={row['lease']}", f"wake={row['wake_at']}", f"used={row['retries_used']}")
    return f"delivery {row['id']} {' '.join(parts)} made={row['attempts_made']} asked={row['asked']}"
