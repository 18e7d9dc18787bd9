"""What time it is."""

import time
from datetime import UTC, datetime, timedelta

from delivery.ports import Clock
from delivery.store.engine import Store, is_database_fault, time_of
from delivery.telemetry import warn

#: A look at the database's clock that took longer says too little about when it was.
_PRECISION_S = 1.0


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return this moment."""
        return datetime.now(UTC)


class SharedClock:
    """The database's clock, looked at now and then, and carried on in between by the steady ticking of this machine.

    All processes on one database go by it. A lease runs out at the same moment for all of them, and a machine whose
    clock is wrong, or is being set, neither sends anything too early nor takes what others are sending.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at = datetime.now(UTC)
        self._when = time.monotonic()
        self._precise = False

    def now(self) -> datetime:
        """Return this moment."""
        return self._at + timedelta(seconds=time.monotonic() - self._when)

    async def look(self) -> None:
        """Compare with the database. While it is away, time goes on as it did."""
        before = time.monotonic()
        try:
            async with self._store.reading() as tx:
                at = await time_of(tx)
        except Exception as error:
            if not is_database_fault(error):
                raise
            warn("clock.alone", error=type(error).__name__)
            return
        after = time.monotonic()
        if after - before < _PRECISION_S or not self._precise:
            self._at, self._when = at, (before + after) / 2
            self._precise = after - before < _PRECISION_S


async def clock_of(store: Store) -> Clock:
    """The clock that everybody on a database goes by: where that is a file, the machine's."""
    if store.dialect == "sqlite":
        return SystemClock()
    clock = SharedClock(store)
    await clock.look()
    return clock
