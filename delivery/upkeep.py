"""What has to be done again and again. Each function is safe to run in any number of processes at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol, SupportsFloat, get_args

from delivery.courier import Courier
from delivery.domain.deeds import HOOKLINE, given_up
from delivery.domain.model import EndpointId
from delivery.domain.sources import SourceState
from delivery.ledger import Ledger
from delivery.notices import post, webhook_disabled
from delivery.ports import Surroundings
from delivery.store import audit, backlog, deliveries, endpoints, events, gates, replays, sources
from delivery.store.engine import Store, Transaction
from delivery.store.reach import EVERYONE
from delivery.telemetry import BACKLOG, OLDEST, SOURCES, tell, warn

#: Rows per transaction of housekeeping: small enough to hold no lock for long.
_HANDFUL = 500

#: How long it can be found out who changed what.
_KEEP_AUDIT = timedelta(days=400)

#: Leases that have run no longer than this are not prolonged. Together with the time between two renewals it has to fit
#: into what a lease has more than the longest delivery needs.
_AS_GOOD_AS_NEW = timedelta(seconds=2)


class Sweep:
    """Brings what is due from the store to the courier: retries, requests by hand, and what a dead process left."""

    def __init__(self, store: Store, courier: Courier, ledger: Ledger, around: Surroundings, *, lease_s: float) -> None:
        self._store = store
        self._courier = courier
        self._ledger = ledger
        self._around = around
        self._lease = timedelta(seconds=lease_s)
        self._one_at_a_time = asyncio.Lock()
        self._ending = False

    async def run(self) -> None:
        """Take what is due, as long as there is any and there is room for it."""
        async with self._one_at_a_time:
            fairly = False
            # after an outage the log comes first: what was sent meanwhile must not look like a dead process's work
            while not self._ledger.behind and not self._ending and await self._claim(fairly=fairly):
                fairly = not fairly

    @asynccontextmanager
    async def following(self, *, grace_s: SupportsFloat = 10.0) -> AsyncIterator[None]:
        """While the block is open, run at once whenever the courier has room for what it had to leave.

        A claim that is under way when it is left has ``grace_s``, asked then, to end.
        """
        self._ending = False
        follower = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            # asked to end, not cancelled: a claim that is under way is committed and known to the courier
            self._ending = True
            self._courier.wake()
            await asyncio.wait({follower}, timeout=float(grace_s))
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self._courier.until_hungry()
            if self._ending:
                return
            try:
                await self.run()
            except Exception as error:  # noqa: BLE001 - the next tick tries again, and it must find this task alive
                warn("sweep.failed", error=repr(error))

    async def _claim(self, *, fairly: bool) -> bool:
        """Take some of what is due; False: that was all, or there is no room for more.

        Where there is none for the oldest, there may still be some for somebody else.
        """
        terms = self._courier.terms()
        if terms.limit == 0:
            return False
        now = self._around.clock.now()
        lease, until = self._courier.new_lease(), now + self._lease
        with self._courier.booking() as booking:
            async with self._store.writing() as tx:
                parcels = await deliveries.claim(tx, lease, terms, now=now, until=until, fairly=fairly)
                admitted = booking.admit(parcels)
                left = [parcel for parcel in parcels if parcel.delivery_id not in admitted]
                if left:  # intake was quicker and took their places
                    await deliveries.release(tx, left, now)
        return bool(admitted) or (bool(parcels) and not fairly)

    async def renew(self) -> None:
        """Prolong the leases of what is in hand: who is sent must have time left for it, however long it waited."""
        now = self._around.clock.now()
        held = self._courier.held_until(now + self._lease - _AS_GOOD_AS_NEW)
        if held:
            async with self._store.writing() as tx:
                await deliveries.prolong(tx, held, now + self._lease)
            self._courier.prolonged(held, now + self._lease)


class Prune(Protocol):
    """A statement that deletes some of what is older; it returns how many rows."""

    async def __call__(self, tx: Transaction, *, before: datetime, limit: int) -> int: ...  # noqa: D102


class Housekeeping:
    """Keeps the store small and its states final."""

    def __init__(self, store: Store, around: Surroundings, *, retention: timedelta, disable_after: timedelta) -> None:
        self._store = store
        self._around = around
        self._retention = retention
        self._disable_after = disable_after

    async def prune(self) -> int:
        """Delete what is older than the retention, a handful per transaction; return the number of deliveries."""
        now = self._around.clock.now()
        total = await self._forget(deliveries.prune, now - self._retention)
        for prune in (deliveries.prune_strays, events.prune, replays.prune):
            await self._forget(prune, now - self._retention)
        await self._forget(audit.prune, now - _KEEP_AUDIT)
        async with self._store.writing() as tx:
            await gates.prune(tx)
        if total:
            tell("deliveries.pruned", count=total)
        return total

    async def _forget(self, prune: Prune, before: datetime) -> int:
        """Delete what is older, a handful at a time; return how many rows."""
        total, gone = 0, _HANDFUL
        while gone == _HANDFUL:
            async with self._store.writing() as tx:
                gone = await prune(tx, before=before, limit=_HANDFUL)
            total += gone
        return total

    async def disable_failing(self) -> list[EndpointId]:
        """Disable endpoints that have known nothing but failures for too long."""
        now = self._around.clock.now()
        hours = self._disable_after.total_seconds() / 3600
        reason = f"Nothing but failures for {hours:g} hours"
        async with self._store.writing() as tx:
            ids = await endpoints.failing_since_before(tx, now - self._disable_after)
            disabled = await endpoints.disable(tx, ids, reason=reason, now=now) if ids else []
            if disabled:
                notices = [webhook_disabled(endpoint, now) for endpoint in disabled]
                await post(tx, notices, now=now, luck=self._around.luck)
                await audit.note(tx, HOOKLINE, *map(given_up, disabled), now=now, luck=self._around.luck)
        for endpoint in disabled:
            tell("endpoint.disabled", endpoint_id=endpoint.id, account_id=endpoint.account_id, reason=reason)
        return [endpoint.id for endpoint in disabled]

    async def cancel_stranded(self) -> int:
        """End what waits for endpoints that were disabled or deleted."""
        total = 0
        ended = _HANDFUL
        while ended == _HANDFUL:
            async with self._store.writing() as tx:
                ended = await deliveries.cancel_stranded(tx, now=self._around.clock.now(), limit=_HANDFUL)
            total += ended
        if total:
            tell("deliveries.stranded", count=total)
        return total

    async def measure(self) -> None:
        """Set the gauges that only the store knows."""
        async with self._store.reading() as tx:
            waiting = await backlog.look(tx, EVERYONE, self._around.clock.now())
            connected = await sources.by_state(tx)
        for state in get_args(SourceState):
            SOURCES.labels(state).set(connected[state])
        for stage, count in waiting.by_state.items():
            BACKLOG.labels(stage).set(count)
        OLDEST.set(waiting.oldest_due_s)
