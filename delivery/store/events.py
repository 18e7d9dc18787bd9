"""Statements about events."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from delivery.domain.ids import first_id
from delivery.domain.model import AccountId, Event, EventId
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import accounts, deliveries, events

PassedOver = Sequence[tuple[str, str]]

_COLUMNS = [column for column in events.c if column.name != "passed_over"]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; None asks nothing."""

    type: str | None = None
    job_id: str | None = None


async def insert_new(
    tx: Transaction, batch: Sequence[Event], passed_over: Mapping[EventId, PassedOver]
) -> set[EventId]:
    """Insert those whose identity is new in their account; return their ids."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(events).on_conflict_do_nothing(index_elements=["account_id", "identity"])
    # in one order for everybody: two transactions with the same events in different orders would lock each other out
    ordered = sorted(batch, key=lambda event: (event.account_id, event.identity))
    rows = [_row(event) | {"passed_over": passed_over.get(event.id, ())} for event in ordered]
    inserted = await tx.execute(statement.returning(events.c.id), rows)
    return set(inserted.scalars())


async def insert_one(tx: Transaction, event: Event) -> None:
    """Insert an event that cannot be a duplicate."""
    await tx.execute(insert(events).values(_row(event) | {"passed_over": ()}))


async def originals(tx: Transaction, duplicates: Iterable[Event]) -> dict[tuple[AccountId, str], EventId]:
    """The ids under which events of these identities were accepted before."""
    wanted = {(event.account_id, event.identity) for event in duplicates}
    if not wanted:
        return {}
    # two lists and not one of pairs: pairs are two parameters each, too many for a large batch, and slow to plan
    query = select(events.c.account_id, events.c.identity, events.c.id).where(
        events.c.account_id.in_(listed(tx, {account_id for account_id, _ in wanted})),
        events.c.identity.in_(listed(tx, {identity for _, identity in wanted})),
    )
    found = {(row.account_id, row.identity): EventId(row.id) for row in await tx.execute(query)}
    return {pair: found[pair] for pair in wanted & found.keys()}


async def known_accounts(tx: Transaction, ids: Iterable[AccountId]) -> set[AccountId]:
    """Which of these accounts exist."""
    rows = await tx.execute(select(accounts.c.id).where(accounts.c.id.in_(listed(tx, ids))))
    return {AccountId(account_id) for account_id in rows.scalars()}


async def find(tx: Transaction, reach: Reach, event_id: str) -> tuple[Event, PassedOver] | None:
    """One event, and the endpoints that it was not sent to."""
    query = select(events).where(reach.covers(events), events.c.id == event_id)
    row = (await tx.execute(query)).one_or_none()
    return (_event(row), row.passed_over) if row else None


async def browse(tx: Transaction, reach: Reach, which: EventFilter, request: PageRequest) -> Page[Event]:
    """A page of events, newest first."""
    query = select(*_COLUMNS).where(reach.covers(events))
    if which.type is not None:
        query = query.where(events.c.type == which.type)
    if which.job_id is not None:
        query = query.where(events.c.job_id == which.job_id)
    return await page(tx, query, events.c.id, request, _event)


async def keys(tx: Transaction, since: datetime, until: datetime | None, *, account_id: AccountId) -> Mapping[str, str]:
    """The ids of the account's events that were made from one moment until before another, or until now."""
    query = select(events.c.id).where(events.c.account_id == account_id, events.c.id >= first_id("evt", since))
    if until is not None:
        query = query.where(events.c.id < first_id("evt", until))
    return {event_id: event_id for event_id in (await tx.execute(query)).scalars()}


async def those(tx: Transaction, ids: Collection[str], *, account_id: AccountId) -> Sequence[Event]:
    """The account's events with these ids, oldest first."""
    query = select(*_COLUMNS).where(events.c.account_id == account_id, events.c.id.in_(listed(tx, ids)))
    return [_event(row) for row in await tx.execute(query.order_by(events.c.id))] if ids else []


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete some old events none of whose deliveries is left."""
    idle = ~exists().where(deliveries.c.event_id == events.c.id)
    old = select(events.c.id).where(events.c.id < first_id("evt", before), idle).limit(limit)
    return (await tx.execute(delete(events).where(events.c.id.in_(old)))).rowcount


_FIELDS = tuple(field.name for field in fields(Event))


def _row(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _FIELDS}


def _event(row: Row[Any]) -> Event:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's names
    values.pop("passed_over", None)
    return Event(**values)
