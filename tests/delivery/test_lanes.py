"""The laws of the lanes: bounds are hard, nothing is lost, turns are fair."""

from collections import Counter, defaultdict, deque

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from delivery.domain.model import EndpointId, Parcel
from delivery.lanes import Lanes, Limits
from tests.support.samples import a_parcel, an_event

NAMES = [EndpointId(name) for name in ("wh_a", "wh_b", "wh_c", "wh_d")]
SOMEBODY = EndpointId("somebody")
EVENT = an_event()

some_limits = st.builds(Limits, parallel=st.integers(1, 8), per_endpoint=st.integers(1, 5))
all_limits = st.builds(Limits, parallel=st.integers(1, 1000), per_endpoint=st.integers(1, 100))


def parcel_for(endpoint_id: EndpointId) -> Parcel:
    return a_parcel(EVENT, endpoint_id=endpoint_id)


class LanesAsTheyAreUsed(RuleBasedStateMachine):
    """Places are booked, filled, sent and freed in every order that a courier can come up with."""

    @initialize(limits=some_limits)
    def open(self, limits: Limits) -> None:
        self.limits = limits
        self.lanes = Lanes(limits)
        self.booked: Counter[EndpointId] = Counter()
        self.waiting: dict[EndpointId, deque[Parcel]] = defaultdict(deque)
        self.sending: list[Parcel] = []
        self.sent: list[Parcel] = []
        self.overtaken: dict[EndpointId, Counter[EndpointId]] = {}
        self.turned_away: set[EndpointId] = set()

    def held(self, name: EndpointId) -> int:
        done = sum(parcel.endpoint_id == name for parcel in self.sending + self.sent)
        return self.booked[name] + len(self.waiting[name]) + done

    @property
    def all_held(self) -> int:
        return sum(self.held(name) for name in NAMES)

    def being_sent(self, name: EndpointId) -> int:
        return sum(parcel.endpoint_id == name for parcel in self.sending)

    def may_send(self, name: EndpointId) -> bool:
        return bool(self.waiting[name]) and self.being_sent(name) < self.limits.per_endpoint

    def is_crowded(self, name: EndpointId) -> bool:
        return self.held(name) * 2 > self.limits.places_per_lane

    # -- what can happen -----------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES))
    def book(self, name: EndpointId) -> None:
        is_room = self.all_held < self.limits.places and self.held(name) < self.limits.places_per_lane
        assert self.lanes.book(name) == is_room
        if is_room:
            self.booked[name] += 1
        else:
            self.turned_away.add(name)
            self.lanes.turn_away([name])

    @precondition(lambda self: self.booked.total())
    @rule(data=st.data())
    def lose_the_commit(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.booked.elements())))
        self.booked[name] -= 1
        self.lanes.unbook(name)

    @precondition(lambda self: self.booked.total())
    @rule(data=st.data())
    def put(self, data: st.DataObject) -> None:
        parcel = parcel_for(data.draw(st.sampled_from(sorted(self.booked.elements()))))
        self.booked[parcel.endpoint_id] -= 1
        self.waiting[parcel.endpoint_id].append(parcel)
        self.lanes.put(parcel)

    @rule()
    def send_the_next(self) -> None:
        parcel = self.lanes.next()
        if parcel is None:
            idle = len(self.sending) < self.limits.parallel and any(self.may_send(name) for name in NAMES)
            assert not idle, "something could be sent, and is not"
            return
        name = parcel.endpoint_id
        assert parcel == self.waiting[name].popleft(), "of one endpoint, the oldest first"
        for other in NAMES:
            if other != name and other in self.overtaken:
                self.overtaken[other][name] += 1
                assert self.overtaken[other][name] <= 1, f"{name} had two turns while {other} waited for one"
        self.overtaken.pop(name, None)
        self.sending.append(parcel)

    @precondition(lambda self: self.sending)
    @rule(data=st.data())
    def hear_the_answer(self, data: st.DataObject) -> None:
        parcel = self.sending.pop(data.draw(st.integers(0, len(self.sending) - 1)))
        self.sent.append(parcel)
        self.lanes.sent(parcel)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def write_it_down(self, data: st.DataObject) -> None:
        self.lanes.done(self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1))))

    @rule()
    def empty(self) -> None:
        given_back = self.lanes.empty()
        expected = [parcel for queue in self.waiting.values() for parcel in queue]
        assert sorted(p.delivery_id for p in given_back) == sorted(p.delivery_id for p in expected)
        self.waiting.clear()

    @rule()
    def ask_for_terms(self) -> None:
        terms = self.lanes.terms()
        assert terms.limit == self.limits.places - self.all_held
        if terms.limit == 0:
            self.turned_away.add(SOMEBODY)
            return
        self.turned_away = {name for name in NAMES if self.is_crowded(name)}
        assert set(terms.crowded) == self.turned_away
        for name in set(NAMES) - self.turned_away:
            assert 1 <= terms.per_endpoint <= self.limits.places_per_lane - self.held(name)

    # -- what holds at every moment ------------------------------------------------------------------------------------

    @invariant()
    def bounds_are_hard(self) -> None:
        assert len(self.sending) <= self.limits.parallel
        assert self.all_held <= self.limits.places
        for name in NAMES:
            assert self.being_sent(name) <= self.limits.per_endpoint
            assert self.held(name) <= self.limits.places_per_lane

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.lanes.places == self.all_held
        assert self.lanes.sending == len(self.sending)

    @invariant()
    def a_half_empty_house_is_hungry_for_whom_it_turned_away(self) -> None:
        half_empty = self.all_held * 2 <= self.limits.places
        assert self.lanes.hungry == (half_empty and any(not self.is_crowded(name) for name in self.turned_away))

    @invariant()
    def whoever_may_send_waits_for_a_turn(self) -> None:
        for name in NAMES:
            if not self.may_send(name):
                self.overtaken.pop(name, None)
            else:
                self.overtaken.setdefault(name, Counter())


