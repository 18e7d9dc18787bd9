"""Statements about messages that the bus could not use."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import Transaction
from delivery.store.tables import dead_letters


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it came, and why it could not be used: ``reason`` is the error's code, ``detail`` its words."""

    id: str
    received_at: datetime
    queue: str
    routing_key: str
    reason: str
    detail: str
    content_type: str | None
    headers: Mapping[str, str]
    body: bytes


async def park(tx: Transaction, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters; one that is kept already stays as it is."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    await tx.execute(dialect.insert(dead_letters).on_conflict_do_nothing(), [asdict(letter) for letter in letters])


async def find(tx: Transaction, letter_id: str) -> DeadLetter | None:
    """One dead letter."""
    row = (await tx.execute(select(dead_letters).where(dead_letters.c.id == letter_id))).one_or_none()
    return _letter(row) if row else None


async def browse(tx: Transaction, request: PageRequest) -> Page[DeadLetter]:
    """A page of dead letters, newest first."""
    return await page(tx, select(dead_letters), dead_letters.c.id, request, _letter)


async def discard(tx: Transaction, letter_id: str) -> bool:
    """Delete one; False: there is none."""
    return (await tx.execute(delete(dead_letters).where(dead_letters.c.id == letter_id))).rowcount == 1


async def count(tx: Transaction, *, most: int) -> int:
    """How many there are, counted up to a limit; their bodies stay unread."""
    some = select(dead_letters.c.id).limit(most).subquery()
    return (await tx.execute(select(func.count()).select_from(some))).scalar_one()


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(**row._mapping)  # noqa: SLF001 - the documented way to a row's names
