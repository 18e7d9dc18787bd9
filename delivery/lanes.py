"""A lane for each endpoint: who may send next, and how much this process may hold.

Plain bookkeeping, without waiting and without time. A place is taken before a delivery is committed, filled after it,
and given back when the attempt is in the log. A lane that had to turn something away is *hungry* once it is half empty:
then there is something to fetch from the store again.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from delivery.domain.model import EndpointId, Parcel


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one process: requests at a time, requests at a time to one endpoint, and parcels in memory."""

    parallel: int = 256
    per_endpoint: int = 16

    @property
    def places(self) -> int:
        """Parcels in memory, being sent or about to: enough that no lane runs dry between two sweeps."""
        return 4 * self.parallel

    @property
    def places_per_lane(self) -> int:
        """Parcels in memory for one endpoint, so that one flood cannot take all places."""
        return max(self.per_endpoint, self.places // 8)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a process would take from the store: how much in all, how much of one endpoint, and of which none now."""

    limit: int
    per_endpoint: int
    crowded: Collection[EndpointId]


#: Stands among those turned away when it is not known who they are.
_ANYONE = EndpointId("")


@dataclass(slots=True)
class _Lane:
    """``places`` counts parcels booked, waiting and being sent."""

    waiting: deque[Parcel] = field(default_factory=deque)
    sending: int = 0
    places: int = 0
    has_turn: bool = False


class Lanes:
    """All lanes of one process. Lanes with something to send take turns, one parcel each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[EndpointId, _Lane] = {}
        self._turns: deque[EndpointId] = deque()
        self._turned_away: set[EndpointId] = set()
        self._paces: dict[EndpointId, int] = {}
        self.places = 0
        self.sending = 0

    def book(self, endpoint_id: EndpointId) -> bool:
        """Take a place; False: there is none."""
        lane = self._lanes.get(endpoint_id)
        if self.places >= self._limits.places or (lane and lane.places >= self._limits.places_per_lane):
            return False
        lane = self._lanes.setdefault(endpoint_id, _Lane())
        lane.places += 1
        self.places += 1
        return True

    def unbook(self, endpoint_id: EndpointId) -> None:
        """Give a place back."""
        lane = self._lanes[endpoint_id]
        lane.places -= 1
        self.places -= 1
        if lane.places == 0:
            del self._lanes[endpoint_id]

    def put(self, parcel: Parcel) -> None:
        """Fill a booked place."""
        self._lanes[parcel.endpoint_id].waiting.append(parcel)
        self._queue(parcel.endpoint_id)

    def next(self) -> Parcel | None:
        """The parcel to send now, if one may be sent; follow with ``sent`` and ``done``."""
        while self._turns and self.sending < self._limits.parallel:
            endpoint_id = self._turns.popleft()
            lane = self._lanes[endpoint_id]
            lane.has_turn = False
            if lane.sending < self._pace(endpoint_id):  # it may have been slowed down since it queued
                parcel = lane.waiting.popleft()
                lane.sending += 1
                self.sending += 1
                self._queue(endpoint_id)
                return parcel
        return None

    def sent(self, parcel: Parcel) -> None:
        """The parcel's request is over: the next one may go out."""
        self._lanes[parcel.endpoint_id].sending -= 1
        self.sending -= 1
        self._queue(parcel.endpoint_id)

    def heed(self, endpoint_id: EndpointId, *, overloaded: bool) -> None:
        """Adapt the pace of an endpoint: half as many requests at a time when it is overloaded, else one more again."""
        pace = self._pace(endpoint_id)
        self._paces[endpoint_id] = max(1, pace // 2) if overloaded else pace + 1
        if self._paces[endpoint_id] >= self._limits.per_endpoint:
            del self._paces[endpoint_id]

    def _pace(self, endpoint_id: EndpointId) -> int:
        return self._paces.get(endpoint_id, self._limits.per_endpoint)

    def done(self, parcel: Parcel) -> None:
        """The parcel's attempt is in the log: its place is free."""
        self.unbook(parcel.endpoint_id)

    def empty(self) -> list[Parcel]:
        """Take out everything that waits."""
        waiting = [parcel for lane in self._lanes.values() for parcel in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.has_turn = False
        for parcel in waiting:
            self.unbook(parcel.endpoint_id)
        self._turns.clear()
        return waiting

    def turn_away(self, endpoint_ids: Iterable[EndpointId]) -> None:
        """Remember what lies in the store, committed, because there was no place for it."""
        self._turned_away.update(endpoint_ids)

    def terms(self) -> Terms:
        """What to take from the store now. Whoever is not taken for that reason is remembered as turned away."""
        room = self._limits.places - self.places
        if room == 0:
            self._turned_away.add(_ANYONE)
            return Terms(0, 0, ())
        crowded = {name for name, lane in self._lanes.items() if self._is_crowded(lane)}
        self._turned_away = set(crowded)
        return Terms(room, max(1, self._limits.places_per_lane // 2), crowded)

    @property
    def hungry(self) -> bool:
        """Whether there is room again for something that was turned away."""
        half_empty = self.places * 2 <= self._limits.places
        return half_empty and any(not self._is_crowded(self._lanes.get(name)) for name in self._turned_away)

    def _is_crowded(self, lane: _Lane | None) -> bool:
        return lane is not None and lane.places * 2 > self._limits.places_per_lane

    def _queue(self, endpoint_id: EndpointId) -> None:
        lane = self._lanes.get(endpoint_id)
        if lane and lane.waiting and not lane.has_turn and lane.sending < self._pace(endpoint_id):
            lane.has_turn = True
            self._turns.append(endpoint_id)
