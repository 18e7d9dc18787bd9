"""The composition root: opens everything in order, wires it, and closes it in the opposite order."""

import os
import random
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import SupportsFloat

import aiohttp

from consumers.bus import Bus, open_bus
from consumers.sources.polling import Polling
from consumers.sources.registry import Sources
from delivery.courier import Courier
from delivery.departures import Decision, Departures
from delivery.destinations.session import open_session
from delivery.destinations.webhook import WebhookDestination
from delivery.domain.guard import EgressPolicy
from delivery.domain.model import Parcel
from delivery.domain.sealing import KeyRing
from delivery.erasure import Eraser
from delivery.gather import Gatherer
from delivery.intake import Intake, Offer, Reply
from delivery.ledger import Entry, Ledger
from delivery.places import Limits
from delivery.ports import Clock, Destinations, Surroundings
from delivery.registry import Registry
from delivery.replays import Replays
from delivery.statistics import Statistics
from delivery.store.engine import Store, is_poison, open_store
from delivery.upkeep import Housekeeping, Sweep
from service.auth import Auth
from service.clock import SystemClock, clock_of
from service.jobs import ticking
from service.keyfile import with_keys
from service.schema import migrate
from service.settings import ROLES, Role, Settings
from service.stopping import Grace


def system_surroundings(clock: Clock | None = None) -> Surroundings:
    """Time and chance as the machine has them."""
    return Surroundings(clock or SystemClock(), random.SystemRandom(), os.urandom)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that is open while the service runs."""

    settings: Settings
    roles: Collection[Role]
    around: Surroundings
    store: Store
    ring: KeyRing
    auth: Auth
    registry: Registry
    courier: Courier
    intake: Intake
    offers: Gatherer[Offer, Reply]
    ledger: Ledger
    sweep: Sweep
    housekeeping: Housekeeping
    replays: Replays
    eraser: Eraser
    statistics: Statistics
    sources: Sources
    polling: Polling
    bus: Bus
    grace_s: SupportsFloat


@dataclass(frozen=True, slots=True)
class Outside:
    """What a runtime stands on. ``name`` tells this process apart from every other, ever.

    ``grace_s`` says how long what is being closed may take, each time that something is.
    """

    name: str
    around: Surroundings
    store: Store
    policy: EgressPolicy
    session: aiohttp.ClientSession
    destinations: Destinations
    grace_s: SupportsFloat


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    roles: Collection[Role] = ROLES,
    *,
    clock: Clock | None = None,
    ticks: bool = True,
    grace_s: SupportsFloat | None = None,
) -> AsyncIterator[Runtime]:
    """Run the service's inside while the block is open; without ``ticks`` the caller moves the jobs by hand.

    ``grace_s`` says how long what is being closed may take, each time that something is.
    """
    settings = with_keys(settings)
    async with AsyncExitStack() as stack:
        store = open_store(settings.database_url)
        stack.push_async_callback(store.close)
        if settings.sqlite_file is not None:
            await migrate(store)
        around = system_surroundings(clock or await clock_of(store))
        grace_s = Grace(settings.grace_period) if grace_s is None else grace_s
        policy = EgressPolicy(settings.allowed_networks, settings.require_https, settings.port_ranges)
        session = await stack.enter_async_context(open_session(policy, proxy=settings.egress_proxy))
        webhook = WebhookDestination(session, policy, brand=settings.brand, attempt_timeout=settings.attempt_timeout)
        outside = Outside(secrets.token_hex(8), around, store, policy, session, {"webhook": webhook}, grace_s)
        runtime = await stack.enter_async_context(at_work(settings, roles, outside))
        if ticks:
            await stack.enter_async_context(ticking(runtime))
        yield runtime


@asynccontextmanager
async def at_work(settings: Settings, roles: Collection[Role], outside: Outside) -> AsyncIterator[Runtime]:
    """Run everything that stands on the outside, except the clock jobs, while the block is open."""
    async with AsyncExitStack() as stack:
        runtime = await _wire(stack, settings, roles, outside)
        if "worker" in roles:
            await stack.enter_async_context(runtime.courier.running(grace_s=outside.grace_s))
            await stack.enter_async_context(runtime.sweep.following(grace_s=outside.grace_s))
        if "scheduler" in roles:
            await stack.enter_async_context(runtime.polling.running(grace_s=outside.grace_s))
        await stack.enter_async_context(runtime.bus.running(consume="worker" in roles, grace_s=outside.grace_s))
        yield runtime


async def _wire(stack: AsyncExitStack, settings: Settings, roles: Collection[Role], outside: Outside) -> Runtime:
    ring = KeyRing.parse(settings.master_keys or "")
    around, store, grace_s = outside.around, outside.store, outside.grace_s
    ledger = Ledger(store, around.luck)
    entries: Gatherer[Entry, None] = Gatherer(ledger.record, divides=is_poison)
    departures = Departures(store, ring, around.clock, longest_s=settings.longest_delivery_s)
    parcels: Gatherer[Parcel, Decision] = Gatherer(departures.clear)
    await stack.enter_async_context(entries.running(grace_s=grace_s))
    await stack.enter_async_context(parcels.running(grace_s=grace_s))
    courier = Courier(
        store=store,
        departures=parcels,
        ledger=entries,
        destinations=outside.destinations,
        secrets_now=departures.secrets_now,
        around=around,
        limits=Limits(settings.worker_concurrency, settings.endpoint_concurrency),
        schedule=settings.retry_schedule,
        name=outside.name,
    )
    intake = Intake(store, courier, around, lease_s=settings.lease_s)
    offers: Gatherer[Offer, Reply] = Gatherer(intake.accept, divides=is_poison)
    await stack.enter_async_context(offers.running(grace_s=grace_s))
    sources = Sources(store, ring, outside.policy, outside.session, around)
    auth = Auth(store, around, settings)
    await stack.enter_async_context(auth.running(grace_s=grace_s))
    return Runtime(
        settings=settings,
        roles=roles,
        around=around,
        store=store,
        ring=ring,
        auth=auth,
        registry=Registry(
            store=store,
            ring=ring,
            policy=outside.policy,
            brand=settings.brand,
            courier=courier,
            around=around,
            lease_s=settings.lease_s,
        ),
        courier=courier,
        intake=intake,
        offers=offers,
        ledger=ledger,
        sweep=Sweep(store, courier, ledger, around, lease_s=settings.lease_s),
        housekeeping=Housekeeping(
            store,
            around,
            retention=timedelta(days=settings.retention_days),
            disable_after=timedelta(hours=settings.disable_after_hours),
        ),
        replays=Replays(store, around),
        eraser=Eraser(store, around, longest_s=settings.longest_delivery_s),
        statistics=Statistics(store, around, retention=timedelta(days=settings.retention_days)),
        sources=sources,
        polling=Polling(store, intake, sources, around),
        bus=open_bus(settings.bus_url, intake=intake, store=store, around=around),
        grace_s=grace_s,
    )
