"""What happened in the log, and when: three ranges of an index each, so that to look often costs little.

A delivery changes when it is made, with every attempt, and when it is cancelled.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, ColumnElement, select, union_all

from delivery.domain.ids import first_id
from delivery.store.engine import Transaction
from delivery.store.reach import Reach
from delivery.store.tables import attempts, deliveries


async def between(tx: Transaction, reach: Reach, since: datetime, until: datetime | None) -> Mapping[str, str]:
    """What happened from one moment until before another, or until now: a key for each, and the delivery's id.

    An attempt counts from its start. Keys and attempts are written some time after their moments.
    """
    made = select(deliveries.c.id, deliveries.c.id.label("delivery_id")).where(
        reach.covers(deliveries), *_within(deliveries.c.id, first_id("dlv", since), until and first_id("dlv", until))
    )
    attempted = select(attempts.c.id, attempts.c.delivery_id).where(
        reach.covers(attempts), *_within(attempts.c.id, first_id("att", since), until and first_id("att", until))
    )
    cancelled = select((deliveries.c.id + ".cancelled").label("id"), deliveries.c.id).where(
        reach.covers(deliveries),
        deliveries.c.standing == "cancelled",
        *_within(deliveries.c.finished_at, since, until),
    )
    rows = await tx.execute(union_all(made, attempted, cancelled))
    return {row.id: row.delivery_id for row in rows}


def _within(column: Column[str] | Column[datetime], first: object, last: object) -> list[ColumnElement[bool]]:
    return [column >= first] + ([] if last is None else [column < last])
