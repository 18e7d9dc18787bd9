"""Statements that erase events with all that came of them, whatever state it is in.

Events are looked through by their ids, a handful at a time: what a step reads and locks is bounded, however much there
is, and nothing is indexed for what is seldom asked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, LargeBinary, Table, case, delete, func, literal, null, select

from delivery.domain.model import EventId
from delivery.store.engine import Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import attempts, dead_letters, deliveries, events

#: Before the ids of all events, and behind those of dead letters.
FIRST_EVENT = "evt_"


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows in a row: the bodies of those that may be meant, by id, and the last id; None: there are no more."""

    bodies: Mapping[str, bytes]
    last: str | None


@dataclass(frozen=True, slots=True)
class Share:
    """How many rows there are of some events. ``busy`` of the events cannot be erased now."""

    events: int
    deliveries: int
    attempts: int
    busy: int


async def of_job(tx: Transaction, reach: Reach, job_id: str, *, after: str, limit: int) -> Window:
    """The next events of a job."""
    return await _window(tx, events, [*_behind(reach, after), events.c.job_id == job_id], limit=limit)


async def holding(tx: Transaction, reach: Reach, needle: bytes, *, after: str, limit: int) -> Window:
    """The next events; meant are those whose body holds the needle."""
    return await _window(tx, events, _behind(reach, after), limit=limit, needle=needle)


def _behind(reach: Reach, after: str) -> list[ColumnElement[bool]]:
    return [reach.covers(events), events.c.id > max(after, FIRST_EVENT)]


async def letters_holding(tx: Transaction, needle: bytes, *, after: str, limit: int) -> Window:
    """The next dead letters whose body holds the needle."""
    return await _window(tx, dead_letters, [dead_letters.c.id > after], limit=limit, needle=needle)


async def _window(
    tx: Transaction, table: Table, scope: Sequence[ColumnElement[bool]], *, limit: int, needle: bytes | None = None
) -> Window:
    body = table.c.body if needle is None else case((_holds(tx, table, needle), table.c.body), else_=null())
    query = select(table.c.id, body.label("body")).where(*scope).order_by(table.c.id).limit(limit)
    rows = (await tx.execute(query)).all()
    return Window({row.id: row.body for row in rows if row.body is not None}, rows[-1].id if rows else None)


def _holds(tx: Transaction, table: Table, needle: bytes) -> ColumnElement[bool]:
    sought = literal(needle, LargeBinary)
    if tx.dialect.name == "postgresql":
        return func.position(sought.op("IN")(table.c.body)) > 0
    return func.instr(table.c.body, sought) > 0


async def count(tx: Transaction, ids: Collection[str]) -> Share:
    """Count what would be erased."""
    of_events = deliveries.c.event_id.in_(listed(tx, ids))
    made = select(func.count()).select_from(attempts.join(deliveries, deliveries.c.id == attempts.c.delivery_id))
    busy = select(func.count(deliveries.c.event_id.distinct())).where(of_events, deliveries.c.lease.is_not(None))
    return Share(
        events=len(ids),
        deliveries=(await tx.execute(select(func.count()).select_from(deliveries).where(of_events))).scalar_one(),
        attempts=(await tx.execute(made.where(of_events))).scalar_one(),
        busy=(await tx.execute(busy)).scalar_one(),
    )


async def erase(tx: Transaction, ids: Collection[str], *, quiet_since: datetime) -> Share:
    """Delete events with their deliveries and attempts, but those of which a request may be under way.

    Such have a delivery that is leased, or locked by somebody at this moment, or that was cancelled after
    ``quiet_since``: a request that was on its way then is still to be logged.
    """
    of_events = deliveries.c.event_id.in_(listed(tx, ids))
    query = select(deliveries.c.id).where(of_events, *_at_rest(quiet_since)).order_by(deliveries.c.id)
    ours = set((await tx.execute(query.with_for_update(skip_locked=True))).scalars())
    made = (await tx.execute(select(deliveries.c.id, deliveries.c.event_id).where(of_events))).all()
    busy = {EventId(row.event_id) for row in made if row.id not in ours}
    gone = [row.id for row in made if row.event_id not in busy]
    erased = [event_id for event_id in ids if event_id not in busy]
    logged = await tx.execute(delete(attempts).where(attempts.c.delivery_id.in_(listed(tx, gone))))
    await tx.execute(delete(deliveries).where(deliveries.c.id.in_(listed(tx, gone))))
    await tx.execute(delete(events).where(events.c.id.in_(listed(tx, erased))))
    return Share(len(erased), len(gone), logged.rowcount, len(busy))


def _at_rest(quiet_since: datetime) -> Sequence[ColumnElement[bool]]:
    """The condition for deliveries of which no request is under way."""
    return (
        deliveries.c.lease.is_(None),
        (deliveries.c.standing != "cancelled") | (deliveries.c.finished_at < quiet_since),
    )


async def discard(tx: Transaction, ids: Collection[str]) -> int:
    """Delete dead letters; return how many."""
    return (await tx.execute(delete(dead_letters).where(dead_letters.c.id.in_(listed(tx, ids))))).rowcount
