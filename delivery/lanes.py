"""A lane for each endpoint: who may send next.

Plain bookkeeping, without waiting and without time. A place is taken before a delivery is committed, filled after it,
and given back when the attempt is in the log. Whoever had to be turned away, and is no longer crowded, makes the house
*hungry*: then there is something to fetch from the store again.

Requests that hang must not take all there are: ``tempo.py`` has the shares, ``requests.py`` counts what is under way.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from delivery.domain.model import AccountId, EndpointId, Parcel, Tempo
from delivery.places import Holder, Limits, Places, Terms, holders
from delivery.requests import Requests
from delivery.tempo import SHARES, Tempos
from delivery.turns import Turns


@dataclass(slots=True)
class _Lane:
    """The types of event take turns in ``waiting``. It has a ``turn`` among those of a tempo; if it ``rests``, none."""

    account_id: AccountId
    origin: str
    waiting: dict[str, deque[Parcel]] = field(default_factory=dict)
    sending: int = 0
    turn: Tempo | None = None
    is_held: bool = False
    rests: bool = False
    abreast: int | None = None

    @property
    def count(self) -> int:
        return sum(len(queue) for queue in self.waiting.values())

    def put(self, parcel: Parcel) -> None:
        self.waiting.setdefault(parcel.event_type, deque()).append(parcel)

    def put_back(self, parcel: Parcel) -> None:
        """Put a parcel before all others of the lane."""
        queue = self.waiting.pop(parcel.event_type, deque())
        queue.appendleft(parcel)
        self.waiting = {parcel.event_type: queue} | self.waiting

    def empty(self) -> list[Parcel]:
        """Take out all that wait."""
        parcels = [parcel for queue in self.waiting.values() for parcel in queue]
        self.waiting.clear()
        return parcels

    def next(self) -> Parcel:
        """Take the oldest of the type whose turn it is; the type then queues behind the others."""
        kind = next(iter(self.waiting))
        queue = self.waiting.pop(kind)
        parcel = queue.popleft()
        if queue:
            self.waiting[kind] = queue
        return parcel

    def take(self, count: int) -> list[Parcel]:
        """Take out some that wait, those that would have gone last."""
        taken = []
        for _ in range(count):
            kind = max(self.waiting, key=lambda name: len(self.waiting[name]))
            taken.append(self.waiting[kind].pop())
            if not self.waiting[kind]:
                del self.waiting[kind]
        return taken[::-1]


class Lanes:
    """All lanes of one process. Accounts take turns, then their origins, endpoints, types of event: a parcel each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tempos = Tempos()
        self._places = Places(limits, self._tempos)
        self._requests = Requests(limits)
        self._lanes: dict[EndpointId, _Lane] = {}
        self._turns: dict[Tempo, Turns] = {tempo: Turns() for tempo in SHARES}
        self._turned_away: set[Holder] = set()
        self._paces: dict[EndpointId, int] = {}

    @property
    def places(self) -> int:
        """Parcels in memory: booked, waiting, and being sent."""
        return self._places.taken

    @property
    def sending(self) -> int:
        """Requests under way."""
        return self._requests.count

    # -- places --------------------------------------------------------------------------------------------------------

    def book(self, parcel: Parcel) -> bool:
        """Take a place; False: there is none."""
        self._tempos.meet(parcel)
        if not self._places.take(parcel):
            return False
        self._lanes.setdefault(parcel.endpoint_id, _Lane(parcel.account_id, parcel.origin))
        return True

    def unbook(self, parcel: Parcel) -> None:
        """Give a place back."""
        self._places.give_back(parcel)
        if not self._places.held_for(parcel.endpoint_id, parcel.account_id):
            self._give_up_turn(parcel.endpoint_id)
            del self._lanes[parcel.endpoint_id]
            self._places.cap(parcel.endpoint_id, None)

    def put(self, parcel: Parcel) -> None:
        """Fill a booked place."""
        self._lanes[parcel.endpoint_id].put(parcel)
        self._queue(parcel.endpoint_id)

    def done(self, parcel: Parcel) -> None:
        """The parcel's attempt is in the log: its place is free."""
        self.unbook(parcel)

    def empty(self) -> list[Parcel]:
        """Take out everything that waits."""
        waiting = [parcel for lane in self._lanes.values() for parcel in lane.empty()]
        for endpoint_id in self._lanes:
            self._give_up_turn(endpoint_id)
        for parcel in waiting:
            self.unbook(parcel)
        return waiting

    # -- turns ---------------------------------------------------------------------------------------------------------

    def next(self) -> Parcel | None:
        """The parcel to send now, if one may be sent; follow with ``sent``, and ``done`` or ``hold``."""
        for tempo in self._requests.tempos():
            endpoint_id = self._next_endpoint(tempo)
            if endpoint_id is not None:
                return self._go(endpoint_id, self._lanes[endpoint_id], tempo)
        return None

    def _next_endpoint(self, tempo: Tempo) -> EndpointId | None:
        """Take the turns of a tempo until one is of use: a lane may have been slowed down since it queued."""
        may = partial(self._requests.may, tempo)
        while (endpoint_id := self._turns[tempo].next(may)) is not None:
            lane = self._lanes[endpoint_id]
            lane.turn = None
            if self._may_send(endpoint_id, lane):
                return endpoint_id
        return None

    def _go(self, endpoint_id: EndpointId, lane: _Lane, tempo: Tempo) -> Parcel:
        parcel = lane.next()
        lane.sending += 1
        self._requests.start(parcel, tempo)
        self._queue(endpoint_id)
        return parcel

    def hangs(self, parcel: Parcel) -> list[Parcel]:
        """The parcel's request has been under way for ``SLOW_S``: its endpoint is slow, before the request is over.

        Return what waits for that endpoint and is too much to keep for a slow one.
        """
        self._requests.slow_down(parcel)
        lane = self._lanes.get(parcel.endpoint_id)
        if lane is None or self._tempos.of(parcel.endpoint_id) == "slow":  # a test call need not have a lane
            return []
        self._learn(parcel, "slow")
        surplus = []
        for other in lane.empty():
            self._places.give_back(other)
            if self._places.take(other):
                lane.put(other)
            else:
                surplus.append(other)
        return surplus

    def sent(self, parcel: Parcel, tempo: Tempo | None) -> None:
        """The parcel's request is over: the next one may go out. ``tempo`` is None where none was made."""
        self._lanes[parcel.endpoint_id].sending -= 1
        self._requests.end(parcel)
        if tempo is not None:
            self._learn(parcel, tempo)
        self._queue(parcel.endpoint_id)

    def _learn(self, parcel: Parcel, tempo: Tempo) -> None:
        """Remember an endpoint's tempo. What lies in the store for it is from now on turned away at that tempo."""
        endpoint_id = parcel.endpoint_id
        before = self._tempos.of(endpoint_id)
        self._tempos.learn(parcel, tempo)
        if before == tempo:
            return
        for old, new in zip(holders(parcel, before), holders(parcel, tempo), strict=True):
            if old in self._turned_away:
                self._turned_away.add(new)
        self._give_up_turn(endpoint_id)
        self._queue(endpoint_id)

    def heed(self, endpoint_id: EndpointId, *, overloaded: bool) -> None:
        """Adapt the pace of an endpoint: half as many requests at a time when it is overloaded, else one more again."""
        pace = self._pace(endpoint_id)
        self._paces[endpoint_id] = max(1, pace // 2) if overloaded else pace + 1
        if self._paces[endpoint_id] >= self._limits.per_endpoint:
            del self._paces[endpoint_id]

    def _pace(self, endpoint_id: EndpointId) -> int:
        return self._paces.get(endpoint_id, self._limits.per_endpoint)

    def _may_send(self, endpoint_id: EndpointId, lane: _Lane) -> bool:
        pace = self._pace(endpoint_id)
        abreast = pace if lane.abreast is None else min(pace, lane.abreast)
        return bool(lane.waiting) and lane.sending < abreast and not lane.rests

    def _queue(self, endpoint_id: EndpointId) -> None:
        lane = self._lanes.get(endpoint_id)
        if lane and lane.turn is None and self._may_send(endpoint_id, lane):
            lane.turn = self._tempos.of(endpoint_id)
            self._turns[lane.turn].add(lane.account_id, lane.origin, endpoint_id)

    def _give_up_turn(self, endpoint_id: EndpointId) -> None:
        lane = self._lanes[endpoint_id]
        if lane.turn is not None:
            self._turns[lane.turn].remove(lane.account_id, lane.origin, endpoint_id)
            lane.turn = None

    # -- gates ---------------------------------------------------------------------------------------------------------

    def hold(self, parcel: Parcel, *, most: int, abreast: int | None) -> list[Parcel]:
        """Put a parcel back that may not go out yet, and let its lane rest; return what is too much to keep waiting.

        From now on the lane holds at most ``most`` places and sends ``abreast`` at a time, until it is ``free``.
        """
        endpoint_id = parcel.endpoint_id
        lane = self._lanes[endpoint_id]
        lane.put_back(parcel)
        lane.is_held, lane.rests, lane.abreast = True, True, abreast
        self._places.cap(endpoint_id, most)
        held = self._places.held_for(endpoint_id, lane.account_id)
        surplus = lane.take(min(max(0, held - most), lane.count - 1))
        for other in surplus:
            self.unbook(other)
        return surplus

    def awaken(self, endpoint_id: EndpointId) -> None:
        """Let the lane go on."""
        lane = self._lanes.get(endpoint_id)
        if lane is not None:
            lane.rests = False
            self._queue(endpoint_id)

    def free(self, endpoint_id: EndpointId) -> None:
        """Forget that the lane was ever held: its endpoint is like any other."""
        lane = self._lanes.get(endpoint_id)
        if lane is not None and lane.is_held:
            lane.is_held, lane.abreast = False, None
            self._places.cap(endpoint_id, None)
            self.awaken(endpoint_id)

    # -- hunger --------------------------------------------------------------------------------------------------------

    def turn_away(self, parcels: Iterable[Parcel]) -> None:
        """Remember what lies in the store, committed, because there was no place for it."""
        for parcel in parcels:
            names = holders(parcel, self._tempos.of(parcel.endpoint_id))[1:]
            self._turned_away.update([name for name in names if self._places.is_crowded(name)] or names)

    def terms(self) -> Terms:
        """What to take from the store now. Whoever is not taken for that reason is remembered as turned away."""
        self._turned_away = {()} if self._places.free == 0 else set(self._places.crowded())
        return self._places.terms()

    @property
    def hungry(self) -> bool:
        """Whether there is room again for something that was turned away."""
        half_empty = not self._places.is_crowded(())
        return half_empty and any(not self._places.is_crowded(name) for name in self._turned_away)
