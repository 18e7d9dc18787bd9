"""The laws of the places: bounds are hard, and nobody's flood leaves no room for whoever comes next."""

import itertools
from collections import Counter
from collections.abc import Iterator
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.domain.model import AccountId, EndpointId, Parcel, Tempo
from delivery.places import Holder, Limits, Places, holders
from delivery.tempo import SHARES, Tempos
from tests.support.samples import a_parcel, an_event

some_limits = st.builds(Limits, parallel=st.integers(1, 8), per_endpoint=st.integers(1, 5))
all_limits = st.builds(Limits, parallel=st.integers(4, 64), per_endpoint=st.integers(1, 32))
all_tempos = st.sampled_from(list(SHARES))


def parcel_of(
    account: str, endpoint: str = "wh", kind: str = "annotation.completed", origin: str | None = None
) -> Parcel:
    """One for an endpoint of the account, which is at an origin of its own unless the test says where."""
    event = an_event(account_id=AccountId(account), type=kind)
    where = f"https://{endpoint}.example" if origin is None else origin
    return a_parcel(event, endpoint_id=EndpointId(f"{account}.{endpoint}"), origin=where)


def flood(places: Places, parcels: Iterator[Parcel]) -> int:
    """Take places until one is refused; return how many were taken."""
    count = 0
    while places.take(next(parcels)):
        count += 1
    return count


def endpoints_of(account: str) -> Iterator[Parcel]:
    """One parcel for each of more endpoints than there can be places."""
    return (parcel_of(account, f"wh{number}") for number in range(10**6))


def places_of(limits: Limits, tempo: Tempo) -> Places:
    """Places of a house that knows of each endpoint of three accounts, the first few, that it has this tempo."""
    tempos = Tempos()
    for account, number in product("abc", range(limits.places)):
        tempos.learn(parcel_of(account, f"wh{number}"), tempo)
    return Places(limits, tempos)


def kinds_of(kind: str, endpoint: str = "wh") -> Iterator[Parcel]:
    while True:
        yield parcel_of("a", endpoint, kind)


parcels = st.builds(
    parcel_of,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["annotation.completed", "batch.failed"]),
)


@given(some_limits, st.lists(st.tuples(parcels, st.booleans()), max_size=120))
def test_every_bound_is_hard_and_every_place_comes_back(limits: Limits, story: list[tuple[Parcel, bool]]) -> None:
    places = Places(limits, Tempos())
    held: list[Parcel] = []
    for parcel, give_back in story:
        if give_back and held:
            places.give_back(held.pop(0))
        elif places.take(parcel):
            held.append(parcel)
        counts = Counter(name for one in held for name in holders(one, "new"))
        assert places.taken == len(held) <= limits.places
        for name, count in counts.items():
            if len(name) == 2 and name[1] not in SHARES:
                assert count <= limits.places_per_lane
        assert set(places.crowded()) == {name for name in counts if name and places.is_crowded(name)}
    for parcel in held:
        places.give_back(parcel)
    assert places.taken == 0
    assert not list(places.crowded())


@settings(deadline=None)
@given(all_limits, all_tempos)
def test_a_flood_of_one_account_leaves_room_for_another_and_both_for_a_third(limits: Limits, tempo: Tempo) -> None:
    places = places_of(limits, tempo)
    alone = flood(places, endpoints_of("a"))
    assert limits.parallel <= alone <= limits.places * 3 // 4, "all it can send at a time, and not all there is"
    second = flood(places, endpoints_of("b"))
    assert second >= 1
    assert places.take(parcel_of("c", "wh0"))


@settings(deadline=None)
@given(all_limits)
def test_a_flood_of_slow_and_new_endpoints_leaves_a_quarter_to_the_quick_ones_of_the_same_account(
    limits: Limits,
) -> None:
    tempos = Tempos()
    places = Places(limits, tempos)
    for number in range(limits.places):
        tempos.learn(parcel_of("a", f"wh{number}"), "slow")
    flood(places, endpoints_of("a"))
    flood(places, (parcel_of("a", f"new{number}") for number in range(10**6)))
    quick = parcel_of("a", "quick")
    tempos.learn(quick, "quick")
    assert flood(places, kinds_of("annotation.completed", "quick")) >= min(limits.parallel, limits.places_per_lane) // 2
    crowded = places.terms().crowded
    assert quick.endpoint_id in crowded.exempt
    assert parcel_of("a", "wh0").endpoint_id in crowded.endpoints


