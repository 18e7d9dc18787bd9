"""Customers and operators: they do what the API lets them do, at any moment, through its own handlers."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any

from delivery.domain.deeds import By
from delivery.domain.errors import HooklineError
from delivery.domain.model import AccountId
from delivery.domain.sealing import KeyRing
from delivery.registry import Wishes
from delivery.store.log import DeliveryFilter
from delivery.store.reach import Reach
from service.api import deliveries, erasures, webhooks
from service.api.calls import PRINCIPAL, Handler
from service.api.calls import Call as ApiCall
from tests.simulation.history import Row
from tests.simulation.process import MASTER_KEYS, Process
from tests.simulation.receivers import Receiver
from tests.simulation.scenario import ACCOUNTS, Action, Subscription
from tests.simulation.wire import Call

if TYPE_CHECKING:
    from tests.simulation.world import World

_SECRET = "a-signing-secret-{}"
_PATIENCE = 3
_BY = By("usr_1", "an operator")
_RING = KeyRing.parse(MASTER_KEYS)


@dataclass(frozen=True)
class _Caller:
    """Who asks, as far as a handler looks."""

    reach: Reach
    by: By = _BY


class _Request(dict[Any, Any]):
    """A request that has come as far as its handler."""

    def __init__(self, account: str, row_id: str) -> None:
        super().__init__({PRINCIPAL: _Caller(Reach(AccountId(account)))})
        self.match_info = {"id": row_id}


class Operators:
    """All of them. They are let down where a process dies or its database is away, and then most try again."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._luck = Random(f"operators {world.scenario.seed}")
        self._secrets = 0

    async def subscribe(self) -> None:
        """Register what is there from the beginning."""
        for wanted in self._world.scenario.subscriptions:
            await self._add(wanted)

    async def work(self) -> None:
        """Do what the scenario has for them."""
        async with asyncio.TaskGroup() as group:
            for deed in self._world.scenario.deeds:
                group.create_task(self._later(deed.at, deed.action))

    async def _later(self, at: float, action: Action) -> None:
        await asyncio.sleep(at)
        if action == "add":
            await self._add(Subscription(self._luck.choice(ACCOUNTS), "well", ("*",), None))
        elif action == "replay":
            await self._replay()
        elif action == "erase":
            await self._erase()
        elif action in ("retry", "cancel"):
            await self._about_delivery(action)
        else:
            await self._about_endpoint(action)

    def knows_valid_secret(self, receiver: Receiver, call: Call) -> bool:
        """Whether the one secret that a receiver knows is among those that the endpoint has now."""
        delivery = self._world.history.deliveries.get(call.delivery_id)
        if delivery is None:
            return False
        versions = self._world.history.endpoints[delivery[0]["endpoint_id"]]
        return any(
            _RING.open(secret["sealed"], owner=versions[-1]["id"]) == receiver.secret
            for secret in versions[-1]["secrets"]
            if secret["expires_at"] is None or datetime.fromisoformat(secret["expires_at"]) > call.clock
        )

    def _new_secret(self) -> str:
        self._secrets += 1
        return _SECRET.format(self._secrets)

    async def _add(self, wanted: Subscription) -> None:
        secret = self._new_secret()
        receiver = self._world.new_home(wanted.mood, secret)
        wishes = Wishes(
            url=receiver.url,
            events=wanted.events,
            retry_schedule=wanted.schedule,
            rate_limit=wanted.rate_limit,
        )
        await self._insist(lambda runtime: runtime.registry.register(AccountId(wanted.account), wishes, secret, by=_BY))

    async def _replay(self) -> None:
        """Send once more what failed, or everything."""
        which = DeliveryFilter(status=self._luck.choice(("failed", "delivered", None)))
        reach = Reach(AccountId(self._luck.choice(ACCOUNTS)))
        await self._insist(lambda runtime: runtime.replays.start(reach, which, by=_BY))

    async def _erase(self) -> None:
        """Erase what is kept of a job, and what was being sent when that is over."""
        rows = [versions[-1].row for versions in self._world.history.deliveries.values()]
        if rows:
            row = self._luck.choice(rows)
            for _ in range(_PATIENCE):
                await self._call(erasures.erase, row, erasures.NewErasure(job_id=row["job_id"]))
                await asyncio.sleep(self._luck.choice((0.1, 5.0, 40.0)))

    async def _about_delivery(self, action: Action) -> None:
        rows = [versions[-1].row for versions in self._world.history.deliveries.values()]
        if action == "cancel":
            rows = [row for row in rows if row["standing"] == "pending"] or rows
        if rows:
            row = self._luck.choice(rows)
            await self._call(deliveries.retry if action == "retry" else deliveries.cancel, row)

    async def _about_endpoint(self, action: Action) -> None:
        rows = [versions[-1].row for versions in self._world.history.endpoints.values()]
        if not rows:
            return
        row = self._luck.choice(rows)
        match action:
            case "test":
                await self._call(webhooks.test, row)
            case "rotate":
                await self._rotate(row)
            case "disable":
                await self._call(webhooks.change, row, webhooks.WebhookChanges(active=False))
            case "enable":
                await self._call(webhooks.change, row, webhooks.WebhookChanges(active=True))
            case "delete":
                await self._call(webhooks.remove, row)
            case "move":
                old = self._world.receivers[row["url"]]
                new = self._world.new_home("well", old.secret)
                await self._call(webhooks.change, row, webhooks.WebhookChanges(url=new.url))

    async def _rotate(self, row: Row) -> None:
        """Set a new secret, and tell the server of it at some moment of the overlap."""
        secret, overlap = self._new_secret(), self._luck.choice((0, 60, 600, 86_400, 86_400))
        rotation = webhooks.Rotation(secret=secret, overlap_seconds=overlap)
        if await self._call(webhooks.rotate, row, rotation):
            await asyncio.sleep(self._luck.choice((0.0, 0.5, 0.9)) * overlap * self._luck.random())
            current = self._world.history.endpoints[row["id"]][-1]
            self._world.receivers[current["url"]].secret = secret
            self._world.story.tell(current["url"], "knows its new secret")

    async def _call(self, handler: Handler, row: Row, asked: Any = None) -> bool:
        """Call the API; False: it refused, or cannot be reached."""
        self._world.story.tell("operator", f"{handler.__name__} {row['id']}")
        request: Any = _Request(row["account_id"], row["id"])
        return await self._insist(lambda runtime: handler(ApiCall(request, runtime, asked)))

    async def _insist(self, work: Any) -> bool:
        for _ in range(_PATIENCE):
            process: Process = await self._world.some_process()
            try:
                await process.ask(work)
            except HooklineError as refusal:
                self._world.story.tell("operator", f"is refused: {refusal}")
                return False
            except Exception as error:  # noqa: BLE001 - like anybody whose request failed: try again
                self._world.story.tell("operator", f"is told {error!r}")
                await asyncio.sleep(self._luck.choice((0.2, 5.0)))
            else:
                return True
        return False
