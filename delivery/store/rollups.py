"""Statements about statistics: counts are noted, folded into rollups, read, and pruned.

A transaction that has something to count notes it in one row of its own, which nobody else writes: processes never wait
for each other's counters. A clock job takes those rows and adds them to the rollups, in one transaction, so each counts
once, whoever dies in the middle. Reading never looks at what was counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, delete, func, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from delivery.domain.tally import COUNTS, Fact, Grain, Key, Tally, begin_of, tallied
from delivery.store.engine import Transaction
from delivery.store.reach import Reach
from delivery.store.tables import endpoints, rollups, tallies

_KEY = [column.name for column in rollups.primary_key]
_SUMS = [func.sum(rollups.c[name]).label(name) for name in COUNTS]


@dataclass(frozen=True, slots=True)
class Window:
    """Which buckets: those that begin in ``[begin, end)``; of one endpoint, of one type, or of all."""

    grain: Grain
    begin: datetime
    end: datetime
    endpoint_id: str | None = None
    event_type: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What was counted of one endpoint."""

    endpoint_id: str
    account_id: str
    url: str
    counts: Mapping[str, int]


async def note(tx: Transaction, tally: Tally) -> None:
    """Write down what this transaction counts."""
    if tally:
        counted = [[where.at.isoformat(), *where[1:], counts] for where, counts in tally.items()]
        await tx.execute(insert(tallies), [{"counted": counted}])


async def fold(tx: Transaction, *, limit: int) -> int:
    """Add some of what was noted to the rollups; return how many notes."""
    oldest = select(tallies.c.id).order_by(tallies.c.id).limit(limit).with_for_update(skip_locked=True)
    taken = delete(tallies).where(tallies.c.id.in_(oldest)).returning(tallies.c.counted)
    notes = (await tx.execute(taken)).scalars().all()
    for_each_grain = [(grain, tallied(_facts(notes, grain))) for grain in get_args(Grain)]
    rows = [_row(grain, where, counts) for grain, tally in for_each_grain for where, counts in tally.items()]
    if rows:
        dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(rollups)
        added = {name: rollups.c[name] + statement.excluded[name] for name in COUNTS}
        # in one order for everybody: two who fold the same buckets in different orders would lock each other out
        rows.sort(key=lambda row: [row[name] for name in _KEY])
        await tx.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=added), rows)
    return len(notes)


def _facts(notes: Sequence[Any], grain: Grain) -> Iterator[Fact]:
    for counted in notes:
        for at, account_id, endpoint_id, event_type, counts in counted:
            begin = begin_of(grain, datetime.fromisoformat(at))
            yield Key(begin, account_id, endpoint_id, event_type), counts


def _row(grain: Grain, where: Key, counts: Mapping[str, int]) -> dict[str, Any]:
    return {"grain": grain} | where._asdict() | {name: counts.get(name, 0) for name in COUNTS}


async def series(tx: Transaction, reach: Reach, window: Window) -> dict[datetime, Mapping[str, int]]:
    """What was counted in each bucket of the window in which anything was."""
    query = select(rollups.c.at, *_SUMS).where(*_within(reach, window)).group_by(rollups.c.at)
    return {row.at: _counts(row._mapping) for row in await tx.execute(query)}  # noqa: SLF001 - the documented way


async def accepted(tx: Transaction, reach: Reach, window: Window) -> Mapping[str, int]:
    """How many events were accepted in the window, by type."""
    events = func.sum(rollups.c.accepted).label("events")
    query = select(rollups.c.event_type, events).where(*_within(reach, window)).group_by(rollups.c.event_type)
    return {row.event_type: int(row.events) for row in await tx.execute(query)}


async def busiest(tx: Transaction, reach: Reach, window: Window, *, limit: int) -> Sequence[Share]:
    """The endpoints with the most attempts in the window."""
    most = (
        select(rollups.c.endpoint_id, *_SUMS)
        .where(*_within(reach, window), rollups.c.endpoint_id != "")
        .group_by(rollups.c.endpoint_id)
        .order_by(func.sum(rollups.c.attempts).desc(), rollups.c.endpoint_id)
        .limit(limit)
        .subquery()
    )
    query = select(most, endpoints.c.account_id, endpoints.c.url).join(endpoints, endpoints.c.id == most.c.endpoint_id)
    rows = await tx.execute(query.order_by(most.c.attempts.desc(), most.c.endpoint_id))
    return [Share(row.endpoint_id, row.account_id, row.url, _counts(row._mapping)) for row in rows]  # noqa: SLF001 - the documented way


def _within(reach: Reach, window: Window) -> list[ColumnElement[bool]]:
    conditions = [
        reach.covers(rollups),
        rollups.c.grain == window.grain,
        rollups.c.at >= window.begin,
        rollups.c.at < window.end,
    ]
    if window.endpoint_id is not None:
        conditions.append(rollups.c.endpoint_id == window.endpoint_id)
    if window.event_type is not None:
        conditions.append(rollups.c.event_type == window.event_type)
    return conditions


def _counts(row: Mapping[Any, Any]) -> Mapping[str, int]:
    return {name: int(row[name]) for name in COUNTS}


async def prune(tx: Transaction, grain: Grain, *, before: datetime, limit: int) -> int:
    """Delete some buckets that began before a moment; return how many."""
    key = [rollups.c[name] for name in _KEY]
    old = select(*key).where(rollups.c.grain == grain, rollups.c.at < before).limit(limit)
    return (await tx.execute(delete(rollups).where(tuple_(*key).in_(old)))).rowcount
