"""Statements about the audit trail: who changed what. Each row is written in the transaction of its change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select

from delivery.domain.deeds import By, Deed, Members, What
from delivery.domain.ids import Luck, first_id, new_id
from delivery.domain.model import AccountId
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import Transaction
from delivery.store.reach import Reach
from delivery.store.tables import audit


@dataclass(frozen=True, slots=True)
class Entry:
    """A deed, who did it, and when."""

    id: str
    account_id: AccountId | None
    at: datetime
    who_id: str
    who: str
    what: What
    object_id: str
    name: str
    before: Members | None
    after: Members | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None asks nothing. ``who`` is an id, or part of a name in whatever case."""

    what: What | None = None
    object_id: str | None = None
    who: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


async def note(tx: Transaction, by: By, *deeds: Deed, now: datetime, luck: Luck) -> None:
    """Write down who did this, in the transaction that does it."""
    rows = [
        {
            "id": new_id("aud", now, luck),
            "account_id": deed.account_id,
            "at": now,
            "who_id": by.id,
            "who": by.name,
            "what": deed.what,
            "object_id": deed.object_id,
            "name": deed.name,
            "before": deed.before,
            "after": deed.after,
        }
        for deed in deeds
    ]
    if rows:
        await tx.execute(insert(audit), rows)


async def browse(tx: Transaction, reach: Reach, which: AuditFilter, request: PageRequest) -> Page[Entry]:
    """A page of the trail, newest first."""
    query = select(audit).where(reach.covers(audit))
    if which.what is not None:
        query = query.where(audit.c.what == which.what)
    if which.object_id is not None:
        query = query.where(audit.c.object_id == which.object_id)
    if which.who is not None:
        query = query.where(or_(audit.c.who_id == which.who, audit.c.who.icontains(which.who, autoescape=True)))
    if which.from_ is not None:
        query = query.where(audit.c.id >= first_id("aud", which.from_))
    if which.to is not None:
        query = query.where(audit.c.id < first_id("aud", which.to))
    return await page(tx, query, audit.c.id, request, _entry)


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete some old entries."""
    old = select(audit.c.id).where(audit.c.id < first_id("aud", before)).limit(limit)
    return (await tx.execute(delete(audit).where(audit.c.id.in_(old)))).rowcount


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._mapping)  # noqa: SLF001 - the documented way to a row's names
