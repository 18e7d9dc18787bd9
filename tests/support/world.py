"""The trade at work on a store, wired as in service, with a clock that the test moves."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from random import Random
from typing import Any

from consumers.sources.polling import Polling
from consumers.sources.registry import NewSource, Sources
from delivery.courier import Courier
from delivery.departures import Decision, Departures
from delivery.destinations.session import open_session
from delivery.destinations.webhook import WebhookDestination
from delivery.domain.envelope import Submission
from delivery.domain.guard import EgressPolicy
from delivery.domain.model import AccountId, Attempt, Delivery, DeliveryId, Endpoint, EventId, Parcel
from delivery.domain.retry import SCHEDULE
from delivery.domain.sealing import KeyRing
from delivery.domain.sources import Source
from delivery.fanout import Receipt
from delivery.gather import Gatherer
from delivery.intake import Intake, Offer, Refused
from delivery.ledger import Entry, Ledger
from delivery.places import Limits
from delivery.ports import Surroundings
from delivery.registry import Registry, Wishes
from delivery.replays import Replays
from delivery.statistics import Statistics
from delivery.store import deliveries, endpoints, events, log
from delivery.store import sources as source_rows
from delivery.store.cursors import PageRequest
from delivery.store.engine import Store, is_poison, open_store
from delivery.store.reach import Reach
from delivery.upkeep import Housekeeping, Sweep
from tests.support.clock import ManualClock
from tests.support.polling import until
from tests.support.samples import BY, a_submission
from tests.support.stores import ACCOUNT

LEASE_S = 32.0
LONGEST_S = 23.0
SECRET = "your-webhook-signing-secret"

OURS = Reach(ACCOUNT)

_POLICY = EgressPolicy((IPv4Network("127.0.0.0/8"),))
_RING = KeyRing.parse("k1:" + "A" * 43 + "=")
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """One process. What it does by the clock it does here when the test lets time pass."""

    store: Store
    clock: ManualClock
    courier: Courier
    intake: Intake
    registry: Registry
    ledger: Ledger
    sweep: Sweep
    housekeeping: Housekeeping
    replays: Replays
    statistics: Statistics
    sources: Sources
    polling: Polling
    reach: Reach = OURS

    async def register(
        self, url: str, secret: str = SECRET, *, account_id: AccountId = ACCOUNT, **wishes: Any
    ) -> Endpoint:
        """Register an endpoint of the account, for every event unless the wishes say otherwise."""
        asked = Wishes(url=url, **{"events": ["*"]} | wishes)
        endpoint, _ = await self.registry.register(account_id, asked, secret, by=BY)
        return endpoint

    async def connect(
        self,
        system: str,
        url: str,
        credentials: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        **wishes: Any,
    ) -> Source:
        """Connect a source of the account."""
        wanted = NewSource(system, wishes.pop("name", ""), url, credentials, settings or {}, **wishes)
        return await self.sources.connect(ACCOUNT, wanted, by=BY)

    async def source(self, source: Source) -> Source:
        """The source as it is now."""
        async with self.store.reading() as tx:
            found = await source_rows.find(tx, self.reach, source.id)
        assert found is not None
        return found

    async def polled(self, seconds: float = 0) -> None:
        """Let time pass, poll every source that is due then, and see what came of it delivered."""
        self.clock.forward(seconds)
        await self.polling.run()
        await self.polling.quiet()
        await self.later(0)

    async def bodies(self) -> Sequence[Any]:
        """What was published, oldest first."""
        async with self.store.reading() as tx:
            found = await events.browse(tx, self.reach, events.EventFilter(), PageRequest(limit=100))
        return [json.loads(event.body) for event in reversed(found.items)]

    async def change(self, endpoint: Endpoint, **changes: Any) -> None:
        await self.registry.change(self.reach, endpoint.id, changes, by=BY)

    async def endpoint(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint as it is now, deleted or not."""
        async with self.store.reading() as tx:
            (found,) = await endpoints.by_ids(tx, [endpoint.id])
        return found

    async def publish(self, *submissions: Submission, **data: Any) -> Sequence[EventId]:
        """Publish events, or one sample with these members in its ``data``."""
        (reply,) = await self.intake.accept([Offer(submissions or [a_submission(**data)])])
        assert not isinstance(reply, Refused), reply
        return [receipt.event_id for receipt in reply if isinstance(receipt, Receipt)]

    async def retry(self, delivery: Delivery) -> bool:
        """Ask for one attempt by hand, and see it made."""
        async with self.store.writing() as tx:
            asked = await deliveries.ask(tx, delivery.id, "manual", self.clock.now())
        await self.later(0)
        return asked

    async def cancel(self, delivery: Delivery) -> bool:
        now = self.clock.now()
        async with self.store.writing() as tx:
            return await deliveries.cancel(tx, self.reach, delivery.id, reason="cancelled by hand", now=now)

    # -- time ----------------------------------------------------------------------------------------------------------

    async def later(self, seconds: float) -> None:
        """Let time pass, and everything happen that it makes due."""
        self.clock.forward(seconds)
        await self.sweep.run()
        await self.quiet()

    async def at(self, moment: datetime) -> None:
        """Let time pass until a moment."""
        await self.later((moment - self.clock.now()).total_seconds())

    async def quiet(self) -> None:
        """Wait until everything that this process has in hand is sent and logged."""
        await until(lambda: not self.in_hand)

    @property
    def in_hand(self) -> Sequence[Parcel]:
        """What this process is sending or about to send."""
        return self.courier.held_until(_FOREVER)

    # -- what a customer sees ------------------------------------------------------------------------------------------

    async def log(self, **which: Any) -> Sequence[Delivery]:
        """The account's deliveries, newest first."""
        async with self.store.reading() as tx:
            page = await log.browse(tx, self.reach, log.DeliveryFilter(**which), PageRequest(limit=100))
        return page.items

    async def delivery(self) -> Delivery:
        """The only delivery that there is."""
        (only,) = await self.log()
        return only

    async def attempts(self, delivery: Delivery | DeliveryId | None = None) -> Sequence[Attempt]:
        """The attempts of a delivery, or of the only one."""
        delivery = delivery or await self.delivery()
        delivery_id = delivery.id if isinstance(delivery, Delivery) else delivery
        async with self.store.reading() as tx:
            return await log.attempts_of(tx, self.reach, delivery_id)


