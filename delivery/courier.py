"""Sending: what is in hand goes out, and what became of it goes into the log.

Parcels come from intake, straight after their commit, and from the sweep. What this process has no place for is not
taken: its row stays in the store, due, and memory stays bounded.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, SupportsFloat, TypeVar, assert_never

from delivery.carriage import Carriage, SecretsNow
from delivery.departures import Cleared, Decision, Grounded, Held, Lapsed
from delivery.domain.gate import NotBefore, is_open, needs_gate
from delivery.domain.model import Attempt, DeliveryId, EndpointId, Parcel
from delivery.domain.retry import StandDown
from delivery.gather import Gatherer
from delivery.lanes import Lanes
from delivery.ledger import Entry
from delivery.places import Limits, Terms
from delivery.ports import Destinations, Surroundings
from delivery.store import deliveries
from delivery.store.engine import Store, is_database_fault
from delivery.telemetry import IN_HAND, tell, warn
from delivery.watch import Watch

T = TypeVar("T")

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
        secrets_now: SecretsNow,
        around: Surroundings,
        limits: Limits,
        schedule: Sequence[int],
        name: str,
    ) -> None:
        self._store = store
        self._departures = departures
        self._ledger = ledger
        self._carriage = Carriage(destinations, secrets_now, around, schedule=schedule)
        self._around = around
        self._name = name
        self._leases = 0
        self._open = False
        self._lanes = Lanes(limits)
        self._leased_until: dict[DeliveryId, tuple[Parcel, datetime]] = {}
        self._alarms: dict[EndpointId, asyncio.TimerHandle] = {}
        self._hungry = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

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
            waiting = self._lanes.empty()
            tell("courier.stopping", waiting=len(waiting), on_the_way=len(self._tasks))
            await self._release(waiting, float(grace_s))
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=float(grace_s))
            await self._release(self._lanes.empty(), float(grace_s))  # what came back meanwhile because it had to wait
            for endpoint_id in list(self._alarms):
                self._silence(endpoint_id)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _release(self, parcels: Sequence[Parcel], within_s: float | None = None) -> None:
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
    def booking(self) -> Iterator["OpenBooking"]:
        """Open a booking: places for parcels about to be committed, which are sent if the block ends well."""
        booked = OpenBooking(self)
        try:
            yield booked
        except BaseException:  # whatever went wrong, these parcels will not come
            for parcel in booked.admitted:
                self._lanes.unbook(parcel)
            raise
        for parcel in booked.admitted:
            self._leased_until[parcel.delivery_id] = (parcel, parcel.leased_until)
            self._lanes.put(parcel)
        # only now: before the commit, nobody would have found them in the store
        self._lanes.turn_away(booked.refused)
        self._start_what_may_start()
        self._look_for_hunger()

    def book(self, parcel: Parcel) -> bool:
        """Take a place for a parcel; False: there is none."""
        return self._open and self._lanes.book(parcel)

    def terms(self) -> Terms:
        """What this process would take from the store now."""
        return self._lanes.terms() if self._open else Terms(0, 0)

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
            self._own(self._carry(parcel))
        IN_HAND.set(self._lanes.places)

    def _own(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry(self, parcel: Parcel) -> None:
        held = False
        try:
            taken = await self._take_in_turn(parcel)
            if isinstance(taken, NotBefore):
                held = True
                await self._hold(parcel, taken)
            else:
                await self._log(taken)
        except Exception as error:  # noqa: BLE001 - one parcel's trouble is no other's: its lease will run out
            warn("delivery.dropped", delivery_id=parcel.delivery_id, error=repr(error))
        finally:
            if not held:
                self._leased_until.pop(parcel.delivery_id, None)
                self._lanes.done(parcel)
            self._look_for_hunger()
            self._start_what_may_start()

    async def _take_in_turn(self, parcel: Parcel) -> Entry | NotBefore | None:
        """Take a parcel to its destination, and let the next one of its lane go when its request is over."""
        watch = self._watch(parcel)
        try:
            return await self._take(parcel, watch)
        finally:
            self._lanes.sent(parcel, watch.tempo)
            self._start_what_may_start()

    def _watch(self, parcel: Parcel) -> Watch:
        """A watch over the parcel's request: when it has been under way for too long it makes room for others."""
        return Watch(lambda: self._make_room(parcel))

    def _make_room(self, parcel: Parcel) -> None:
        surplus = self._lanes.hangs(parcel)
        if surplus:
            self._lanes.turn_away(surplus)
            self._own(self._release(surplus))
        self._look_for_hunger()
        self._start_what_may_start()

    async def _hold(self, parcel: Parcel, not_before: NotBefore) -> None:
        """Let the parcel's lane rest; what it need not keep in hand meanwhile goes back to the store."""
        surplus = self._lanes.hold(parcel, most=not_before.most, abreast=not_before.abreast)
        wait_s = (not_before.at - self._around.clock.now()).total_seconds()
        self._silence(parcel.endpoint_id)
        loop = asyncio.get_running_loop()
        self._alarms[parcel.endpoint_id] = loop.call_later(max(0.0, wait_s), self._awaken, parcel.endpoint_id)
        self._lanes.turn_away(surplus)
        await self._release(surplus)

    def _awaken(self, endpoint_id: EndpointId) -> None:
        self._silence(endpoint_id)
        self._lanes.awaken(endpoint_id)
        self._start_what_may_start()

    def _silence(self, endpoint_id: EndpointId) -> None:
        alarm = self._alarms.pop(endpoint_id, None)
        if alarm is not None:
            alarm.cancel()

    def _look_for_hunger(self) -> None:
        if self._lanes.hungry:
            self._hungry.set()

    async def deliver(self, parcel: Parcel) -> Sequence[Attempt]:
        """Make the parcel's next attempt at once and log it; return the requests that were made.

        It goes on when the caller does not: what was sent has to be logged.
        """
        return await asyncio.shield(self._own(self._deliver(parcel)))

    async def _deliver(self, parcel: Parcel) -> Sequence[Attempt]:
        entry = await self._take(parcel, self._watch(parcel))
        if isinstance(entry, NotBefore):  # not said of a test, and nothing else comes this way
            return ()
        await self._log(entry)
        return entry.attempts if entry else ()

    async def _take(self, parcel: Parcel, watch: Watch) -> Entry | NotBefore | None:
        """Take a parcel to its destination, if it may go now; None: it is no longer ours."""
        decision = await self._departures.hand_in(parcel)
        match decision:
            case Cleared():
                if not needs_gate(decision.endpoint):
                    self._lanes.free(parcel.endpoint_id)
                with watch:
                    entry = await self._carriage.carry(parcel, decision)
                self._heed(entry)
                is_news = watch.tempo != decision.endpoint.tempo
                return replace(entry, tempo=watch.tempo) if is_news else entry
            case Held(until):
                return until
            case Grounded(reason):
                return Entry(parcel, StandDown(reason), self._around.clock.now())
            case Lapsed():
                return None
            case _:
                assert_never(decision)

    async def _log(self, entry: Entry | None) -> None:
        if entry is None:
            return
        # the request was made: even when this process is being stopped, the log is written
        await asyncio.shield(asyncio.ensure_future(self._ledger.hand_in(entry)))
        if entry.endpoint is not None and is_open(entry.endpoint):
            self._awaken(entry.endpoint.id)  # the probe is over: whoever rests may ask again

    def _heed(self, entry: Entry) -> None:
        """Let what a receiver says of its load hold for its other deliveries, too."""
        outcome = entry.attempts[-1].outcome
        if outcome.failure is None:
            self._lanes.heed(entry.parcel.endpoint_id, overloaded=False)
        elif outcome.answer is not None and outcome.answer.status in _OVERLOADED:
            self._lanes.heed(entry.parcel.endpoint_id, overloaded=True)


class OpenBooking:
    """Places that were taken for parcels which are not committed yet."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self.admitted: list[Parcel] = []
        self.refused: list[Parcel] = []

    def admit(self, parcels: Sequence[Parcel]) -> set[DeliveryId]:
        """Take the parcels for which there is room; return their ids."""
        for parcel in parcels:
            (self.admitted if self._courier.book(parcel) else self.refused).append(parcel)
        return {parcel.delivery_id for parcel in self.admitted}