@settings(deadline=None)
@given(all_limits, all_tempos)
def test_a_flood_to_one_origin_leaves_room_for_another_of_the_same_account(limits: Limits, tempo: Tempo) -> None:
    tempos = Tempos()
    places = Places(limits, tempos)

    def flooding() -> Iterator[Parcel]:
        for number in range(10**6):
            parcel = parcel_of("a", f"wh{number}", origin="https://flood.example")
            tempos.learn(parcel, tempo)
            yield parcel

    assert flood(places, flooding()) >= 1
    elsewhere = parcel_of("a", "elsewhere")
    tempos.learn(elsewhere, tempo)
    assert places.take(elsewhere)
    assert places.take(parcel_of("b"))


@given(all_limits)
def test_an_origin_that_holds_nothing_finds_room_whatever_its_account_holds(limits: Limits) -> None:
    tempos = Tempos()
    places = Places(limits, tempos)
    for tempo in reversed(SHARES):  # the quick ones first: those that follow take of what was left to them
        at_one = (parcel_of("a", f"{tempo}{number}", origin="https://flood.example") for number in range(10**6))
        for parcel in itertools.islice(at_one, limits.places):
            tempos.learn(parcel, tempo)
            places.take(parcel)
    quick = parcel_of("a", "quick")
    tempos.learn(quick, "quick")
    assert quick.endpoint_id not in places.terms().crowded.endpoints, "it is fetched"
    assert places.take(quick), "and taken"


@given(all_limits)
def test_a_flood_of_one_type_leaves_room_for_another_of_the_same_endpoint(limits: Limits) -> None:
    places = Places(limits, Tempos())
    alone = flood(places, kinds_of("annotation.completed"))
    others = (parcel_of("a", f"wh{number}", origin=parcel_of("a").origin) for number in range(10**6))
    most = flood(Places(limits, Tempos()), others)
    assert alone >= min(limits.per_endpoint, most), "a lone type may use all that its endpoint can send"
    if alone < most:  # its origin is not full
        assert places.take(parcel_of("a", "wh", "batch.completed"))


@given(all_limits)
def test_whoever_is_not_crowded_may_have_what_the_terms_say(limits: Limits) -> None:
    places = Places(limits, Tempos())
    terms = places.terms()
    assert terms.limit >= 1
    newcomers = endpoints_of("new")
    assert all(places.take(next(newcomers)) for _ in range(terms.limit))


def test_terms_name_who_is_crowded_on_every_level() -> None:
    places = Places(Limits(parallel=64, per_endpoint=8), Tempos())
    flood(places, kinds_of("annotation.completed"))
    crowded = places.terms().crowded
    assert set(crowded.kinds) == {("a.wh", "annotation.completed")}
    flood(places, endpoints_of("a"))
    assert set(places.terms().crowded.accounts) == {"a"}


def test_a_full_house_takes_nothing() -> None:
    tempos = Tempos()
    places = Places(Limits(parallel=1, per_endpoint=1), tempos)
    for account in map(str, range(100)):
        parcel = parcel_of(account)
        tempos.learn(parcel, "quick")
        places.take(parcel)
    assert places.free == 0
    assert places.terms().limit == 0


def test_an_endpoint_can_be_given_less() -> None:
    holder: Holder = ("a", "a.wh")
    places = Places(Limits(parallel=64, per_endpoint=8), Tempos())
    places.cap(EndpointId("a.wh"), 4)
    assert flood(places, kinds_of("annotation.completed")) == 2
    assert places.take(parcel_of("a", "wh", "batch.completed"))
    assert places.is_crowded(holder)
    places.cap(EndpointId("a.wh"), None)
    assert not places.is_crowded(holder)
