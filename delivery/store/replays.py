"""Statements about replays: what a filter finds, to be sent once more.

A replay is cut into one part for each endpoint, so that an endpoint that hangs holds up no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Select, case, delete, exists, func, insert, select, update

from delivery.domain.ids import first_id
from delivery.domain.model import AccountId, EndpointId
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import AnyRow, Transaction, listed
from delivery.store.log import DeliveryFilter, matching
from delivery.store.reach import Reach
from delivery.store.tables import deliveries, endpoints, replay_parts, replays

State = Literal["running", "finished", "stopped"]

#: Sorts before the id of any delivery.
_START = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How far something is.

    ``matched`` is what the filter found at the start. Those that were ``asked`` for come to ``delivered``, ``failed``
    or ``withdrawn`` (ended before they were sent). The others were passed over: ``in_progress`` (an attempt was under
    way, or due anyway), ``disabled`` (their endpoint was, or is deleted), ``changed`` (no longer what the filter asks).
    """

    matched: int
    asked: int = 0
    delivered: int = 0
    failed: int = 0
    withdrawn: int = 0
    in_progress: int = 0
    disabled: int = 0
    changed: int = 0

    @property
    def outstanding(self) -> int:
        """How many were asked for and are not sent yet."""
        return self.asked - self.delivered - self.failed - self.withdrawn

    @property
    def left(self) -> int:
        """How many of those that matched were not looked at yet, or no longer match."""
        return max(0, self.matched - self.asked - self.in_progress)


_COUNTS = tuple(count.name for count in fields(Counts))


@dataclass(frozen=True, slots=True)
class Found:
    """What a filter finds at one endpoint: how many, and the newest of them."""

    endpoint_id: EndpointId
    url: str
    active: bool
    matched: int
    last: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a filter finds: endpoint by endpoint, and by the error that each delivery came to last."""

    by_endpoint: Sequence[Found] = ()
    by_error: Sequence[tuple[str | None, int]] = ()

    @property
    def matched(self) -> int:
        """How many deliveries."""
        return sum(found.matched for found in self.by_endpoint)


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay. ``account_id`` is whose deliveries it is about; None: everybody's."""

    id: str
    account_id: AccountId | None
    filter: DeliveryFilter
    by_error: Sequence[tuple[str | None, int]]
    state: State
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Share:
    """How far a replay is with one endpoint."""

    endpoint_id: EndpointId
    url: str
    active: bool
    counts: Counts


# --- making one -------------------------------------------------------------------------------------------------------


async def preview(tx: Transaction, reach: Reach, which: DeliveryFilter) -> Preview:
    """Count what a filter finds."""
    query = (
        select(
            deliveries.c.endpoint_id,
            endpoints.c.url,
            reachable().label("active"),
            deliveries.c.last_error,
            func.count().label("matched"),
            func.max(deliveries.c.id).label("last"),
        )
        .join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)
        .where(reach.covers(deliveries), *matching(which))
        .group_by(deliveries.c.endpoint_id, endpoints.c.id, deliveries.c.last_error)
    )
    return _summed((await tx.execute(query)).all())


def _summed(rows: Sequence[Row[Any]]) -> Preview:
    """Put rows of one endpoint and one error each together, the largest first."""
    by_endpoint: dict[str, Found] = {}
    by_error: dict[str | None, int] = {}
    for row in rows:
        by_error[row.last_error] = by_error.get(row.last_error, 0) + row.matched
        found = Found(EndpointId(row.endpoint_id), row.url, row.active, row.matched, row.last)
        before = by_endpoint.get(found.endpoint_id)
        if before is not None:
            found = replace(found, matched=found.matched + before.matched, last=max(found.last, before.last))
        by_endpoint[found.endpoint_id] = found
    return Preview(
        sorted(by_endpoint.values(), key=lambda found: (-found.matched, found.endpoint_id)),
        sorted(by_error.items(), key=lambda item: (-item[1], item[0] or "")),
    )


async def add(tx: Transaction, replay: Replay, parts: Sequence[Found]) -> None:
    """Insert a replay with a part for each endpoint."""
    row = {name: getattr(replay, name) for name in replays.c.keys() if name != "filter"}  # noqa: SIM118 - names
    await tx.execute(insert(replays).values(row | {"filter": as_json(replay.filter)}))
    if parts:
        await tx.execute(insert(replay_parts), [_new_part(replay.id, found) for found in parts])


def _new_part(replay_id: str, found: Found) -> dict[str, Any]:
    place = {"last": found.last, "cursor": _START, "walked": False, "ended": False}
    return {"replay_id": replay_id, "endpoint_id": found.endpoint_id} | place | asdict(Counts(found.matched))


