"""Whose rows a caller may see: the tenant boundary, inside the statements themselves."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, true

from delivery.domain.errors import NotFound
from delivery.domain.model import AccountId


@dataclass(frozen=True, slots=True)
class Reach:
    """One account, or every account (an operator's)."""

    account_id: AccountId | None

    def narrowed(self, account_id: str | None) -> "Reach":
        """The same, or just one account of it.

        Raises:
            NotFound: it is out of reach.
        """
        if account_id is None:
            return self
        if self.account_id not in (None, account_id):
            raise NotFound("account")
        return Reach(AccountId(account_id))

    def covers(self, table: Table) -> ColumnElement[Any]:
        """The condition that keeps a statement within reach."""
        return true() if self.account_id is None else table.c.account_id == self.account_id


EVERYONE = Reach(None)