@asynccontextmanager
async def working(
    store: Store,
    clock: ManualClock | None = None,
    *,
    name: str = "process",
    limits: Limits | None = None,
    schedule: Sequence[int] = SCHEDULE,
    sending: bool = True,
    patience_s: float = 1.0,
) -> AsyncIterator[World]:
    """Run a process on a store.

    One that is not ``sending`` accepts events and leaves them in the store. ``patience_s`` is how long it may take to
    stop.
    """
    clock = clock or ManualClock()
    around = Surroundings(clock, Random(name), os.urandom)
    ledger = Ledger(store, around.luck)
    departures = Departures(store, _RING, clock, longest_s=LONGEST_S)
    entries: Gatherer[Entry, None] = Gatherer(ledger.record, divides=is_poison)
    leaving: Gatherer[Parcel, Decision] = Gatherer(departures.clear)
    async with (
        open_session(_POLICY) as session,
        entries.running(grace_s=patience_s),
        leaving.running(grace_s=patience_s),
    ):
        courier = Courier(
            store=store,
            departures=leaving,
            secrets_now=departures.secrets_now,
            ledger=entries,
            destinations={"webhook": WebhookDestination(session, _POLICY)},
            around=around,
            limits=limits or Limits(),
            schedule=schedule,
            name=name,
        )
        intake = Intake(store, courier, around, lease_s=LEASE_S)
        sources = Sources(store, _RING, _POLICY, session, around)
        world = World(
            store=store,
            clock=clock,
            courier=courier,
            intake=intake,
            registry=Registry(
                store=store,
                ring=_RING,
                policy=_POLICY,
                brand="Tagmatic",
                courier=courier,
                around=around,
                lease_s=LEASE_S,
            ),
            ledger=ledger,
            sweep=Sweep(store, courier, ledger, around, lease_s=LEASE_S),
            housekeeping=Housekeeping(store, around, retention=timedelta(days=30), disable_after=timedelta(hours=120)),
            replays=Replays(store, around),
            statistics=Statistics(store, around, retention=timedelta(days=30)),
            sources=sources,
            polling=Polling(store, intake, sources, around),
        )
        if not sending:
            yield world
            return
        async with (
            courier.running(grace_s=patience_s),
            world.sweep.following(),
            world.polling.running(grace_s=patience_s),
        ):
            yield world


@asynccontextmanager
async def another(world: World, *, name: str = "another", **how: Any) -> AsyncIterator[World]:
    """Run a second process on the same database, at the same time of day."""
    store = open_store(world.store.engine.url.render_as_string(hide_password=False))
    try:
        async with working(store, world.clock, name=name, **how) as opened:
            yield opened
    finally:
        await store.close()
