"""What waits, counted by looking at no more than so many rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from delivery.store.due import TYPES
from delivery.store.engine import Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import deliveries

#: How many waiting deliveries are counted at the most.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries that are not over, by state (sending, due, waiting) and by attempts of their schedule that were made.

    ``more``: so many were counted that there may be more. ``oldest_due_s``: for how long the oldest has been due.
    """

    by_state: Mapping[str, int]
    by_step: Mapping[int, int]
    more: bool
    oldest_due_s: float


async def look(tx: Transaction, reach: Reach, now: datetime, *, most: int = MOST) -> Backlog:
    """Count what waits, up to a limit."""
    state = case((deliveries.c.lease.is_not(None), "sending"), (deliveries.c.wake_at <= now, "due"), else_="waiting")
    some = (
        select(state.label("state"), deliveries.c.retries_used)
        .where(reach.covers(deliveries), deliveries.c.wake_at.is_not(None))
        .order_by(*_along_the_index(reach))
        .limit(most)
        .subquery()
    )
    query = select(some, func.count().label("number")).group_by(*some.c)
    by_state, by_step = Counter({"sending": 0, "due": 0, "waiting": 0}), Counter[int]()
    for row in await tx.execute(query):
        by_state[row.state] += row.number
        by_step[row.retries_used] += row.number
    oldest: datetime | None = (await tx.execute(_oldest(tx, reach))).scalar_one()
    due_s = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return Backlog(by_state, dict(sorted(by_step.items())), more=by_state.total() == most, oldest_due_s=due_s)


def _along_the_index(reach: Reach) -> Sequence[ColumnElement[Any]]:
    """An order in which an index has what waits and nothing else, so that nothing else is read on the way."""
    row = deliveries.c
    return (row.wake_at, row.id) if reach.account_id is None else (row.account_id, row.event_type, row.wake_at)


def _oldest(tx: Transaction, reach: Reach) -> Select[Any]:
    """When what waits first wants attention: one step into an index, or one for each type of an account's events."""
    least = select(func.min(deliveries.c.wake_at)).where(reach.covers(deliveries), deliveries.c.wake_at.is_not(None))
    if reach.account_id is None:
        return least
    types = listed(tx, TYPES).subquery()
    return select(func.min(least.where(deliveries.c.event_type == types.c[0]).scalar_subquery())).select_from(types)
