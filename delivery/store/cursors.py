"""Pages of a list that grows at its top while it is being read.

Newest first, by id. A cursor is the last id of the page before; rows that arrive meanwhile sort before the first page
and move nothing.
"""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Row, Select

from delivery.domain.errors import InvalidInput
from delivery.store.engine import Transaction

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list, and the cursor of the rest (None: that was all)."""

    items: Sequence[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list: at most ``limit`` rows after the cursor."""

    limit: int = 50
    cursor: str | None = None


def encode(last_id: str) -> str:
    """Make a cursor.

    >>> decode(encode("evt_1"))
    'evt_1'
    """
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """Read a cursor."""
    try:
        last_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:  # not base64, or not ASCII: somebody else's text
        last_id = ""
    if not _ID.fullmatch(last_id):
        raise InvalidInput("invalid_cursor", "Not a cursor of this API; begin without one", field="cursor")
    return last_id


async def page(
    tx: Transaction, query: Select[Any], key: Column[str], request: PageRequest, build: Callable[[Row[Any]], T]
) -> Page[T]:
    """Run a query for one page, newest first."""
    if request.cursor is not None:
        query = query.where(key < decode(request.cursor))
    rows = (await tx.execute(query.order_by(key.desc()).limit(request.limit + 1))).all()
    items = [build(row) for row in rows[: request.limit]]
    more = len(rows) > request.limit
    return Page(items, encode(getattr(rows[request.limit - 1], key.name)) if more else None)
