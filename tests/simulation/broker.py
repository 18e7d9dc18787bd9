"""RabbitMQ, as far as the real ``RabbitBus`` can tell: it connects here instead, and consumes and publishes as ever.

Queues keep what is not acknowledged. A connection that is lost gives back what it held, to be delivered once more; and
whoever was connected hears of it only later, as with a cable that was cut, and works on in vain until then.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, Self

from consumers.families import DEAD, DEAD_LETTERS, DEAD_LETTERS_STORE, EVENTS, FAMILIES, UNROUTED
from tests.simulation.loop import LIFE, Life

#: Seconds on the way between broker and process, on average.
_TRAVEL_S = 0.001


@dataclass(eq=False)
class Item:
    """A message in a queue. ``comings`` counts how often it was handed to a consumer."""

    body: bytes
    routing_key: str
    headers: dict[str, Any]
    content_type: str | None
    message_id: str | None
    comings: int = 0


@dataclass(eq=False)
class Queue:
    """What waits, and who takes."""

    name: str
    waiting: deque[Item] = field(default_factory=deque)
    consumers: list["Channel"] = field(default_factory=list)


class Broker:
    """The broker. ``on_ack`` hears of each message that it was told to forget; ``disorder``: queues are no queues."""

    def __init__(self, luck: Random, *, disorder: bool) -> None:
        self.luck = luck
        self.disorder = disorder
        self.up = True
        self.on_ack: Callable[[Item], None] = lambda _: None
        families = (f"hookline.{family.family}" for family in FAMILIES)
        self.queues = {name: Queue(name) for name in (*families, UNROUTED, DEAD_LETTERS_STORE, DEAD_LETTERS)}
        self.connections: list[Connection] = []

    # -- for publishers ------------------------------------------------------------------------------------------------

    def enqueue(self, exchange: str, item: Item) -> None:
        """Route a message."""
        for name in self._route(exchange, item.routing_key):
            copy = Item(item.body, item.routing_key, dict(item.headers), item.content_type, item.message_id)
            self.queues[name].waiting.append(copy)
            self.pump(self.queues[name])

    def _route(self, exchange: str, key: str) -> list[str]:
        if exchange == DEAD:
            return [DEAD_LETTERS, DEAD_LETTERS_STORE]
        assert exchange == EVENTS, exchange
        return [f"hookline.{family.family}" for family in FAMILIES if family.wants(key)] or [UNROUTED]

    @property
    def empty(self) -> bool:
        """Whether nothing waits or is held, but for the dead letters that people look at."""
        held = any(channel.held for connection in self.connections for channel in connection.channels)
        return not held and not any(queue.waiting for name, queue in self.queues.items() if name != DEAD_LETTERS)

    # -- for consumers -------------------------------------------------------------------------------------------------

    async def connect(self, *_: Any, **__: Any) -> "Connection":
        """Stand in for ``aio_pika.connect``."""
        life = LIFE.get()
        assert life is not None
        await life.point()
        await self.travel()
        if not self.up:
            raise ConnectionRefusedError("the broker is down")
        connection = Connection(self, life)
        self.connections.append(connection)
        return connection

    async def travel(self) -> None:
        await asyncio.sleep(self.luck.expovariate(1 / _TRAVEL_S))

    def pump(self, queue: Queue) -> None:
        """Hand out what waits, to consumers in turn, as far as they may hold more."""
        while queue.waiting:
            free = [channel for channel in queue.consumers if len(channel.held) < channel.prefetch]
            if not free:
                return
            if self.disorder:
                queue.waiting.rotate(-self.luck.randrange(len(queue.waiting)))
            self.luck.choice(free).hand_out(queue.waiting.popleft())

    # -- what befalls it -----------------------------------------------------------------------------------------------

    def cut(self, connection: "Connection", noticed_after: float) -> None:
        """Lose a connection; its owner notices later."""
        if connection in self.connections:
            self.connections.remove(connection)
            connection.give_back()
            asyncio.get_running_loop().call_later(noticed_after, connection.notice, context=connection.context)

    def stop(self) -> None:
        """Go down; what is in the queues stays."""
        self.up = False
        for connection in list(self.connections):
            self.cut(connection, self.luck.random())

    def start(self) -> None:
        self.up = True

    def forget(self, life: Life) -> None:
        """A process died: the broker sees its connections end."""
        for connection in [one for one in self.connections if one.life is life]:
            self.connections.remove(connection)
            connection.give_back()


class Connection:
    """A connection, with the surface of aio-pika's that the bus touches."""

    def __init__(self, broker: Broker, life: Life) -> None:
        self.broker = broker
        self.life = life
        self.context = contextvars.copy_context()
        self.alive = True
        self.connected = asyncio.Event()
        self.connected.set()
        self.close_callbacks: _Callbacks = _Callbacks()
        self.channels: list[Channel] = []

    def channel(self, **_: Any) -> "Channel":
        channel = Channel(self)
        self.channels.append(channel)
        return channel

    async def close(self) -> None:
        if self in self.broker.connections:
            self.broker.connections.remove(self)
            self.give_back()
        self.notice()

    def give_back(self) -> None:
        """Put what is not acknowledged back to where it came from. From now on nothing said here is heard."""
        self.alive = False
        for channel in self.channels:
            channel.give_back()

    def notice(self) -> None:
        """Let its owner know."""
        if self.connected.is_set():
            self.connected.clear()
            for channel in self.channels:
                channel.notice()
            self.close_callbacks(self, None)


