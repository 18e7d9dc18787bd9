"""Reading the log: deliveries, found by what people ask for, and their attempts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, or_, select

from delivery.domain.ids import first_id
from delivery.domain.model import (
    AccountId,
    Answer,
    Attempt,
    AttemptId,
    Delivery,
    DeliveryId,
    Failure,
    Outcome,
    Status,
    Timings,
)
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import attempts, deliveries, endpoints

_STATUS = case((deliveries.c.lease.is_not(None), "sending"), else_=deliveries.c.standing)

_COLUMNS = (
    deliveries.c.id,
    deliveries.c.account_id,
    deliveries.c.event_id,
    deliveries.c.event_type,
    deliveries.c.endpoint_id,
    endpoints.c.url,
    _STATUS.label("status"),
    deliveries.c.attempts_made,
    deliveries.c.retries_used,
    deliveries.c.next_attempt_at,
    deliveries.c.last_response_status,
    deliveries.c.last_error,
    deliveries.c.job_id,
    deliveries.c.created_at,
    deliveries.c.finished_at,
)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which part of the log; None asks nothing. ``q`` finds an event, delivery or job by its id."""

    status: Status | None = None
    event: str | None = None
    webhook_id: str | None = None
    job_id: str | None = None
    event_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    q: str | None = None
    response_status: int | None = None
    error_class: str | None = None
    account_id: str | None = None


def _query(reach: Reach) -> Select[Any]:
    joined = deliveries.join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)
    return select(*_COLUMNS).select_from(joined).where(reach.covers(deliveries))


async def find(tx: Transaction, reach: Reach, delivery_id: str) -> Delivery | None:
    """One delivery."""
    row = (await tx.execute(_query(reach).where(deliveries.c.id == delivery_id))).one_or_none()
    return _delivery(row) if row else None


async def of_events(tx: Transaction, reach: Reach, event_ids: Collection[str]) -> Sequence[Delivery]:
    """All deliveries of these events, oldest first."""
    query = _query(reach).where(deliveries.c.event_id.in_(listed(tx, event_ids)))
    return [_delivery(row) for row in await tx.execute(query.order_by(deliveries.c.id))]


async def browse(tx: Transaction, reach: Reach, which: DeliveryFilter, request: PageRequest) -> Page[Delivery]:
    """A page of the log, newest first."""
    query = _query(reach).where(*matching(which))
    return await page(tx, query, deliveries.c.id, request, _delivery)


async def those(tx: Transaction, reach: Reach, which: DeliveryFilter, ids: Collection[str]) -> Sequence[Delivery]:
    """What the filter finds among the deliveries with these ids, oldest first."""
    if not ids:
        return []
    query = _query(reach).where(deliveries.c.id.in_(listed(tx, ids)), *matching(which))
    return [_delivery(row) for row in await tx.execute(query.order_by(deliveries.c.id))]


def matching(which: DeliveryFilter) -> list[ColumnElement[bool]]:
    """The conditions that a delivery's row meets if the filter asks for it."""
    row = deliveries.c
    found: list[tuple[Any, ColumnElement[bool]]] = [
        (which.status, _stands(which.status)),
        (which.event, row.event_type == which.event),
        (which.webhook_id, row.endpoint_id == which.webhook_id),
        (which.job_id, row.job_id == which.job_id),
        (which.event_id, row.event_id == which.event_id),
        (which.response_status, row.last_response_status == which.response_status),
        (which.error_class, row.last_error == which.error_class),
        (which.account_id, row.account_id == which.account_id),
        (which.q, or_(row.id == which.q, row.event_id == which.q, row.job_id == which.q)),
    ]
    conditions = [condition for asked, condition in found if asked is not None]
    if which.from_ is not None:
        conditions.append(row.id >= first_id("dlv", which.from_))
    if which.to is not None:
        conditions.append(row.id < first_id("dlv", which.to))
    return conditions


def _stands(status: Status | None) -> ColumnElement[bool]:
    """A status as the row has it. Said in its columns and not as ``_STATUS``, of which a planner knows nothing.

    What is not over has something to wake for, which is said in the words of an index: there may be few among many.
    """
    row = deliveries.c
    if status == "sending":
        return and_(row.lease.is_not(None), row.wake_at.is_not(None))
    stands = and_(row.standing == status, row.lease.is_(None))
    return and_(stands, row.wake_at.is_not(None)) if status == "pending" else stands


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)  # noqa: SLF001 - the documented way to a row's names


async def attempts_of(tx: Transaction, reach: Reach, delivery_id: str) -> Sequence[Attempt]:
    """Every attempt of a delivery, in the order in which they were made."""
    query = select(attempts).where(reach.covers(attempts), attempts.c.delivery_id == delivery_id)
    return [_attempt(row) for row in await tx.execute(query.order_by(attempts.c.started_at, attempts.c.number))]


def _attempt(row: Row[Any]) -> Attempt:
    answer = None
    if row.response_status is not None:
        headers = tuple((name, value) for name, value in row.response_headers)
        answer = Answer(row.response_status, headers, row.response_body, row.truncated)
    return Attempt(
        id=AttemptId(row.id),
        delivery_id=DeliveryId(row.delivery_id),
        account_id=AccountId(row.account_id),
        number=row.number,
        trigger=row.trigger,
        started_at=row.started_at,
        outcome=Outcome(
            url=row.url,
            headers=row.request_headers,
            timings=Timings(row.total_ms, row.dns_ms, row.connect_ms, row.tls_ms, row.first_byte_ms),
            answer=answer,
            failure=Failure(row.error_class, row.error_message) if row.error_class else None,
            remote_address=row.remote_address,
        ),
    )
