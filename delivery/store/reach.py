"""Whose rows a caller may see: the tenant boundary, inside the statements themselves."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, true

from delivery.domain.model import AccountId


@dataclass(frozen=True, slots=True)
class Reach:
    """One account, or every account (an operator's)."""

    account_id: AccountId | None

    def covers(self, table: Table) -> ColumnElement[Any]:
        """The condition that keeps a statement within reach."""
        return true() if self.account_id is None else table.c.account_id == self.account_id


EVERYONE = Reach(None)
