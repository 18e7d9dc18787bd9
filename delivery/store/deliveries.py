"""Statements about the life of a delivery.

A delivery is one row for its whole life, and one column drives it: ``wake_at`` says when the row next wants attention.
It is the time of the next attempt while the row rests, the end of the lease while a process works on it, and NULL when
nothing is left to do. So "due", "asked for by hand" and "its process died" are found by one condition.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Row,
    bindparam,
    case,
    delete,
    exists,
    insert,
    null,
    or_,
    select,
    update,
)

from delivery.domain.ids import first_id
from delivery.domain.model import (
    AccountId,
    Attempt,
    DeliveryId,
    EndpointId,
    EventId,
    Parcel,
    Standing,
    Trigger,
    origin_of,
)
from delivery.places import Terms
from delivery.store.due import oldest, some_of_everybody
from delivery.store.engine import AnyRow, Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import attempts, deliveries, endpoints, events


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt leaves behind in its delivery's row, if the lease still holds."""

    parcel: Parcel
    standing: Standing
    retries_used: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    attempts: int
    last_response_status: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Clearance:
    """What the store says about a parcel just before it is sent."""

    lease: str | None
    wake_at: datetime | None
    endpoint_id: EndpointId
    endpoint_version: int


async def insert_new(tx: Transaction, parcels: Sequence[Parcel], *, leased: Collection[DeliveryId]) -> None:
    """Insert deliveries: those in ``leased`` in the hands of this process, the others due at once."""
    rows = [
        {
            "id": parcel.delivery_id,
            "account_id": parcel.account_id,
            "event_id": parcel.event_id,
            "event_type": parcel.event_type,
            "endpoint_id": parcel.endpoint_id,
            "job_id": parcel.job_id,
            "standing": parcel.standing,
            "attempts_made": 0,
            "retries_used": 0,
            "next_attempt_at": parcel.next_attempt_at,
            "asked": parcel.asked,
            "wake_at": parcel.leased_until if parcel.delivery_id in leased else parcel.created_at,
            "lease": parcel.lease if parcel.delivery_id in leased else None,
            "created_at": parcel.created_at,
        }
        for parcel in parcels
    ]
    await tx.execute(insert(deliveries), rows)


async def claim(  # noqa: PLR0913 - the terms of a lease
    tx: Transaction, lease: str, terms: Terms, *, now: datetime, until: datetime, fairly: bool = False
) -> list[Parcel]:
    """Lease what is due, as far as the terms go: the oldest first, or ``fairly`` some of everybody's."""
    chosen = (some_of_everybody if fairly else oldest)(tx, terms, now)
    # the condition stands here again because a row may have been taken between finding it and locking it
    locked = (
        select(deliveries.c.id)
        .where(deliveries.c.id.in_(chosen), deliveries.c.wake_at <= now)
        .with_for_update(skip_locked=True)
    )
    claimed = (
        update(deliveries)
        .where(deliveries.c.id.in_(locked))
        .values(lease=lease, wake_at=until)
        .returning(*(column for column in deliveries.c))
    )
    rows = (await tx.execute(claimed)).all()
    return await _parcels(tx, rows)


async def _parcels(tx: Transaction, rows: Sequence[Row[Any]]) -> list[Parcel]:
    wanted = {row.event_id for row in rows}
    if not wanted:
        return []
    query = select(events.c.id, events.c.body, events.c.traceparent).where(events.c.id.in_(listed(tx, wanted)))
    found = {row.id: row for row in await tx.execute(query)}
    receivers = {row.endpoint_id for row in rows}
    query = select(endpoints.c.id, endpoints.c.url, endpoints.c.tempo).where(endpoints.c.id.in_(listed(tx, receivers)))
    where = {row.id: row for row in await tx.execute(query)}
    ordered = sorted(rows, key=lambda row: str(row.id))
    return [_parcel(row, found[row.event_id], where[row.endpoint_id]) for row in ordered]


