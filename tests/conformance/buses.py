"""A bus at work on a store, and what it leaves there."""

import os
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from sqlalchemy import func, select, text

from consumers.bus import Bus, open_bus
from consumers.families import EVENTS
from consumers.wire import Message
from delivery.domain.envelope import write_json
from delivery.domain.model import DeliveryId, Event, Parcel
from delivery.intake import Intake
from delivery.ports import Booking, Surroundings
from delivery.store import dead_letters, events, tables
from delivery.store.cursors import PageRequest
from delivery.store.dead_letters import DeadLetter
from delivery.store.engine import Store, open_store
from delivery.store.events import EventFilter
from delivery.store.reach import EVERYONE
from tests.support.polling import until
from tests.support.stores import ACCOUNT

MEMORY = "memory://"


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class NobodyCarries:
    """A courier without room: everything stays in the store."""

    @contextmanager
    def booking(self) -> Iterator[Booking]:
        yield self

    def admit(self, parcels: Sequence[Parcel]) -> set[DeliveryId]:
        return set()

    def new_lease(self) -> str:
        return "nobody.1"


@dataclass(frozen=True)
class Setting:
    """A bus, the store behind it, and the bus's address for whoever wants to interfere."""

    url: str
    store: Store
    bus: Bus

    async def events(self) -> Sequence[Event]:
        """The newest hundred that were accepted, newest first."""
        async with self.store.reading() as tx:
            return (await events.browse(tx, EVERYONE, EventFilter(), PageRequest(limit=100))).items

    async def count(self) -> int:
        """How many events are accepted."""
        async with self.store.reading() as tx:
            return (await tx.execute(select(func.count()).select_from(tables.events))).scalar_one()

    async def letters(self) -> Sequence[DeadLetter]:
        """What was parked, newest first."""
        async with self.store.reading() as tx:
            return (await dead_letters.browse(tx, PageRequest(limit=100))).items

    async def accepted(self, count: int, *, within_s: float = 20) -> Sequence[Event]:
        """Wait until so many events are accepted."""

        async def enough() -> bool:
            return await self.count() >= count

        await until(enough, within_s=within_s)
        return await self.events()

    async def parked(self, count: int = 1) -> Sequence[DeadLetter]:
        """Wait until so many messages are parked."""

        async def enough() -> bool:
            return len(await self.letters()) >= count

        await until(enough, within_s=20)
        return await self.letters()

    async def up(self, *, within_s: float = 30) -> None:
        """Wait until every consumer is at work."""

        def all_up() -> bool:
            health = self.bus.health()
            return bool(health) and all(one.up for one in health)

        await until(all_up, within_s=within_s)


def a_bus(url: str, store: Store) -> Bus:
    around = Surroundings(SystemClock(), random.SystemRandom(), os.urandom)
    return open_bus(url, intake=Intake(store, NobodyCarries(), around, lease_s=30), store=store, around=around)


@asynccontextmanager
async def setting(url: str, store: Store) -> AsyncIterator[Setting]:
    """Run a bus on a store, with everybody at work."""
    bus = a_bus(url, store)
    async with bus.running():
        opened = Setting(url, store, bus)
        await opened.up()
        yield opened


@asynccontextmanager
async def locked(store: Store) -> AsyncIterator[None]:
    """Let nobody else write while the block is open: every commit of a new event waits."""
    other = open_store(store.engine.url.render_as_string(hide_password=False))
    async with other.writing() as tx:
        if tx.dialect.name == "postgresql":
            await tx.execute(text("LOCK TABLE events IN EXCLUSIVE MODE"))
        yield
    await other.close()


@asynccontextmanager
async def channel_to(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of our own, to do to the broker what others might."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        yield channel


async def publish_raw(channel: AbstractChannel, routing_key: str, body: bytes, **properties: Any) -> None:
    """Publish as a publisher who knows nothing of us."""
    exchange = await channel.get_exchange(EVENTS, ensure=False)
    await exchange.publish(aio_pika.Message(body, delivery_mode=2, **properties), routing_key)


def saying(envelope: Any, **changes: Any) -> Message:
    """The message that says this, for the account."""
    body = envelope if isinstance(envelope, bytes) else write_json(envelope)
    values: dict[str, Any] = {"routing_key": "annotation.completed", "headers": {"account-id": ACCOUNT}}
    return Message(body, **values | changes)
