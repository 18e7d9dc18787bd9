"""Publishers: they hand events in by the API or the bus, and do so again until they hear that they were taken."""

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

from consumers.families import EVENTS
from consumers.wire import Message, publication
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import Submission, identity, submit
from delivery.domain.model import AccountId
from delivery.fanout import Receipt
from delivery.intake import Offer
from service.runtime import Runtime
from tests.simulation.broker import Item
from tests.simulation.scenario import Publication

if TYPE_CHECKING:
    from tests.simulation.world import World

#: The message that nobody can use.
BAD = b'{"event": "annotation.completed", '


class Publishers:
    """All of them. ``receipts`` are what they were told, by account and identity."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.receipts: list[tuple[str, str, Receipt]] = []
        self.handed_over: list[Publication] = []

    async def publish(self) -> None:
        """Do what the scenario has for them, and wait until it is all taken."""
        async with asyncio.TaskGroup() as group:
            for one in self._world.scenario.publications:
                group.create_task(self._publish(one))

    @property
    def heard_all(self) -> bool:
        """Whether everything was handed over."""
        return len(self.handed_over) == len(self._world.scenario.publications)

    def is_safe(self, item: Item) -> bool:
        """Whether a message that the broker was told to forget is kept: as an event, or as a dead letter."""
        if item.body == BAD or item.headers.get("hookline-id"):
            return True
        account = item.headers["account-id"]
        name = _identity_of(item)
        return any(
            versions[0]["account_id"] == account and versions[0]["identity"] == name
            for versions in self._world.history.events.values()
        )

    async def _publish(self, one: Publication) -> None:
        await asyncio.sleep(one.at)
        if one.route == "bus" and not self._world.scenario.memory_bus:
            self._world.broker.enqueue(EVENTS, _item(message_of(one)))
        else:
            await self._insist(one)
        self.handed_over.append(one)

    async def _insist(self, one: Publication) -> None:
        taken = await self._tried(one)
        while not taken:
            await asyncio.sleep(self._world.luck.choice((0.3, 2.0, 10.0)))
            taken = await self._tried(one)

    async def _tried(self, one: Publication) -> bool:
        process = await self._world.some_process()
        try:
            if one.route == "bus":
                await process.ask(lambda runtime: runtime.bus.publish(message_of(one)))
                return True
            receipt = await process.ask(lambda runtime: _offer(runtime, submission_of(one)))
        except Exception as error:  # noqa: BLE001 - a publisher knows only that it has to try again
            self._world.story.tell("publisher", f"is told {error!r}")
            return False
        self.receipts.append((one.account, submission_of(one).identity, receipt))
        return True


async def _offer(runtime: Runtime, submission: Submission) -> Receipt:
    reply = await runtime.offers.hand_in(Offer([submission]))
    assert not hasattr(reply, "error"), reply
    [receipt] = reply
    assert isinstance(receipt, Receipt), receipt
    return receipt


def envelope_of(one: Publication) -> dict[str, Any]:
    """The envelope: each job has one of each type."""
    envelope: dict[str, Any] = copy.deepcopy(dict(PUBLISHED[one.type].example))
    envelope["data"]["job_id"] = one.job
    return envelope


def submission_of(one: Publication) -> Submission:
    """The event as it comes by the API."""
    return submit(envelope_of(one), AccountId(one.account), external_id=one.name)


def message_of(one: Publication) -> Message:
    """The event as it comes by the bus."""
    if not one.usable:
        return Message(BAD, one.type, {"account-id": one.account})
    return publication(envelope_of(one), one.account, external_id=one.name)


def _item(message: Message) -> Item:
    return Item(message.body, message.routing_key, dict(message.headers), message.content_type, message.message_id)


def _identity_of(item: Item) -> str:
    return identity(json.loads(item.body), item.message_id)
