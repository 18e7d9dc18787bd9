"""A lane for each endpoint: who may send next.

Plain bookkeeping, without waiting and without time. A place is taken before a delivery is committed, filled after it,
and given back when the attempt is in the log. Whoever had to be turned away, and is no longer crowded, makes the house
*hungry*: then there is something to fetch from the store again.

Requests that hang must not take all there are. An endpoint is *quick* when its last request was over soon, *slow* when
it took long, *new* before that; the slow ones together may have half of the requests at a time, the slow and the new
ones three quarters, so that there is always room for those who have shown that they need little of it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from cachetools import LRUCache

from delivery.domain.model import AccountId, EndpointId, Parcel
from delivery.places import Holder, Limits, Places, Terms, holders
from delivery.turns import Turns

Tempo = Literal["slow", "new", "quick"]

#: A request that took longer than this is slow, in seconds.
SLOW_S = 1.0

#: The share of all requests at a time that endpoints of a tempo may have, together with those before them.
_SHARES: tuple[tuple[Tempo, float], ...] = (("slow", 0.5), ("new", 0.75), ("quick", 1.0))

_REMEMBERED_ENDPOINTS = 16_384


@dataclass(slots=True)
class _Lane:
    """The types of event take turns in ``waiting``. One that ``rests`` sends nothing."""

    account_id: AccountId
    waiting: dict[str, deque[Parcel]] = field(default_factory=dict)
    sending: int = 0
    has_turn: bool = False
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
    """All lanes of one process. Accounts take turns, then their endpoints, then the types of event, one parcel each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = Places(limits)
        self._lanes: dict[EndpointId, _Lane] = {}
        self._turns: dict[Tempo, Turns] = {tempo: Turns() for tempo, _ in _SHARES}
        self._sending: dict[Tempo, int] = dict.fromkeys(self._turns, 0)
        self._tempos: LRUCache[EndpointId, Tempo] = LRUCache(_REMEMBERED_ENDPOINTS)
        self._on_the_way: dict[tuple[str, str], Tempo] = {}
        self._turned_away: set[Holder] = set()
        self._paces: dict[EndpointId, int] = {}

    @property
    def places(self) -> int:
        """Parcels in memory: booked, waiting, and being sent."""
        return self._places.taken

    @property
    def sending(self) -> int:
        """Requests under way."""
        return sum(self._sending.values())

    # -- places --------------------------------------------------------------------------------------------------------

    def book(self, parcel: Parcel) -> bool:
        """Take a place; False: there is none."""
        if not self._places.take(parcel):
            return False
        self._lanes.setdefault(parcel.endpoint_id, _Lane(parcel.account_id))
        return True

    def unbook(self, parcel: Parcel) -> None:
        """Give a place back."""
        self._places.give_back(parcel)
        if not self._places.held_for(parcel.endpoint_id, parcel.account_id):
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
        waiting = [parcel for lane in self._lanes.values() for queue in lane.waiting.values() for parcel in queue]
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.has_turn = False
        for parcel in waiting:
            self.unbook(parcel)
        for turns in self._turns.values():
            turns.clear()
        return waiting

    # -- turns ---------------------------------------------------------------------------------------------------------

    def next(self) -> Parcel | None:
        """The parcel to send now, if one may be sent; follow with ``sent``, and ``done`` or ``hold``."""
        for tempo in self._free_tempos():
            while self._turns[tempo]:
                endpoint_id = self._turns[tempo].next()
                lane = self._lanes.get(endpoint_id)
                if lane is not None:
                    lane.has_turn = False
                if lane is not None and self._may_send(endpoint_id, lane):  # it may have been slowed down meanwhile
                    return self._go(endpoint_id, lane, tempo)
        return None

    def _free_tempos(self) -> Sequence[Tempo]:
        """The tempos that have requests left, the one with the fewest under way first."""
        free: list[Tempo] = []
        together = 0
        for tempo, share in _SHARES:
            together += self._sending[tempo]
            if together >= ceil(self._limits.parallel * share):
                free.clear()  # whoever counts among these must not add to them
            else:
                free.append(tempo)
        return sorted(free, key=self._sending.__getitem__)

    def _go(self, endpoint_id: EndpointId, lane: _Lane, tempo: Tempo) -> Parcel:
        parcel = lane.next()
        lane.sending += 1
        self._sending[tempo] += 1
        self._on_the_way[parcel.delivery_id, parcel.lease] = tempo
        self._queue(endpoint_id)
        return parcel

    def sent(self, parcel: Parcel, took_s: float | None) -> None:
        """The parcel's request is over: the next one may go out. ``took_s`` is None where none was made."""
        self._lanes[parcel.endpoint_id].sending -= 1
        self._sending[self._on_the_way.pop((parcel.delivery_id, parcel.lease))] -= 1
        if took_s is not None:
            self._tempos[parcel.endpoint_id] = "slow" if took_s > SLOW_S else "quick"
        self._queue(parcel.endpoint_id)

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
        if lane and not lane.has_turn and self._may_send(endpoint_id, lane):
            lane.has_turn = True
            self._turns[self._tempos.get(endpoint_id, "new")].add(lane.account_id, endpoint_id)

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
            names = holders(parcel)[1:]
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