class Channel:
    """A channel, both aio-pika's and the one beneath; ``held`` is what was handed out and not acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.broker = connection.broker
        self.connection = connection
        self.prefetch = 0
        self.held: dict[int, Item] = {}
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_consumer_cancel_callbacks = _Callbacks()
        self._queue: Queue | None = None
        self._last_tag = 0
        self._on_its_way: deque[Any] = deque()
        self._take: Callable[[Any], Any] = lambda _: None

    @property
    def is_closed(self) -> bool:
        return self.closing.done()

    async def _ask(self) -> None:
        """Say something to the broker and hear that it was done."""
        await self.connection.life.point()
        await self.broker.travel()
        if not self.connection.alive or self.is_closed:
            raise ConnectionResetError("the connection to the broker was lost")

    async def initialize(self) -> None:
        await self._ask()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.give_back()
        self.notice()

    async def get_underlay_channel(self) -> "Channel":
        return self

    # -- topology: it is as it should be -------------------------------------------------------------------------------

    async def declare_exchange(self, *_: Any, **__: Any) -> None:
        self._look_alive()

    async def declare_queue(self, name: str, **_: Any) -> Any:
        self._look_alive()
        queue = self.broker.queues[name]
        return SimpleNamespace(
            declaration_result=SimpleNamespace(message_count=len(queue.waiting), consumer_count=len(queue.consumers))
        )

    async def get_queue(self, _name: str, **_: Any) -> Any:
        return SimpleNamespace(bind=self.declare_exchange)

    def _look_alive(self) -> None:
        if not self.connection.alive:
            raise ConnectionResetError("the connection to the broker was lost")

    # -- publishing ----------------------------------------------------------------------------------------------------

    async def get_exchange(self, name: str, **_: Any) -> Any:
        async def publish(message: Any, routing_key: str, **_: Any) -> None:
            item = Item(message.body, routing_key, message.headers, message.content_type, message.message_id)
            await self._ask()
            self.broker.enqueue(name, item)
            await self._ask()  # the confirm

        return SimpleNamespace(publish=publish)

    # -- consuming -----------------------------------------------------------------------------------------------------

    async def basic_qos(self, *, prefetch_count: int, **_: Any) -> None:
        await self._ask()
        self.prefetch = prefetch_count

    async def basic_consume(self, queue: str, take: Callable[[Any], Any], **_: Any) -> Any:
        await self._ask()
        self._take = take
        self._queue = self.broker.queues[queue]
        self._queue.consumers.append(self)
        self.broker.pump(self._queue)
        return SimpleNamespace(consumer_tag="tag")

    async def basic_cancel(self, _tag: str, **_: Any) -> None:
        await self._ask()
        self._leave()

    async def basic_ack(self, tag: int, *, multiple: bool) -> None:
        assert multiple
        await self.connection.life.point()
        loop = asyncio.get_running_loop()
        empty = contextvars.Context()  # what is on the wire arrives, whatever becomes of its sender
        loop.call_later(self.broker.luck.expovariate(1 / _TRAVEL_S), self._acknowledged, tag, context=empty)

    def hand_out(self, item: Item) -> None:
        self._last_tag += 1
        item.comings += 1
        self.held[self._last_tag] = item
        properties = SimpleNamespace(message_id=item.message_id, headers=item.headers, content_type=item.content_type)
        self._on_its_way.append(
            SimpleNamespace(
                header=SimpleNamespace(properties=properties),
                body=item.body,
                routing_key=item.routing_key,
                delivery_tag=self._last_tag,
            )
        )
        travel = self.broker.luck.expovariate(1 / _TRAVEL_S)
        asyncio.get_running_loop().call_later(travel, self._arrive, context=self.connection.context)

    def _arrive(self) -> None:
        """Let the next one arrive: whatever overtakes whatever elsewhere, on one channel everything keeps its order."""
        taking = self._take(self._on_its_way.popleft())
        try:
            taking.send(None)
        except StopIteration:
            return
        raise AssertionError("taking a message from the wire waits for nothing")

    def _acknowledged(self, tag: int) -> None:
        if not self.connection.alive:
            return
        for number in [number for number in self.held if number <= tag]:
            self.broker.on_ack(self.held.pop(number))
        if self._queue is not None:
            self.broker.pump(self._queue)

    def _leave(self) -> None:
        if self._queue is not None and self in self._queue.consumers:
            self._queue.consumers.remove(self)

    def give_back(self) -> None:
        self._leave()
        held, self.held = list(self.held.values()), {}
        if self._queue is not None:
            self._queue.waiting.extendleft(reversed(held))
            self.broker.pump(self._queue)

    def notice(self) -> None:
        if not self.closing.done():
            self.closing.set_result(None)


class _Callbacks(list[Callable[..., Any]]):
    """Callbacks, called in the order in which they were added."""

    def add(self, callback: Callable[..., Any]) -> None:
        self.append(callback)

    def __call__(self, *arguments: Any) -> None:
        for callback in self:
            callback(*arguments)
