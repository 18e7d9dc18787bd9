"""The laws of the lanes: bounds are hard, nothing is lost, turns are fair, and who hangs takes no more than a share."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from delivery.domain.model import AccountId, EndpointId, Parcel, Tempo
from delivery.lanes import Lanes
from delivery.places import Limits
from tests.support.samples import a_parcel, an_event

ACCOUNTS = {"wh_a": "one", "wh_b": "one", "wh_c": "two", "wh_d": "two"}
NAMES = [EndpointId(name) for name in ACCOUNTS]
KINDS = ["annotation.completed", "batch.completed"]

some_limits = st.builds(Limits, parallel=st.integers(1, 8), per_endpoint=st.integers(1, 5))

_leases = count()


def parcel_for(
    endpoint_id: str, kind: str = KINDS[0], account: str | None = None, origin: str = "https://example.com"
) -> Parcel:
    event = an_event(account_id=AccountId(account or ACCOUNTS.get(endpoint_id, "one")), type=kind)
    return a_parcel(event, endpoint_id=EndpointId(endpoint_id), origin=origin, lease=f"process.{next(_leases)}")


class LanesAsTheyAreUsed(RuleBasedStateMachine):
    """Places are booked, filled, sent, held and freed in every order that a courier can come up with."""

    @initialize(limits=some_limits)
    def open(self, limits: Limits) -> None:
        self.limits = limits
        self.lanes = Lanes(limits)
        self.booked: list[Parcel] = []
        self.waiting: dict[EndpointId, list[Parcel]] = defaultdict(list)
        self.sending: list[Parcel] = []
        self.sent: list[Parcel] = []
        self.resting: set[EndpointId] = set()
        self.abreast: dict[EndpointId, int] = {}

    @property
    def held(self) -> list[Parcel]:
        return [*self.booked, *(p for queue in self.waiting.values() for p in queue), *self.sending, *self.sent]

    def being_sent(self, name: EndpointId) -> int:
        return sum(parcel.endpoint_id == name for parcel in self.sending)

    def may_send(self, name: EndpointId) -> bool:
        abreast = min(self.limits.per_endpoint, self.abreast.get(name, self.limits.per_endpoint))
        return bool(self.waiting[name]) and self.being_sent(name) < abreast and name not in self.resting

    def forget_if_empty(self, name: EndpointId) -> None:
        if not any(parcel.endpoint_id == name for parcel in self.held):
            self.resting.discard(name)
            self.abreast.pop(name, None)

    # -- what can happen -----------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(KINDS))
    def book(self, name: EndpointId, kind: str) -> None:
        parcel = parcel_for(name, kind)
        if self.lanes.book(parcel):
            self.booked.append(parcel)
        else:
            self.lanes.turn_away([parcel])

    @precondition(lambda self: self.booked)
    @rule(data=st.data())
    def lose_the_commit(self, data: st.DataObject) -> None:
        parcel = self.booked.pop(data.draw(st.integers(0, len(self.booked) - 1)))
        self.lanes.unbook(parcel)
        self.forget_if_empty(parcel.endpoint_id)

    @precondition(lambda self: self.booked)
    @rule(data=st.data())
    def put(self, data: st.DataObject) -> None:
        parcel = self.booked.pop(data.draw(st.integers(0, len(self.booked) - 1)))
        self.waiting[parcel.endpoint_id].append(parcel)
        self.lanes.put(parcel)

    @rule()
    def send_the_next(self) -> None:
        parcel = self.lanes.next()
        if parcel is None:
            idle = len(self.sending) < self.limits.parallel // 4 and any(self.may_send(name) for name in NAMES)
            assert not idle, "something could be sent, and is not"
            return
        assert self.may_send(parcel.endpoint_id)
        queue = self.waiting[parcel.endpoint_id]
        first = next(other for other in queue if other.event_type == parcel.event_type)
        assert parcel == first, "of one type for one endpoint, the oldest first"
        queue.remove(parcel)
        self.sending.append(parcel)

    @precondition(lambda self: self.sending)
    @rule(data=st.data(), tempo=st.sampled_from([None, "quick", "slow"]))
    def hear_the_answer(self, data: st.DataObject, tempo: Tempo | None) -> None:
        parcel = self.sending.pop(data.draw(st.integers(0, len(self.sending) - 1)))
        self.sent.append(parcel)
        self.lanes.sent(parcel, tempo)

    @precondition(lambda self: self.sending)
    @rule(data=st.data())
    def hang(self, data: st.DataObject) -> None:
        parcel = data.draw(st.sampled_from(self.sending))
        for other in self.lanes.hangs(parcel):
            self.waiting[parcel.endpoint_id].remove(other)

    @precondition(lambda self: self.sending)
    @rule(data=st.data(), most=st.integers(1, 4), abreast=st.sampled_from([None, 1]))
    def be_held(self, data: st.DataObject, most: int, abreast: int | None) -> None:
        parcel = self.sending.pop(data.draw(st.integers(0, len(self.sending) - 1)))
        name = parcel.endpoint_id
        self.lanes.sent(parcel, None)
        surplus = self.lanes.hold(parcel, most=most, abreast=abreast)
        self.waiting[name].insert(0, parcel)
        assert len(surplus) < len(self.waiting[name]), "somebody has to ask again"
        for other in surplus:
            self.waiting[name].remove(other)
        self.resting.add(name)
        self.abreast[name] = abreast or self.limits.per_endpoint

    @rule(name=st.sampled_from(NAMES))
    def awaken(self, name: EndpointId) -> None:
        self.resting.discard(name)
        self.lanes.awaken(name)

    @rule(name=st.sampled_from(NAMES))
    def free(self, name: EndpointId) -> None:
        self.resting.discard(name)
        self.abreast.pop(name, None)
        self.lanes.free(name)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def write_it_down(self, data: st.DataObject) -> None:
        parcel = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        self.lanes.done(parcel)
        self.forget_if_empty(parcel.endpoint_id)

    @rule()
    def empty(self) -> None:
        given_back = self.lanes.empty()
        expected = [parcel for queue in self.waiting.values() for parcel in queue]
        assert sorted(p.delivery_id for p in given_back) == sorted(p.delivery_id for p in expected)
        self.waiting.clear()
        for name in NAMES:
            self.forget_if_empty(name)

    @rule()
    def ask_for_terms(self) -> None:
        assert (self.lanes.terms().limit == 0) == (len(self.held) == self.limits.places)

    # -- what holds at every moment ------------------------------------------------------------------------------------

    @invariant()
    def bounds_are_hard(self) -> None:
        assert len(self.sending) <= self.limits.parallel
        assert len(self.held) <= self.limits.places
        held = Counter(parcel.endpoint_id for parcel in self.held)
        for name in NAMES:
            assert self.being_sent(name) <= self.limits.per_endpoint
            assert held[name] <= self.limits.places_per_lane

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.lanes.places == len(self.held)
        assert self.lanes.sending == len(self.sending)

    @invariant()
    def only_a_half_empty_house_is_hungry(self) -> None:
        assert not self.lanes.hungry or len(self.held) * 2 <= self.limits.places


TestLanesAsTheyAreUsed = LanesAsTheyAreUsed.TestCase


def filled(limits: Limits, *parcels: Parcel) -> Lanes:
    lanes = Lanes(limits)
    for parcel in parcels:
        assert lanes.book(parcel)
        lanes.put(parcel)
    return lanes


def started(lanes: Lanes) -> list[Parcel]:
    """Everything that may go out now."""
    going = []
    while (parcel := lanes.next()) is not None:
        going.append(parcel)
    return going


def answered(lanes: Lanes, parcel: Parcel, tempo: Tempo) -> None:
    lanes.sent(parcel, tempo)
    lanes.done(parcel)


@pytest.mark.parametrize("flood", [10, 30])
def test_a_flood_to_one_endpoint_does_not_make_another_wait(flood: int) -> None:
    lanes = filled(Limits(256, 200), *(parcel_for("wh_a") for _ in range(flood)), parcel_for("wh_b"))
    assert [parcel.endpoint_id for parcel in started(lanes)[:2]] == ["wh_a", "wh_b"]


def test_an_account_with_many_endpoints_has_no_more_turns_than_one_with_a_single_one() -> None:
    many = [parcel_for(f"wh_{number}", account="many") for number in range(50)]
    few = [parcel_for("wh_few", account="few") for _ in range(10)]
    going = started(filled(Limits(256, 16), *many, *few))
    assert [parcel.account_id for parcel in going[:20]] == ["many", "few"] * 10


def test_a_flood_of_one_type_does_not_make_another_of_the_same_endpoint_wait() -> None:
    flood = [parcel_for("wh_a", KINDS[0]) for _ in range(50)]
    going = started(filled(Limits(256, 4), *flood, parcel_for("wh_a", KINDS[1])))
    assert [parcel.event_type for parcel in going[:2]] == KINDS


@pytest.mark.parametrize(
    ("heard", "pace"), [("o", 4), ("oo", 2), ("oooo", 1), ("oow", 3), ("owwww", 8), ("owwwwwww", 8), ("w", 8)]
)
def test_overload_halves_how_much_goes_out_at_a_time_and_each_success_gives_one_back(heard: str, pace: int) -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=8))
    for sound in heard:
        lanes.heed(NAMES[0], overloaded=sound == "o")
    for _ in range(16):
        parcel = parcel_for("wh_a")
        assert lanes.book(parcel)
        lanes.put(parcel)
    assert len(started(lanes)) == pace


# -- those who hang ----------------------------------------------------------------------------------------------------


def known(lanes: Lanes, endpoint_id: str, tempo: Tempo) -> None:
    """Let an endpoint show its tempo."""
    parcel = parcel_for(endpoint_id, account=endpoint_id)
    assert lanes.book(parcel)
    lanes.put(parcel)
    assert lanes.next() == parcel
    answered(lanes, parcel, tempo)


def put(lanes: Lanes, endpoint_id: str) -> None:
    parcel = parcel_for(endpoint_id, account=endpoint_id)
    assert lanes.book(parcel)
    lanes.put(parcel)


@given(st.integers(4, 64))
def test_endpoints_that_hang_leave_half_of_all_requests_to_the_others(parallel: int) -> None:
    lanes = Lanes(Limits(parallel=parallel, per_endpoint=4))
    for number in range(2 * parallel):
        known(lanes, f"slow{number}", "slow")
    for number in range(2 * parallel):
        put(lanes, f"slow{number}")
    assert len(started(lanes)) == (parallel + 1) // 2
    put(lanes, "newcomer")
    assert [parcel.endpoint_id for parcel in started(lanes)] == ["newcomer"]


def test_endpoints_of_which_nothing_is_known_leave_a_quarter_to_those_that_were_quick() -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=4))
    known(lanes, "quick", "quick")
    for number in range(100):
        put(lanes, f"new{number}")
    assert len(started(lanes)) == 48
    put(lanes, "quick")
    assert [parcel.endpoint_id for parcel in started(lanes)] == ["quick"]


def flood(lanes: Lanes, count: int = 1000) -> list[Parcel]:
    """Let an account send to so many new endpoints, each of which hangs; what was given back because of that."""
    surplus = []
    for number in range(count):
        parcel = parcel_for(f"wh{number}", account="flood")
        if lanes.book(parcel):
            lanes.put(parcel)
        surplus += [other for sent in started(lanes) for other in lanes.hangs(sent)]
    return surplus


def test_an_account_whose_requests_hang_leaves_room_for_another() -> None:
    limits = Limits(parallel=16, per_endpoint=4)
    lanes = Lanes(limits)
    flood(lanes)
    assert lanes.sending < limits.parallel // 2
    put(lanes, "newcomer")
    assert [parcel.endpoint_id for parcel in started(lanes)] == ["newcomer"]


def test_of_an_account_whose_requests_hang_the_quick_ones_go_on() -> None:
    lanes = Lanes(Limits(parallel=16, per_endpoint=4))
    quick = parcel_for("quick", account="flood")
    assert lanes.book(quick)
    lanes.put(quick)
    assert started(lanes) == [quick]
    answered(lanes, quick, "quick")
    flood(lanes)
    again = parcel_for("quick", account="flood")
    assert lanes.book(again)
    lanes.put(again)
    assert started(lanes) == [again]


def test_whoever_turns_slow_keeps_no_more_than_the_slow_ones_may() -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=4))
    for number in range(1000):
        parcel = parcel_for(f"wh{number % 20}", account="flood", origin=f"https://{number % 20}.example")
        if lanes.book(parcel):
            lanes.put(parcel)
    before = lanes.places
    surplus = [other for sent in started(lanes) for other in lanes.hangs(sent)]
    assert surplus, "what is too much goes back to the store"
    assert lanes.places == before - len(surplus)


@pytest.mark.parametrize("tempo", ["new", "slow", "quick"])
def test_an_origin_where_everything_hangs_leaves_room_for_another_of_the_account(tempo: Tempo) -> None:
    limits = Limits(parallel=64, per_endpoint=4)
    lanes = Lanes(limits)
    for number in range(1000):
        parcel = replace(parcel_for(f"wh{number}", account="flood", origin="https://flood.example"), tempo=tempo)
        if lanes.book(parcel):
            lanes.put(parcel)
        for sent in started(lanes):
            lanes.hangs(sent)
    elsewhere = replace(parcel_for("elsewhere", account="flood"), tempo=tempo)
    assert lanes.book(elsewhere)
    lanes.put(elsewhere)
    assert started(lanes) == [elsewhere]


def test_what_hangs_makes_room_among_the_new_ones_as_far_as_the_slow_ones_have_any() -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=4))
    for number in range(40):
        parcel = parcel_for(f"wh{number}", account="flood")
        assert lanes.book(parcel)
        lanes.put(parcel)
    first = started(lanes)
    assert len(first) == 16, "a third of what new ones may have"
    for sent in first:
        lanes.hangs(sent)
    assert len(started(lanes)) == 8, "eleven count among the slow ones now"


def test_a_crowd_of_origins_leaves_a_quarter_of_all_to_other_accounts() -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=4))
    for number in range(90):
        parcel = parcel_for(f"wh{number}", account="flood", origin=f"https://{number}.example")
        assert lanes.book(parcel)
        lanes.put(parcel)
    assert len(started(lanes)) == 32, "of the 48 that new ones may have"
    put(lanes, "newcomer")
    assert [parcel.endpoint_id for parcel in started(lanes)] == ["newcomer"]


@pytest.mark.parametrize("order", [["quick", "slow"], ["quick", "new"], ["new", "slow"], ["slow", "new", "quick"]])
def test_whatever_else_hangs_at_one_origin_another_one_of_the_account_gets_its_turn(order: list[Tempo]) -> None:
    lanes = Lanes(Limits())
    for tempo in order:
        for number in range(500):
            parcel = parcel_for(f"{tempo}{number}", account="flood", origin="https://flood.example")
            parcel = replace(parcel, tempo=tempo)
            if lanes.book(parcel):
                lanes.put(parcel)
        for sent in started(lanes):
            lanes.hangs(sent)
    for tempo in order:
        elsewhere = replace(parcel_for(tempo, account="flood", origin=f"https://{tempo}.example"), tempo=tempo)
        assert lanes.book(elsewhere)
        lanes.put(elsewhere)
        assert started(lanes) == [elsewhere]


def test_what_the_store_knows_of_an_endpoint_counts_until_it_has_moved() -> None:
    lanes = Lanes(Limits(parallel=64, per_endpoint=4))

    def going(**changes: Any) -> int:
        """How many of many endpoints get a turn."""
        parcels = [replace(parcel_for(f"wh{number}", account=f"a{number}"), **changes) for number in range(100)]
        for parcel in parcels:
            if lanes.book(parcel):
                lanes.put(parcel)
        sent = started(lanes)
        for parcel in sent:
            lanes.sent(parcel, None)
            lanes.done(parcel)
        lanes.empty()
        return len(sent)

    assert going(tempo="slow") == 32
    assert going(tempo="quick") == 32, "what was learnt here counts more than what the store knew before"
    assert going(tempo="new", origin="https://moved.example") == 48
    assert going(tempo="quick", origin="https://moved.again.example") == 64


def test_a_test_call_that_hangs_has_no_lane_to_slow_down() -> None:
    assert Lanes(Limits()).hangs(parcel_for("wh_a")) == []


def test_whoever_was_slow_and_is_quick_again_is_treated_like_the_others() -> None:
    lanes = Lanes(Limits(parallel=8, per_endpoint=4))
    known(lanes, "wh", "slow")
    known(lanes, "wh", "quick")
    for _ in range(4):
        put(lanes, "wh")
    assert len(started(lanes)) == 4


# -- those who have to wait --------------------------------------------------------------------------------------------


def test_a_lane_that_rests_makes_no_other_wait_and_goes_on_when_it_is_awakened() -> None:
    lanes = filled(Limits(16, 4), parcel_for("wh_a"), parcel_for("wh_a"), parcel_for("wh_b"))
    first = lanes.next()
    assert first is not None
    lanes.sent(first, None)
    assert lanes.hold(first, most=16, abreast=1) == []
    assert [parcel.endpoint_id for parcel in started(lanes)] == ["wh_b"]
    lanes.awaken(EndpointId("wh_a"))
    assert started(lanes) == [first], "the one that asked first, and it alone"
    lanes.free(EndpointId("wh_a"))
    assert len(started(lanes)) == 1


def test_what_a_held_lane_need_not_keep_comes_out_last_first() -> None:
    parcels = [parcel_for("wh_a") for _ in range(10)]
    lanes = filled(Limits(64, 4), *parcels)
    first = lanes.next()
    assert first is not None
    lanes.sent(first, None)
    surplus = lanes.hold(first, most=4, abreast=1)
    assert surplus == parcels[4:]
    assert lanes.places == 4
