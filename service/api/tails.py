"""The end of a list that others write to: what is new in it since the last look, each once."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from delivery.ports import Clock
from delivery.store.engine import Store, Transaction, is_database_fault

T = TypeVar("T")

#: What happened between two moments (the second one None: until now): a key for each, and the id of its row.
Keys = Callable[[Transaction, datetime, datetime | None], Awaitable[Mapping[str, str]]]

#: The rows with these ids, as far as they are wanted, in the order in which they are told.
Rows = Callable[[Transaction, Collection[str]], Awaitable[Sequence[T]]]

#: Who comes back after a long time catches up in steps of this length.
_STEP = timedelta(seconds=5)

#: After the database was away, whoever had something to write has done so within this time.
_WRITTEN = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class News(Generic[T]):
    """What one look found; ``more``: it has not come to the present yet."""

    rows: Sequence[T]
    more: bool


class Tail(Generic[T]):
    """Keys are made before their commit, so each look goes back over what may have been committed since the last one.

    ``late`` is how long a commit may come after the moment of its key.
    """

    def __init__(self, store: Store, clock: Clock, keys: Keys, rows: Rows[T], *, late: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys
        self._rows = rows
        self._late = late
        self._since = clock.now()
        self._seen: Collection[str] = ()
        self._lost_at: datetime | None = None
        self._back_until = self._since

    @property
    def position(self) -> datetime:
        """Up to where everything has been told; who begins there may hear some of it again."""
        return self._since

    def begin_at(self, position: datetime) -> None:
        """Go on where somebody was before."""
        self._since = min(position, self._since)

    async def begin_now(self, tx: Transaction) -> None:
        """Take what is there in this transaction for told already."""
        self._seen = set(await self._keys(tx, self._since - self._late, None))

    async def look(self) -> News[T]:
        """What nobody was told of yet."""
        now = self._clock.now()
        until = self._since + _STEP
        more = until < now
        try:
            async with self._store.reading() as tx:
                found = await self._keys(tx, self._from(), until if more else None)
                rows = await self._rows(tx, {row for key, row in found.items() if key not in self._seen})
        except Exception as error:
            # a database that is away comes back, and the listener waits for it like everybody else
            if not is_database_fault(error):
                raise
            self._lost_at, self._back_until = self._from(), now + _WRITTEN
            return News((), more=False)
        self._seen = set(found)
        self._since = until if more else max(now, self._since)
        if now > self._back_until:
            self._lost_at = None
        return News(rows, more)

    def _from(self) -> datetime:
        return self._since - self._late if self._lost_at is None else self._lost_at