TestLanesAsTheyAreUsed = LanesAsTheyAreUsed.TestCase


@given(all_limits)
def test_even_the_smallest_process_takes_something_from_the_store(limits: Limits) -> None:
    terms = Lanes(limits).terms()
    assert terms.limit >= 1
    assert terms.per_endpoint >= 1


@given(all_limits)
def test_one_flood_does_not_take_all_places(limits: Limits) -> None:
    assume(limits.per_endpoint <= limits.parallel)
    lanes = Lanes(limits)
    while lanes.book(NAMES[0]):
        pass
    assert lanes.book(NAMES[1])


@pytest.mark.parametrize("flood", [10, 100])
def test_a_flood_to_one_endpoint_does_not_make_another_wait(flood: int) -> None:
    lanes = Lanes(Limits(parallel=256, per_endpoint=200))
    for name in [NAMES[0]] * flood + [NAMES[1]]:
        assert lanes.book(name)
        lanes.put(parcel_for(name))
    turns = [parcel.endpoint_id for _ in range(2) if (parcel := lanes.next())]
    assert turns == [NAMES[0], NAMES[1]]


@pytest.mark.parametrize(
    ("heard", "pace"), [("o", 4), ("oo", 2), ("oooo", 1), ("oow", 3), ("owwww", 8), ("owwwwwww", 8), ("w", 8)]
)
def test_overload_halves_how_much_goes_out_at_a_time_and_each_success_gives_one_back(heard: str, pace: int) -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=8))
    for sound in heard:
        lanes.heed(NAMES[0], overloaded=sound == "o")
    for _ in range(20):
        assert lanes.book(NAMES[0])
        lanes.put(parcel_for(NAMES[0]))
    started = 0
    while lanes.next() is not None:
        started += 1
    assert started == pace
