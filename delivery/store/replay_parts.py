"""Statements about the parts of replays: one endpoint's share, walked in the order of the deliveries' ids.

A part goes from its cursor to the last delivery that matched at the start. What it asked for is kept beside it until it
has been sent: that makes the pace, and the numbers, without a word in the statements that every delivery goes through.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, insert, null, or_, select, tuple_, update

from delivery.domain.model import AccountId, DeliveryId, EndpointId
from delivery.store.engine import AnyRow, Transaction, listed
from delivery.store.log import DeliveryFilter, matching
from delivery.store.reach import Reach
from delivery.store.replays import Counts, counts_of, from_json, reachable
from delivery.store.tables import deliveries, endpoints, replay_asks, replay_parts, replays

#: A place in the order of all parts: a replay and an endpoint.
Key = tuple[str, str]

#: Comes before every part.
FIRST: Key = ("", "")


@dataclass(frozen=True, slots=True)
class Part:
    """One endpoint's part of a replay, locked: what to do with it, and how far it is."""

    replay_id: str
    endpoint_id: EndpointId
    account_id: AccountId | None
    filter: DeliveryFilter
    stopped: bool
    reachable: bool
    last: str
    cursor: str
    walked: bool
    counts: Counts
    ended: bool = False

    @property
    def key(self) -> Key:
        """Its place in the order of all parts."""
        return self.replay_id, self.endpoint_id


async def lock_next(tx: Transaction, after: Key) -> Part | None:
    """Lock the first part behind this one that something is left to do for, and that nobody is at work on."""
    place = tuple_(replay_parts.c.replay_id, replay_parts.c.endpoint_id)
    query = (
        select(replay_parts, replays.c.account_id, replays.c.filter, replays.c.state, reachable().label("reachable"))
        .join(replays, replays.c.id == replay_parts.c.replay_id)
        .join(endpoints, endpoints.c.id == replay_parts.c.endpoint_id)
        .where(replays.c.finished_at.is_(None), ~replay_parts.c.ended, place > tuple_(*after))
        .order_by(replay_parts.c.replay_id, replay_parts.c.endpoint_id)
        .limit(1)
        .with_for_update(of=replay_parts, skip_locked=True)
    )
    row = (await tx.execute(query)).one_or_none()
    return _part(row) if row else None


def _part(row: AnyRow) -> Part:
    return Part(
        replay_id=row.replay_id,
        endpoint_id=EndpointId(row.endpoint_id),
        account_id=row.account_id,
        filter=from_json(row.filter),
        stopped=row.state == "stopped",
        reachable=row.reachable,
        last=row.last,
        cursor=row.cursor,
        walked=row.walked,
        counts=counts_of(row),
    )


async def ahead(tx: Transaction, part: Part, *, limit: int) -> Sequence[DeliveryId]:
    """The next deliveries on the part's way, oldest first."""
    query = (
        select(deliveries.c.id)
        .where(deliveries.c.id > part.cursor, deliveries.c.id <= part.last, *_of_part(part))
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return list((await tx.execute(query)).scalars())


async def ask(tx: Transaction, part: Part, ids: Sequence[DeliveryId], now: datetime) -> int:
    """Ask for one attempt of each that still matches and for which none is under way or due; return how many."""
    resting = (
        deliveries.c.lease.is_(None),
        deliveries.c.asked.is_(None),
        or_(deliveries.c.wake_at.is_(None), deliveries.c.wake_at > now),
    )
    # whoever holds a row at this moment is about to do something with it: it is not waited for
    locked = (
        select(deliveries.c.id)
        .where(deliveries.c.id.in_(listed(tx, ids)), *resting, *_of_part(part))
        .with_for_update(skip_locked=True)
    )
    change = update(deliveries).where(deliveries.c.id.in_(locked)).values(asked="replay", wake_at=now)
    asked = (await tx.execute(change.returning(deliveries.c.id, deliveries.c.attempts_made))).all()
    if asked:
        key = {"replay_id": part.replay_id, "endpoint_id": part.endpoint_id}
        rows = [key | {"delivery_id": row.id, "attempts_before": row.attempts_made} for row in asked]
        await tx.execute(insert(replay_asks), rows)
    return len(asked)


def _of_part(part: Part) -> list[ColumnElement[bool]]:
    reach = Reach(part.account_id)
    return [reach.covers(deliveries), deliveries.c.endpoint_id == part.endpoint_id, *matching(part.filter)]


async def withdraw(tx: Transaction, part: Part) -> None:
    """Take back what the part asked for and nobody is sending yet: the schedule goes on as it was."""
    waiting = (
        select(deliveries.c.id)
        .where(
            deliveries.c.id.in_(select(replay_asks.c.delivery_id).where(*_asked_by(part))),
            deliveries.c.asked == "replay",
            deliveries.c.lease.is_(None),
        )
        .with_for_update(skip_locked=True)
    )
    as_before = {"asked": null(), "wake_at": deliveries.c.next_attempt_at}
    await tx.execute(update(deliveries).where(deliveries.c.id.in_(waiting)).values(as_before))


async def tally(tx: Transaction, part: Part) -> Counts:
    """Count what became of those that were asked for, each once."""
    still_asked = exists().where(deliveries.c.id == replay_asks.c.delivery_id, deliveries.c.asked.is_not(None))
    done = delete(replay_asks).where(*_asked_by(part), ~still_asked)
    before = dict((await tx.execute(done.returning(replay_asks.c.delivery_id, replay_asks.c.attempts_before))).all())
    query = select(deliveries.c.id, deliveries.c.attempts_made, deliveries.c.last_error)
    rows = (await tx.execute(query.where(deliveries.c.id.in_(listed(tx, before))))).all() if before else []
    sent = [row for row in rows if row.attempts_made > before[row.id]]
    delivered = sum(row.last_error is None for row in sent)
    return replace(
        part.counts,
        delivered=part.counts.delivered + delivered,
        failed=part.counts.failed + len(sent) - delivered,
        withdrawn=part.counts.withdrawn + len(before) - len(sent),
    )


def _asked_by(part: Part) -> tuple[ColumnElement[bool], ...]:
    return replay_asks.c.replay_id == part.replay_id, replay_asks.c.endpoint_id == part.endpoint_id


async def save(tx: Transaction, part: Part) -> None:
    """Write how far a part is that this transaction has locked."""
    this = (replay_parts.c.replay_id == part.replay_id, replay_parts.c.endpoint_id == part.endpoint_id)
    place = {"cursor": part.cursor, "walked": part.walked, "ended": part.ended}
    await tx.execute(update(replay_parts).where(*this).values(place | asdict(part.counts)))
