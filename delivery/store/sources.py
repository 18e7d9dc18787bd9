"""Statements about sources: what people set, what polling finds, and who may poll."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, delete, exists, func, insert, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from delivery.domain.sources import Source, SourceId, Wake
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import AnyRow, Transaction
from delivery.store.reach import Reach
from delivery.store.tables import source_marks, source_wakes, sources

#: Subjects of one source that wait to be looked into. What comes beyond them wakes it for everything.
MOST_SUBJECTS = 1000

# --- people -----------------------------------------------------------------------------------------------------------


async def add(tx: Transaction, source: Source) -> None:
    """Insert a source."""
    await tx.execute(insert(sources).values(asdict(source)))


async def save(tx: Transaction, source: Source) -> None:
    """Write a changed source that this transaction has locked. A poll under way is over: what it finds is not taken."""
    row = asdict(source) | {"lease": None, "leased_until": None}
    await tx.execute(update(sources).where(sources.c.id == source.id).values(row))


async def find(tx: Transaction, reach: Reach, source_id: str, *, for_update: bool = False) -> Source | None:
    """One source that was not deleted; ``for_update`` keeps others from changing it until the transaction ends."""
    query = select(sources).where(reach.covers(sources), sources.c.id == source_id, sources.c.deleted_at.is_(None))
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return _source(row) if row else None


async def browse(tx: Transaction, reach: Reach, request: PageRequest) -> Page[Source]:
    """A page of sources, newest first."""
    query = select(sources).where(reach.covers(sources), sources.c.deleted_at.is_(None))
    return await page(tx, query, sources.c.id, request, _source)


async def by_state(tx: Transaction) -> Counter[str]:
    """How many sources are in which state, those that are paused left out."""
    query = select(sources.c.state, func.count().label("number")).where(
        sources.c.active, sources.c.deleted_at.is_(None)
    )
    return Counter({row.state: row.number for row in await tx.execute(query.group_by(sources.c.state))})


async def has(tx: Transaction, account_id: str, count: int) -> bool:
    """Whether an account has at least so many sources."""
    own = select(sources.c.id).where(sources.c.account_id == account_id, sources.c.deleted_at.is_(None))
    return (await tx.execute(own.offset(count - 1).limit(1))).first() is not None


async def following(tx: Transaction, after: str, *, limit: int) -> Sequence[Source]:
    """The sources that come next by their id, deleted ones too."""
    query = select(sources).where(sources.c.id > after).order_by(sources.c.id).limit(limit)
    return [_source(row) for row in await tx.execute(query)]


async def lock(tx: Transaction, source_id: SourceId) -> Source:
    """One source that there is, deleted or not; nobody else changes it until the transaction ends."""
    return _source((await tx.execute(select(sources).where(sources.c.id == source_id).with_for_update())).one())


async def reseal(tx: Transaction, source_id: SourceId, credentials: str) -> None:
    """Write the credentials of a source that this transaction has locked. They are the same, sealed anew."""
    await tx.execute(update(sources).where(sources.c.id == source_id).values(credentials=credentials))


async def forget(tx: Transaction, source_id: SourceId) -> None:
    """Delete what a source's connector knew, and what it was to look into."""
    for table in (source_marks, source_wakes):
        await tx.execute(delete(table).where(table.c.source_id == source_id))


async def make_due(tx: Transaction, source: Source) -> None:
    """Write when to poll a source next, and nothing else."""
    await tx.execute(update(sources).where(sources.c.id == source.id).values(due_at=source.due_at))


# --- polling ----------------------------------------------------------------------------------------------------------