def as_json(which: DeliveryFilter) -> dict[str, Any]:
    """Write a filter as people write it: only what it asks.

    >>> as_json(DeliveryFilter(status="failed", from_=None, q="ann_1"))
    {'status': 'failed', 'q': 'ann_1'}
    """
    return {name.rstrip("_"): value for name, value in asdict(which).items() if value is not None}


def from_json(written: Mapping[str, Any]) -> DeliveryFilter:
    """Read a filter that was stored.

    >>> from_json({"from": "2026-01-01T00:00:00+00:00"}).from_
    datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    asked: dict[str, Any] = {"from_" if name == "from" else name: value for name, value in written.items()}
    for name in asked.keys() & {"from_", "to"}:
        asked[name] = datetime.fromisoformat(asked[name])
    return DeliveryFilter(**asked)


# --- looking at them --------------------------------------------------------------------------------------------------


def _query(reach: Reach) -> Select[Any]:
    sums = (func.coalesce(func.sum(replay_parts.c[name]), 0).label(name) for name in _COUNTS)
    joined = replays.outerjoin(replay_parts, replay_parts.c.replay_id == replays.c.id)
    return select(replays, *sums).select_from(joined).where(reach.covers(replays)).group_by(replays.c.id)


async def find(tx: Transaction, reach: Reach, replay_id: str) -> Replay | None:
    """One replay."""
    row = (await tx.execute(_query(reach).where(replays.c.id == replay_id))).one_or_none()
    return _replay(row) if row else None


async def browse(tx: Transaction, reach: Reach, request: PageRequest) -> Page[Replay]:
    """A page of replays, newest first."""
    return await page(tx, _query(reach), replays.c.id, request, _replay)


async def shares(tx: Transaction, replay_id: str, *, limit: int) -> Sequence[Share]:
    """How far a replay is with each endpoint; those with the most deliveries first."""
    query = (
        select(replay_parts, endpoints.c.url, reachable().label("active"))
        .join(endpoints, endpoints.c.id == replay_parts.c.endpoint_id)
        .where(replay_parts.c.replay_id == replay_id)
        .order_by(replay_parts.c.matched.desc(), replay_parts.c.endpoint_id)
        .limit(limit)
    )
    rows = await tx.execute(query)
    return [Share(EndpointId(row.endpoint_id), row.url, row.active, counts_of(row)) for row in rows]


def reachable() -> ColumnElement[bool]:
    """Can anything be sent to the endpoint?"""
    return endpoints.c.active & endpoints.c.deleted_at.is_(None)


def counts_of(row: AnyRow) -> Counts:
    """The numbers in a row of a part, or in sums of them."""
    return Counts(**{name: int(getattr(row, name)) for name in _COUNTS})


def _replay(row: AnyRow) -> Replay:
    return Replay(
        id=row.id,
        account_id=row.account_id,
        filter=from_json(row.filter),
        by_error=[(error, count) for error, count in row.by_error],
        state=row.state,
        created_by=row.created_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        counts=counts_of(row),
    )


# --- their state ------------------------------------------------------------------------------------------------------


async def any_open(tx: Transaction) -> bool:
    """Is there a replay for which something is left to do?"""
    return bool((await tx.execute(select(exists().where(replays.c.finished_at.is_(None))))).scalar_one())


async def stop(tx: Transaction, reach: Reach, replay_id: str) -> bool:
    """Have a replay ask for no more; False where it had come to its end."""
    running = (reach.covers(replays), replays.c.id == replay_id, replays.c.state == "running")
    return (await tx.execute(update(replays).where(*running).values(state="stopped"))).rowcount == 1


async def finish(tx: Transaction, now: datetime) -> Sequence[str]:
    """Close replays all of whose parts have ended; return their ids."""
    unended = exists().where(replay_parts.c.replay_id == replays.c.id, ~replay_parts.c.ended)
    done = update(replays).where(replays.c.finished_at.is_(None), ~unended)
    state = case((replays.c.state == "running", "finished"), else_=replays.c.state)
    ids = await tx.execute(done.values(state=state, finished_at=now).returning(replays.c.id))
    return list(ids.scalars())


async def prune(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete some old replays that are closed."""
    old = replays.c.id < first_id("rpl", before), replays.c.finished_at.is_not(None)
    ids = list((await tx.execute(select(replays.c.id).where(*old).limit(limit))).scalars())
    if ids:
        await tx.execute(delete(replay_parts).where(replay_parts.c.replay_id.in_(listed(tx, ids))))
        await tx.execute(delete(replays).where(replays.c.id.in_(listed(tx, ids))))
    return len(ids)
