"""Putting rows into a store, and looking at them, in few words."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select

from delivery.domain.model import Attempt, Endpoint, Event, Parcel
from delivery.places import Crowded, Terms
from delivery.store import deliveries, endpoints, events, tables
from delivery.store.deliveries import Settlement
from delivery.store.engine import Store
from tests.support.clock import NOON
from tests.support.samples import a_parcel, an_endpoint, an_event

LEASE = timedelta(seconds=32)


async def endpoint_in(store: Store, **changes: Any) -> Endpoint:
    endpoint = an_endpoint(**changes)
    async with store.writing() as tx:
        await endpoints.add(tx, endpoint)
    return endpoint


async def events_in(store: Store, *batch: Event) -> set[str]:
    """Insert events; return the ids of those that were new."""
    async with store.writing() as tx:
        return {str(event_id) for event_id in await events.insert_new(tx, batch, {})}


async def deliveries_in(
    store: Store, endpoint: Endpoint, count: int, *, leased: bool = False, **changes: Any
) -> Sequence[Parcel]:
    """Insert events, each with a delivery to the endpoint: due at once, or leased as its parcel says."""
    made_at = changes.get("created_at", NOON)
    batch = [
        an_event(
            account_id=endpoint.account_id,
            accepted_at=made_at,
            job_id=changes.get("job_id", "ann_1"),
            type=changes.get("event_type", "annotation.completed"),
        )
        for _ in range(count)
    ]
    parcels = [a_parcel(event, endpoint, **changes) for event in batch]
    async with store.writing() as tx:
        await events.insert_new(tx, batch, {})
        await deliveries.insert_new(tx, parcels, leased={parcel.delivery_id for parcel in parcels if leased})
    return parcels


async def delivery_in(store: Store, endpoint: Endpoint, *, leased: bool = False, **changes: Any) -> Parcel:
    (parcel,) = await deliveries_in(store, endpoint, 1, leased=leased, **changes)
    return parcel


async def claim(
    store: Store,
    now: datetime = NOON,
    lease: str = "worker.1",
    *,
    limit: int = 1000,
    per_endpoint: int = 1000,
    crowded: Crowded | None = None,
    fairly: bool = False,
) -> Sequence[Parcel]:
    """Claim what is due at noon, or as the terms say."""
    terms = Terms(limit, per_endpoint, crowded or Crowded())
    async with store.writing() as tx:
        return await deliveries.claim(tx, lease, terms, now=now, until=now + LEASE, fairly=fairly)


async def settle(store: Store, *parcels: Parcel, **changes: Any) -> None:
    """Write what attempts came to: delivered with a 200, or as the changes say."""
    usual: dict[str, Any] = {
        "standing": "delivered",
        "retries_used": 1,
        "next_attempt_at": None,
        "finished_at": NOON,
        "attempts": 1,
        "last_response_status": 200,
        "last_error": None,
    }
    async with store.writing() as tx:
        await deliveries.settle(tx, [Settlement(parcel, **usual | changes) for parcel in parcels])


async def attempts_in(store: Store, *made: Attempt) -> None:
    async with store.writing() as tx:
        await deliveries.log(tx, made)


async def row(store: Store, parcel: Parcel) -> Row[Any]:
    """The delivery's row as it stands."""
    async with store.reading() as tx:
        query = select(tables.deliveries).where(tables.deliveries.c.id == parcel.delivery_id)
        return (await tx.execute(query)).one()


def ids(parcels: Sequence[Parcel]) -> list[str]:
    return [parcel.delivery_id for parcel in parcels]
