"""Sending: what is in hand goes out, and what became of it goes into the log.

Parcels come from intake, straight after their commit, and from the sweep. What this process has no place for is not
taken: its row stays in the store, due, and memory stays bounded.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import SupportsFloat, assert_never

from delivery.departures import Cleared, Decision, Grounded, Lapsed
from delivery.domain.ids import new_id
from delivery.domain.model import Attempt, AttemptId, DeliveryId, Endpoint, EndpointId, Outcome, Parcel, Trigger
from delivery.domain.retry import StandDown, decide
from delivery.gather import Gatherer
from delivery.lanes import Lanes, Limits, Terms
from delivery.ledger import Entry
from delivery.ports import Destinations, Shipment, Surroundings
from delivery.store import deliveries
from delivery.store.engine import Store, is_database_fault
from delivery.telemetry import IN_HAND, warn

_REFUSES_SIGNATURE = frozenset({401, 403})
_OVERLOADED = frozenset({429, 502, 504})


class Courier:
    """Takes parcels to their destinations. ``name`` tells this process apart from every other, ever."""

    def __init__(  # noqa: PLR0913 - its parts, handed in once by the composition root
        self,
        *,
        store: Store,
        departures: Gatherer[Parcel, Decision],
        ledger: Gatherer[Entry, None],
        destinations: Destinations,
        around: Surroundings,
        limits: Limits,
        schedule: Sequence[int],
        name: str,
    ) -> None:
        self._store = store
        self._departures = departures
        self._ledger = ledger
        self._destinations = destinations
        self._around = around
        self._limits = limits
        self._schedule = schedule
        self._name = name
        self._leases = 0
        self._open = False
        self._lanes = Lanes(limits)
        self._leased_until: dict[DeliveryId, tuple[Parcel, datetime]] = {}
        self._hungry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, *, grace_s: SupportsFloat) -> AsyncIterator["Courier"]:
        """Send while the block is open.

        When it is left nothing new starts: what waits is given back to the store, what is on its way has ``grace_s``,
        asked then, to end. What takes longer is found again when its lease has run out.
        """
        self._open = True
        try:
            yield self
        finally:
            self._open = False
            await self._release(self._lanes.empty(), float(grace_s))
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=float(grace_s))
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _release(self, parcels: Sequence[Parcel], within_s: float) -> None:
        for parcel in parcels:
            self._leased_until.pop(parcel.delivery_id, None)
        if not parcels:
            return
        try:
            async with asyncio.timeout(within_s), self._store.writing() as tx:
                await deliveries.release(tx, parcels, self._around.clock.now())
        except Exception as error:
            if not is_database_fault(error):
                raise
            # they are found again when their leases have run out; what is on its way must still be waited for
            warn("deliveries.unreleased", count=len(parcels), error=str(error))

    # -- what comes in -------------------------------------------------------------------------------------------------

    def new_lease(self) -> str:
        """Make a fencing token that was never used before."""
        self._leases += 1
        return f"{self._name}.{self._leases}"

    @contextmanager
    def booking(self) -> Iterator["Places"]:
        """Open a booking: places for parcels about to be committed, which are sent if the block ends well."""
        places = Places(self)
        try:
            yield places
        except BaseException:  # whatever went wrong, these parcels will not come
            for parcel in places.admitted:
                self._lanes.unbook(parcel.endpoint_id)
            raise
        for parcel in places.admitted:
            self._leased_until[parcel.delivery_id] = (parcel, parcel.leased_until)
            self._lanes.put(parcel)
        # only now: before the commit, nobody would have found them in the store
        self._lanes.turn_away(places.refused)
        self._start_what_may_start()
        self._look_for_hunger()

    def book(self, endpoint_id: EndpointId) -> bool:
        """Take a place for one parcel; False: there is none."""
        return self._open and self._lanes.book(endpoint_id)

    def terms(self) -> Terms:
        """What this process would take from the store now."""
        return self._lanes.terms() if self._open else Terms(0, 0, ())

    async def until_hungry(self) -> None:
        """Wait until there is room for something that had to be left in the store."""
        await self._hungry.wait()
        self._hungry.clear()

    def wake(self) -> None:
        """Say that something in the store may be due at once."""
        self._hungry.set()

    def held_until(self, moment: datetime) -> Sequence[Parcel]:
        """Parcels in hand whose lease runs out before ``moment``."""
        return [parcel for parcel, until in self._leased_until.values() if until < moment]

    def prolonged(self, parcels: Sequence[Parcel], until: datetime) -> None:
        """Take note that the leases of these parcels were prolonged."""
        for parcel in parcels:
            if parcel.delivery_id in self._leased_until:
                self._leased_until[parcel.delivery_id] = (parcel, until)

    # -- what goes out -------------------------------------------------------------------------------------------------

    def _start_what_may_start(self) -> None:
        while self._open and (parcel := self._lanes.next()) is not None:
            task = asyncio.create_task(self._carry(parcel))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        IN_HAND.set(self._lanes.places)

    async def _carry(self, parcel: Parcel) -> None:
        try:
            try:
                entry = await self._take(parcel)
            finally:
                self._lanes.sent(parcel)
                self._start_what_may_start()
            await self._log(entry)
        except Exception as error:  # noqa: BLE001 - one parcel's trouble is no other's: its lease will run out
            warn("delivery.dropped", delivery_id=parcel.delivery_id, error=repr(error))
        finally:
            self._leased_until.pop(parcel.delivery_id, None)
            self._lanes.done(parcel)
            self._look_for_hunger()
            self._start_what_may_start()

    def _look_for_hunger(self) -> None:
        if self._lanes.hungry:
            self._hungry.set()

    async def deliver(self, parcel: Parcel) -> Sequence[Attempt]:
        """Make the parcel's next attempt at once and log it; return the requests that were made."""
        entry = await self._take(parcel)
        await self._log(entry)
        return entry.attempts if entry else ()

    async def _take(self, parcel: Parcel) -> Entry | None:
        """Take a parcel to its destination, if it may still go; None: it is no longer ours."""
        decision = await self._departures.hand_in(parcel)
        match decision:
            case Cleared():
                return await self._send(parcel, decision)
            case Grounded(reason):
                return Entry(parcel, StandDown(reason), self._around.clock.now())
            case Lapsed():
                return None
            case _:
                assert_never(decision)

    async def _log(self, entry: Entry | None) -> None:
        if entry is not None:
            # the request was made: even when this process is being stopped, the log is written
            await asyncio.shield(asyncio.ensure_future(self._ledger.hand_in(entry)))

    async def _send(self, parcel: Parcel, cleared: Cleared) -> Entry:
        attempts = [await self._attempt(parcel, cleared.endpoint, cleared.secrets, parcel.trigger, 1)]
        if len(cleared.secrets) > 1 and _refused_signature(attempts[0].outcome):
            older_first = cleared.secrets[::-1]
            attempts.append(await self._attempt(parcel, cleared.endpoint, older_first, "rotation", 2))
        self._heed(parcel.endpoint_id, attempts[-1].outcome)
        now = self._around.clock.now()
        verdict = decide(
            parcel,
            attempts[-1].outcome,
            schedule=self._schedule_of(parcel, cleared.endpoint),
            started_at=attempts[0].started_at,
            now=now,
            spread=self._around.luck.random(),
        )
        return Entry(parcel, verdict, now, attempts, cleared.endpoint)

    def _heed(self, endpoint_id: EndpointId, outcome: Outcome) -> None:
        """Let what a receiver says of its load hold for its other deliveries, too."""
        if outcome.failure is None:
            self._lanes.heed(endpoint_id, overloaded=False)
        elif outcome.answer is not None and outcome.answer.status in _OVERLOADED:
            self._lanes.heed(endpoint_id, overloaded=True)

    async def _attempt(
        self, parcel: Parcel, endpoint: Endpoint, secrets: Sequence[str], trigger: Trigger, nth: int
    ) -> Attempt:
        started_at = self._around.clock.now()
        number = parcel.attempts_made + nth
        shipment = Shipment(parcel, endpoint, secrets, number, trigger, started_at)
        outcome = await self._destinations[endpoint.kind].send(shipment)
        attempt_id = AttemptId(new_id("att", started_at, self._around.luck))
        return Attempt(attempt_id, parcel.delivery_id, parcel.account_id, number, trigger, started_at, outcome)

    def _schedule_of(self, parcel: Parcel, endpoint: Endpoint) -> Sequence[int]:
        if parcel.asked == "test":
            return ()
        return self._schedule if endpoint.retry_schedule is None else endpoint.retry_schedule


class Places:
    """An open booking."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self.admitted: list[Parcel] = []
        self.refused: set[EndpointId] = set()

    def admit(self, parcels: Sequence[Parcel]) -> set[DeliveryId]:
        """Take the parcels for which there is room; return their ids."""
        for parcel in parcels:
            if self._courier.book(parcel.endpoint_id):
                self.admitted.append(parcel)
            else:
                self.refused.add(parcel.endpoint_id)
        return {parcel.delivery_id for parcel in self.admitted}


def _refused_signature(outcome: Outcome) -> bool:
    return outcome.answer is not None and outcome.answer.status in _REFUSES_SIGNATURE