def _parcel(row: Row[Any], event: AnyRow, endpoint: AnyRow) -> Parcel:
    return Parcel(
        delivery_id=DeliveryId(row.id),
        account_id=AccountId(row.account_id),
        endpoint_id=EndpointId(row.endpoint_id),
        origin=origin_of(endpoint.url),
        tempo=endpoint.tempo,
        event_id=EventId(row.event_id),
        event_type=row.event_type,
        job_id=row.job_id,
        body=event.body,
        traceparent=event.traceparent,
        standing=row.standing,
        attempts_made=row.attempts_made,
        retries_used=row.retries_used,
        next_attempt_at=row.next_attempt_at,
        asked=row.asked,
        lease=row.lease,
        leased_until=row.wake_at,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


async def clearances(tx: Transaction, ids: Collection[DeliveryId]) -> dict[DeliveryId, Clearance]:
    """Who holds these deliveries now, and how new their endpoints are."""
    query = (
        select(deliveries.c.id, deliveries.c.lease, deliveries.c.wake_at, deliveries.c.endpoint_id, endpoints.c.version)
        .join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)
        .where(deliveries.c.id.in_(listed(tx, ids)))
    )
    return {
        DeliveryId(row.id): Clearance(row.lease, row.wake_at, EndpointId(row.endpoint_id), row.version)
        for row in await tx.execute(query)
    }


async def prolong(tx: Transaction, parcels: Sequence[Parcel], until: datetime) -> None:
    """Extend leases that still hold."""
    held = (deliveries.c.id == bindparam("held"), deliveries.c.lease == bindparam("token"))
    rows = [{"held": parcel.delivery_id, "token": parcel.lease, "until": until} for parcel in parcels]
    await tx.execute(update(deliveries).where(*held).values(wake_at=bindparam("until")), rows)


async def release(tx: Transaction, parcels: Sequence[Parcel], now: datetime) -> None:
    """Give leases back unused: the rows are due at once, for whoever has room."""
    held = (deliveries.c.id == bindparam("held"), deliveries.c.lease == bindparam("token"))
    rows = [{"held": parcel.delivery_id, "token": parcel.lease, "now": now} for parcel in parcels]
    await tx.execute(update(deliveries).where(*held).values(wake_at=bindparam("now"), lease=null()), rows)


_HELD = deliveries.c.lease == bindparam("token")
_SETTLE = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("settled"))
    .values(
        attempts_made=deliveries.c.attempts_made + bindparam("attempts"),
        **{
            name: case((_HELD, bindparam(f"new_{name}", type_=deliveries.c[name].type)), else_=deliveries.c[name])
            for name in (
                "standing",
                "retries_used",
                "next_attempt_at",
                "finished_at",
                "last_response_status",
                "last_error",
            )
        },
        wake_at=case((_HELD, bindparam("new_wake_at", type_=deliveries.c.wake_at.type)), else_=deliveries.c.wake_at),
        asked=case((_HELD, null()), else_=deliveries.c.asked),
        lease=case((_HELD, null()), else_=deliveries.c.lease),
    )
)


async def settle(tx: Transaction, settlements: Sequence[Settlement]) -> None:
    """Write what attempts came to.

    A writer whose lease is no longer the row's own adds to the number of attempts, because they were made, and leaves
    everything else to the one who holds it now.
    """
    rows = [
        {
            "settled": settlement.parcel.delivery_id,
            "token": settlement.parcel.lease,
            "attempts": settlement.attempts,
            "new_standing": settlement.standing,
            "new_retries_used": settlement.retries_used,
            "new_next_attempt_at": settlement.next_attempt_at,
            "new_wake_at": settlement.next_attempt_at,
            "new_finished_at": settlement.finished_at,
            "new_last_response_status": settlement.last_response_status,
            "new_last_error": settlement.last_error,
        }
        for settlement in settlements
    ]
    await tx.execute(_SETTLE, rows)


async def log(tx: Transaction, made: Sequence[Attempt]) -> None:
    """Insert attempts."""
    await tx.execute(insert(attempts), [_attempt_row(attempt) for attempt in made])