async def claim(tx: Transaction, *, now: datetime, until: datetime, lease: str, limit: int) -> Sequence[Source]:
    """Take some of the sources that are due and that nobody polls, the one that waits longest first."""
    free = or_(sources.c.lease.is_(None), sources.c.leased_until < now)
    due = (
        select(sources.c.id)
        .where(sources.c.due_at <= now, sources.c.active, sources.c.deleted_at.is_(None), free)
        .order_by(sources.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = update(sources).where(sources.c.id.in_(due)).values(lease=lease, leased_until=until).returning(sources)
    return [_source(row) for row in await tx.execute(taken)]


async def renew(tx: Transaction, leases: Iterable[str], until: datetime) -> None:
    """Prolong the leases of polls under way."""
    await tx.execute(update(sources).where(sources.c.lease.in_(list(leases))).values(leased_until=until))


async def release(tx: Transaction, leases: Iterable[str]) -> None:
    """Let go of what is leased, which is polled again when it is due, and it still is."""
    mine = sources.c.lease.in_(list(leases))
    await tx.execute(update(sources).where(mine).values(lease=None, leased_until=None))


async def count(tx: Transaction, source_id: SourceId, events: int, refused: Iterable[str], now: datetime) -> None:
    """Count what a source that this transaction has locked published, and what it could not, by error code."""
    before = (await tx.execute(select(sources.c.refused).where(sources.c.id == source_id))).scalar_one()
    changes: dict[str, Any] = {"events": sources.c.events + events, "refused": dict(Counter(before) + Counter(refused))}
    if events:
        changes["last_event_at"] = now
    await tx.execute(update(sources).where(sources.c.id == source_id).values(changes))


async def note(tx: Transaction, source: Source, lease: str, changes: Mapping[str, Any]) -> bool:
    """Write what a poll found about its source; False: it is not that poll's any more, and nothing is to be written."""
    mine = update(sources).where(sources.c.id == source.id, sources.c.lease == lease)
    return (await tx.execute(mine.values(**changes))).rowcount == 1


def next_due(source: Source, due: datetime | None, now: datetime) -> ColumnElement[datetime | None]:
    """When a source is due after a poll: at once, if somebody asked for that since it was claimed as this."""
    usual = literal(due, sources.c.due_at.type)
    return case((sources.c.due_at != source.due_at, literal(now, sources.c.due_at.type)), else_=usual)


async def poll_again(tx: Transaction, source_id: SourceId, now: datetime) -> None:
    """Let a source be polled at once if there is something to look into."""
    waiting = exists().where(source_wakes.c.source_id == sources.c.id)
    await tx.execute(update(sources).where(sources.c.id == source_id, waiting).values(due_at=now))


# --- what a connector knows -------------------------------------------------------------------------------------------


async def mark(tx: Transaction, source_id: SourceId, kind: str, key: str) -> Any:
    """Return one mark; None: there is none."""
    query = select(source_marks.c.value).where(_named(source_id, kind), source_marks.c.key == key)
    return (await tx.execute(query)).scalar_one_or_none()


async def marks(tx: Transaction, source_id: SourceId, kind: str) -> Mapping[str, Any]:
    """Return all marks of a kind."""
    query = select(source_marks.c.key, source_marks.c.value).where(_named(source_id, kind))
    return {row.key: row.value for row in await tx.execute(query)}


async def write_marks(tx: Transaction, source_id: SourceId, changes: Mapping[tuple[str, str], Any]) -> None:
    """Write marks; None deletes one."""
    gone = [name for name, value in changes.items() if value is None]
    if gone:
        name = tuple_(source_marks.c.kind, source_marks.c.key)
        await tx.execute(delete(source_marks).where(source_marks.c.source_id == source_id, name.in_(gone)))
    rows = [
        {"source_id": source_id, "kind": kind, "key": key, "value": value}
        for (kind, key), value in changes.items()
        if value is not None
    ]
    if rows:
        dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
        new = dialect.insert(source_marks)
        await tx.execute(
            new.on_conflict_do_update(index_elements=["source_id", "kind", "key"], set_={"value": new.excluded.value}),
            rows,
        )


# --- what systems say -------------------------------------------------------------------------------------------------


async def wake(tx: Transaction, source_id: SourceId, wakes: Sequence[Wake]) -> None:
    """Keep what a system said, the last word about each subject; let the source be polled, if that is of use now."""
    full = select(func.count()).select_from(source_wakes).where(source_wakes.c.source_id == source_id)
    crowded = (await tx.execute(full)).scalar_one() >= MOST_SUBJECTS
    rows = [
        {"source_id": source_id, "subject": "" if crowded else one.subject, "detail": one.detail, "at": one.at}
        for one in wakes
    ]
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    new = dialect.insert(source_wakes)
    latest = {"detail": new.excluded.detail, "at": new.excluded.at}
    await tx.execute(new.on_conflict_do_update(index_elements=["source_id", "subject"], set_=latest), rows)
    # one that is away is asked again when it is due, however much it says meanwhile
    well = sources.c.state.in_(("new", "ok")) & (sources.c.due_at > wakes[0].at)
    await tx.execute(update(sources).where(sources.c.id == source_id, well).values(due_at=wakes[0].at))


async def wakes(tx: Transaction, source_id: SourceId) -> Sequence[Wake]:
    """Return what there is to look into, the oldest first."""
    query = select(source_wakes).where(source_wakes.c.source_id == source_id).order_by(source_wakes.c.at)
    return [Wake(row.subject, row.detail, row.at) for row in await tx.execute(query)]


async def heed(tx: Transaction, source_id: SourceId, seen: Sequence[Wake]) -> None:
    """Forget what was looked into, unless it was said again since."""
    for one in seen:
        same = (source_wakes.c.subject == one.subject) & (source_wakes.c.at == one.at)
        await tx.execute(delete(source_wakes).where(source_wakes.c.source_id == source_id, same))


def _named(source_id: SourceId, kind: str) -> ColumnElement[bool]:
    return (source_marks.c.source_id == source_id) & (source_marks.c.kind == kind)


def _source(row: AnyRow) -> Source:
    return Source(**row._mapping)  # noqa: SLF001 - the documented way to a row's names
