"""Which of the rows that are due to take next: two ways to choose, used in turn.

The oldest first keeps the schedule. But behind a flood of one account, or of one type of event, nobody else's rows
would be found; so every other time a few are taken of everybody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, FromClause, Select, func, or_, select, true

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, TEST_TYPE
from delivery.places import Crowded, Terms
from delivery.store.engine import Transaction, listed
from delivery.store.tables import deliveries, endpoints

#: Every type of event that a delivery can be of.
TYPES = (*PUBLISHED, *OPERATIONAL, TEST_TYPE)

#: How far to look beyond what is to be taken, because some endpoints may have more than their share of it.
_DEPTH = 4

#: How much of each account's events of one type is taken at a time when everybody gets some.
_SOME = 16


def oldest(tx: Transaction, terms: Terms, now: datetime) -> Select[Any]:
    """The ids of what has been due the longest, not too many of one endpoint."""
    due = (
        select(deliveries.c.id, deliveries.c.endpoint_id, deliveries.c.wake_at)
        .where(*_wanted(tx, deliveries, terms.crowded, now))
        .order_by(deliveries.c.wake_at, deliveries.c.id)
        .limit(_DEPTH * terms.limit)
        .subquery()
    )
    place = func.row_number().over(partition_by=due.c.endpoint_id, order_by=(due.c.wake_at, due.c.id))
    placed = select(due.c.id, due.c.wake_at, place.label("place")).subquery()
    few_of_each = select(placed.c.id).where(placed.c.place <= terms.per_endpoint)
    return few_of_each.order_by(placed.c.wake_at, placed.c.id).limit(terms.limit)


def some_of_everybody(tx: Transaction, terms: Terms, now: datetime) -> Select[Any]:
    """The ids of some rows of every account and type of event, one of each before two of any."""
    accounts, types = _accounts_with_work(), listed(tx, TYPES).subquery()
    pairs = select(accounts.c.account_id, types.c[0].label("event_type")).join(types, true()).subquery()
    few = _first_few_of_each(tx, pairs, terms, now)
    place = func.row_number().over(partition_by=(pairs.c.account_id, pairs.c.event_type), order_by=few.c[0])
    placed = select(few.c[0].label("id"), place.label("place")).select_from(pairs.join(few, true())).subquery()
    return select(placed.c.id).order_by(placed.c.place).limit(terms.limit)


def _wanted(tx: Transaction, rows: FromClause, crowded: Crowded, now: datetime) -> Sequence[ColumnElement[bool]]:
    """The condition for rows that are due, and whose owners are not crowded."""
    kind = rows.c.endpoint_id + " " + rows.c.event_type
    return (
        rows.c.wake_at <= now,
        or_(
            rows.c.account_id.not_in(listed(tx, crowded.accounts)),
            rows.c.endpoint_id.in_(listed(tx, crowded.exempt)),
        ),
        rows.c.endpoint_id.not_in(listed(tx, crowded.endpoints)),
        *([rows.c.endpoint_id.not_in(_at_origins(tx, crowded))] if crowded.origins else []),
        kind.not_in(listed(tx, [" ".join(pair) for pair in crowded.kinds])),
    )


def _at_origins(tx: Transaction, crowded: Crowded) -> Select[Any]:
    """The endpoints at the crowded origins of their accounts, but for those that are exempt."""
    pairs = listed(tx, [f"{account} {origin}/" for account, origin in crowded.origins]).subquery()
    named = endpoints.c.account_id + " " + endpoints.c.url
    return (
        select(endpoints.c.id)
        .join(pairs, func.substr(named, 1, func.length(pairs.c[0])) == pairs.c[0])
        .where(
            endpoints.c.account_id.in_(listed(tx, {account for account, _ in crowded.origins})),
            endpoints.c.id.not_in(listed(tx, crowded.exempt)),
        )
    )


def _accounts_with_work() -> CTE:
    """Every account that has work left, found by steps along the index and not by reading all of it."""
    rows = deliveries.alias()
    least = select(func.min(rows.c.account_id)).where(rows.c.wake_at.is_not(None))
    found = select(least.scalar_subquery().label("account_id")).cte("accounts_with_work", recursive=True)
    following = least.where(rows.c.account_id > found.c.account_id).correlate(found).scalar_subquery()
    return found.union_all(select(following).where(found.c.account_id.is_not(None)))


def _first_few_of_each(tx: Transaction, pairs: FromClause, terms: Terms, now: datetime) -> FromClause:
    """The ids of the first rows of each pair, as something to join: SQLite has no lateral joins and reads a list."""
    rows = deliveries.alias()
    few = (
        select(rows.c.id)
        .where(rows.c.account_id == pairs.c.account_id, rows.c.event_type == pairs.c.event_type)
        .where(*_wanted(tx, rows, terms.crowded, now))
        .order_by(rows.c.wake_at)
        .limit(min(_SOME, terms.per_endpoint))
        .correlate(pairs)
    )
    if tx.dialect.name == "postgresql":
        return few.lateral()
    ids = few.subquery()
    as_list = select(func.json_group_array(ids.c.id)).correlate(pairs).scalar_subquery()
    return func.json_each(as_list).table_valued("value")