def _attempt_row(attempt: Attempt) -> dict[str, Any]:
    outcome = attempt.outcome
    answer, failure, timings = outcome.answer, outcome.failure, outcome.timings
    return {
        "id": attempt.id,
        "delivery_id": attempt.delivery_id,
        "account_id": attempt.account_id,
        "number": attempt.number,
        "trigger": attempt.trigger,
        "started_at": attempt.started_at,
        "url": outcome.url,
        "request_headers": outcome.headers,
        "response_status": answer.status if answer else None,
        "response_headers": answer.headers if answer else None,
        "response_body": answer.body if answer else None,
        "truncated": bool(answer and answer.truncated),
        "error_class": failure.error if failure else None,
        "error_message": failure.message if failure else None,
        "total_ms": timings.total_ms,
        "dns_ms": timings.dns_ms,
        "connect_ms": timings.connect_ms,
        "tls_ms": timings.tls_ms,
        "first_byte_ms": timings.first_byte_ms,
        "remote_address": outcome.remote_address,
    }


async def leases(tx: Transaction, ids: Collection[DeliveryId]) -> dict[DeliveryId, str | None]:
    """The leases that these deliveries are under; nobody changes them until the transaction ends."""
    query = select(deliveries.c.id, deliveries.c.lease).where(deliveries.c.id.in_(listed(tx, ids)))
    rows = await tx.execute(query.order_by(deliveries.c.id).with_for_update())
    return {DeliveryId(row.id): row.lease for row in rows}


async def ask(tx: Transaction, delivery_id: DeliveryId, trigger: Trigger, now: datetime) -> bool:
    """Ask for one attempt now; False where one is being made already."""
    resting = (deliveries.c.id == delivery_id, deliveries.c.lease.is_(None))
    change = update(deliveries).where(*resting).values(asked=trigger, wake_at=now)
    return (await tx.execute(change)).rowcount == 1


async def cancel(tx: Transaction, reach: Reach, delivery_id: str, *, reason: str, now: datetime) -> bool:
    """End a delivery that is not ended; False where it is. A request that is on its way is not called back."""
    running = (reach.covers(deliveries), deliveries.c.id == delivery_id, deliveries.c.standing == "pending")
    return (await tx.execute(update(deliveries).where(*running).values(_cancelled(reason, now)))).rowcount == 1


async def cancel_stranded(tx: Transaction, *, now: datetime, limit: int) -> int:
    """End waiting deliveries whose endpoint was disabled or deleted; return how many."""
    gone = endpoints.c.deleted_at.is_not(None)
    stranded = (
        select(deliveries.c.id)
        .join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)
        .where(deliveries.c.wake_at.is_not(None), deliveries.c.lease.is_(None), or_(gone, ~endpoints.c.active))
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
    )
    reason = (
        select(case((gone, "endpoint deleted"), else_="endpoint disabled"))
        .where(endpoints.c.id == deliveries.c.endpoint_id)
        .scalar_subquery()
    )
    # what had ended before, and was only asked for once more, stays as it ended
    change = {
        name: value if value is None else case((deliveries.c.standing == "pending", value), else_=deliveries.c[name])
        for name, value in _cancelled(reason, now).items()
    }
    return (await tx.execute(update(deliveries).where(deliveries.c.id.in_(stranded)).values(change))).rowcount


def _cancelled(reason: Any, now: datetime) -> dict[str, Any]:
    return {
        "standing": "cancelled",
        "last_error": reason,
        "next_attempt_at": None,
        "wake_at": None,
        "lease": None,
        "asked": None,
        "finished_at": now,
    }


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete some old ended deliveries with their attempts; return how many."""
    old = deliveries.c.id < first_id("dlv", before)
    chosen = select(deliveries.c.id).where(old, deliveries.c.wake_at.is_(None)).order_by(deliveries.c.id).limit(limit)
    ids = (await tx.execute(delete(deliveries).where(deliveries.c.id.in_(chosen)).returning(deliveries.c.id))).scalars()
    gone = list(ids)
    if gone:
        await tx.execute(delete(attempts).where(attempts.c.delivery_id.in_(listed(tx, gone))))
    return len(gone)


async def prune_strays(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete some old attempts without a delivery; return how many.

    Who comes back after its lease ran out may log what it sent when the delivery is gone.
    """
    alone = ~exists().where(deliveries.c.id == attempts.c.delivery_id)
    stray = select(attempts.c.id).where(attempts.c.id < first_id("att", before), alone).limit(limit)
    return (await tx.execute(delete(attempts).where(attempts.c.id.in_(stray)))).rowcount
