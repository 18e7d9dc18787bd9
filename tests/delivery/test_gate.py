"""The laws of the gate: no second sees more than the limit, and one probe is out at a time."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.gate import OPENS_AFTER, Gate, NotBefore, admit
from delivery.domain.model import DeliveryId
from tests.support.clock import NOON
from tests.support.samples import an_endpoint

LONGEST = timedelta(seconds=23)
SECOND = timedelta(seconds=1)

steps = st.lists(st.floats(0, 0.4), min_size=1, max_size=100)
limited = an_endpoint(rate_limit=10)
tried = an_endpoint(failures=OPENS_AFTER)


def asks(gate: Gate, endpoint: object, number: int, now: datetime) -> tuple[Gate, NotBefore | None]:
    return admit(gate, endpoint, DeliveryId(f"dlv_{number}"), now=now, longest=LONGEST)  # type: ignore[arg-type]


@given(st.integers(1, 500), steps)
def test_no_second_sees_more_than_the_limit(rate: int, pauses: list[float]) -> None:
    endpoint = replace(limited, rate_limit=rate)
    gate, now, out = Gate(), NOON, []
    for number, pause in enumerate(pauses):
        now += timedelta(seconds=pause)
        for _ in range(5):
            gate, answer = asks(gate, endpoint, number, now)
            if answer is None:
                out.append(now)
    for start in out:
        assert sum(start <= at < start + SECOND for at in out) <= rate


@given(st.integers(1, 300))
def test_whoever_comes_when_told_gets_nearly_all_of_the_limit(rate: int) -> None:
    endpoint = replace(limited, rate_limit=rate)
    gate, now, out = Gate(), NOON, 0
    while now < NOON + 5 * SECOND:
        gate, answer = asks(gate, endpoint, out, now)
        if answer is None:
            out += 1
        else:
            assert answer.at > now
            now = answer.at
    assert 0.9 * 5 * rate <= out <= 5 * rate + 1


@given(st.timedeltas(-timedelta(days=400), timedelta(days=400)))
def test_a_clock_that_jumps_closes_no_gate(jump: timedelta) -> None:
    gate, _ = asks(Gate(), limited, 1, NOON)
    later = NOON + jump
    _, answer = asks(gate, limited, 2, later)
    assert answer is None or answer.at <= later + 3 * SECOND


def test_an_open_circuit_lets_one_out_until_that_one_is_over() -> None:
    gate, answer = asks(Gate(), tried, 1, NOON)
    assert answer is None
    _, answer = asks(gate, tried, 2, NOON + SECOND)
    assert answer is not None
    assert NOON + SECOND < answer.at <= NOON + 4 * SECOND
    assert answer.abreast == 1
    _, answer = asks(replace(gate, probe=None, probe_until=None), tried, 2, NOON + SECOND)
    assert answer is None


def test_a_probe_whose_process_died_is_over_when_it_must_be() -> None:
    gate, _ = asks(Gate(), tried, 1, NOON)
    _, answer = asks(gate, tried, 2, NOON + LONGEST - timedelta(milliseconds=1))
    assert answer is not None
    assert answer.at == NOON + LONGEST
    _, answer = asks(gate, tried, 2, NOON + LONGEST)
    assert answer is None


def test_a_clock_that_went_back_makes_no_probe_last_longer() -> None:
    gate, _ = asks(Gate(), tried, 1, NOON)
    _, answer = asks(gate, tried, 2, NOON - timedelta(hours=5))
    assert answer is None


@given(st.floats(0, LONGEST.total_seconds()))
def test_a_process_whose_clock_is_behind_sees_the_probe_of_another(behind_s: float) -> None:
    gate, _ = asks(Gate(), tried, 1, NOON)
    _, answer = asks(gate, tried, 2, NOON - timedelta(seconds=behind_s))
    assert answer is not None


def test_an_open_circuit_keeps_its_rate_limit() -> None:
    both = replace(tried, rate_limit=1)
    gate, answer = asks(Gate(), both, 1, NOON)
    assert answer is None
    over = replace(gate, probe=None, probe_until=None)
    _, answer = asks(over, both, 2, NOON + timedelta(seconds=0.1))
    assert answer is not None


@given(steps)
def test_an_endpoint_without_a_limit_and_with_a_closed_circuit_waits_for_nothing(pauses: list[float]) -> None:
    gate, now = Gate(), NOON
    for number, pause in enumerate(pauses):
        now += timedelta(seconds=pause)
        gate, answer = asks(gate, an_endpoint(failures=OPENS_AFTER - 1), number, now)
        assert answer is None
