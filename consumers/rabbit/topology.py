"""What Hookline needs on the broker: declared, and held against what is there."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from consumers.families import DEAD, DEAD_LETTERS, DEAD_LETTERS_STORE, EVENTS, FAMILIES, UNROUTED
from consumers.health import Depth, Survey
from consumers.rabbit.link import ANSWER_S, broker_faults

#: What the broker answers to a declaration that cannot be: it differs, is not allowed, is somebody's own, is missing.
_REFUSALS = (ChannelPreconditionFailed, ChannelAccessRefused, ChannelLockedResource, ChannelNotFoundEntity)

_DAY_MS = 24 * 60 * 60 * 1000

#: Where messages go that a queue gives up. At least once: the broker itself confirms that they arrived.
_MORTAL = {
    "x-delivery-limit": 20,  # counts what a consumer held when it died, too: low limits bury the innocent
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange as it should be."""

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)

    async def find(self, channel: AbstractChannel) -> Sequence[Depth]:
        """Be refused if it is not there."""
        await channel.declare_exchange(self.name, passive=True, timeout=ANSWER_S)
        return ()

    async def declare(self, channel: AbstractChannel) -> Sequence[Depth]:
        """Make it, or be refused if it is there and differs."""
        await channel.declare_exchange(self.name, self.kind, durable=True, arguments=self.arguments, timeout=ANSWER_S)
        return ()


@dataclass(frozen=True, slots=True)
class Queue:
    """A quorum queue as it should be, bound to one exchange."""

    name: str
    exchange: str
    binding: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)

    async def find(self, channel: AbstractChannel) -> Sequence[Depth]:
        """Be refused if it is not there."""
        await channel.declare_queue(self.name, passive=True, timeout=ANSWER_S)
        return ()

    async def declare(self, channel: AbstractChannel) -> Sequence[Depth]:
        """Make it, or be refused if it is there and differs; tell how full it is."""
        arguments = {"x-queue-type": "quorum"} | self.arguments
        queue = await channel.declare_queue(self.name, durable=True, arguments=arguments, timeout=ANSWER_S)
        found = queue.declaration_result
        return [Depth(self.name, found.message_count or 0, found.consumer_count or 0)]

    async def bind(self, channel: AbstractChannel) -> Sequence[Depth]:
        """Let it have its messages, be it as it should or not."""
        queue = await channel.get_queue(self.name, ensure=False)
        await queue.bind(self.exchange, self.binding, timeout=ANSWER_S)
        return ()


EXCHANGES = (
    Exchange(DEAD, "fanout"),
    Exchange(UNROUTED, "fanout"),
    Exchange(EVENTS, "topic", {"alternate-exchange": UNROUTED}),
)
QUEUES = (
    # For people and their tools; bounded, because nothing of ours empties it.
    Queue(
        DEAD_LETTERS,
        DEAD,
        arguments={"x-message-ttl": 30 * _DAY_MS, "x-max-length": 100_000, "x-max-length-bytes": 2**30},
    ),
    Queue(DEAD_LETTERS_STORE, DEAD),
    Queue(UNROUTED, UNROUTED, arguments=_MORTAL),
    *(Queue(f"hookline.{family.family}", EVENTS, family.binding, _MORTAL) for family in FAMILIES),
)


THINGS: tuple[Exchange | Queue, ...] = (*EXCHANGES, *QUEUES)


async def missing(connection: AbstractConnection) -> frozenset[str]:
    """The queues that are not there."""
    surveyor = _Surveyor(connection)
    for queue in QUEUES:
        await surveyor.allowed(queue.name, queue.find)
    return surveyor.missing()


async def declare(connection: AbstractConnection) -> Survey:
    """Make what is missing; say what is there and differs. Nothing that exists is ever changed."""
    surveyor = _Surveyor(connection)
    for thing in THINGS:
        await surveyor.allowed(thing.name, thing.declare)
    for queue in QUEUES:
        await surveyor.allowed(queue.name, queue.bind)
    return surveyor.survey()


async def inspect(connection: AbstractConnection) -> Survey:
    """Say what is missing and what differs, and change nothing."""
    surveyor = _Surveyor(connection)
    for thing in THINGS:
        if await surveyor.allowed(thing.name, thing.find):
            await surveyor.allowed(thing.name, thing.declare)
    return surveyor.survey()


class _Surveyor:
    """Tries one thing after the other, each on a channel of its own: what the broker refuses closes the channel."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._depths: list[Depth] = []
        self._refused: dict[str, Exception] = {}

    async def allowed(self, name: str, step: Callable[[AbstractChannel], Awaitable[Sequence[Depth]]]) -> bool:
        """Take a step; note what it found, or why it was refused."""
        try:
            with broker_faults(*_REFUSALS):
                async with self._connection.channel() as channel:
                    self._depths += await step(channel)
        except _REFUSALS as refusal:
            self._refused.setdefault(name, refusal)
            return False
        return True

    def survey(self) -> Survey:
        """All that was found."""
        return Survey(tuple(self._depths), {name: str(refusal) for name, refusal in self._refused.items()})

    def missing(self) -> frozenset[str]:
        """What is not there. Who may not look at a queue has not found it missing."""
        return frozenset(name for name, why in self._refused.items() if isinstance(why, ChannelNotFoundEntity))
