"""The laws of trying again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.model import Failure, Outcome, Parcel, Trigger
from delivery.domain.retry import (
    JITTER,
    LONGEST_WAIT,
    SCHEDULE,
    AsBefore,
    Delivered,
    GiveUp,
    RetryAt,
    Verdict,
    decide,
    retry_after,
    timetable,
)
from tests.support.clock import NOON
from tests.support.samples import a_parcel, an_answer, an_outcome

NOTHING = timedelta(0)
TIMED_OUT = an_outcome(failure=Failure("timeout", "The 10 seconds of an attempt ran out"))

schedules = st.lists(st.integers(1, 7 * 24 * 3600), min_size=1, max_size=20)
spreads = st.floats(0, 1, exclude_max=True)
durations = st.floats(0, 60).map(lambda seconds: timedelta(seconds=seconds))
failures = st.sampled_from([TIMED_OUT] + [an_outcome(an_answer(status)) for status in (301, 400, 404, 500, 502, 504)])
retry_afters = st.one_of(
    st.integers(0, 10**25).map(str),
    st.datetimes(datetime(2025, 12, 1), datetime(2026, 3, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - bounds are naive
        lambda moment: format_datetime(moment, usegmt=True)
    ),
    st.text(max_size=40),
)


def judged(
    outcome: Outcome,
    *,
    retries_used: int = 0,
    asked: Trigger | None = None,
    schedule: Sequence[int] = SCHEDULE,
    took: timedelta = NOTHING,
    spread: float = 0.5,
) -> Verdict:
    parcel: Parcel = a_parcel(retries_used=retries_used, asked=asked)
    return decide(parcel, outcome, schedule=schedule, started_at=NOON, now=NOON + took, spread=spread)


@given(schedules, st.data(), failures, durations, spreads)
def test_a_retry_is_never_earlier_than_the_schedule_and_at_most_eight_percent_later(
    schedule: list[int], data: st.DataObject, failure: Outcome, took: timedelta, spread: float
) -> None:
    step = data.draw(st.integers(0, len(schedule) - 1))
    verdict = judged(failure, retries_used=step, schedule=schedule, took=took, spread=spread)
    assert isinstance(verdict, RetryAt)
    wait = timedelta(seconds=schedule[step])
    assert NOON + wait <= verdict.at <= max(NOON + wait * (1 + JITTER), NOON + took)


@given(schedules, failures, spreads)
def test_there_are_as_many_retries_as_the_schedule_has_waits(
    schedule: list[int], failure: Outcome, spread: float
) -> None:
    verdicts = [judged(failure, retries_used=n, schedule=schedule, spread=spread) for n in range(len(schedule) + 1)]
    assert all(isinstance(verdict, RetryAt) for verdict in verdicts[:-1])
    assert verdicts[-1] == GiveUp()


@given(st.integers(200, 299), st.sampled_from([None, "manual", "replay", "test"]))
def test_every_2xx_delivers_whoever_asked(status: int, asked: Trigger | None) -> None:
    assert judged(an_outcome(an_answer(status)), asked=asked) == Delivered()


@given(retry_afters, st.sampled_from([429, 503]), st.integers(0, 4), spreads)
def test_retry_after_can_only_lengthen_a_wait_and_to_a_day_at_most(
    text: str, status: int, step: int, spread: float
) -> None:
    asked = judged(an_outcome(an_answer(status, {"Retry-After": text})), retries_used=step, spread=spread)
    plain = judged(an_outcome(an_answer(status)), retries_used=step, spread=spread)
    assert isinstance(asked, RetryAt)
    assert isinstance(plain, RetryAt)
    assert plain.at <= asked.at <= max(plain.at, NOON + LONGEST_WAIT)


@given(st.integers(0, 10**25))
def test_seconds_of_retry_after_mean_seconds_however_many_digits_they_are_written_with(seconds: int) -> None:
    for text in (str(seconds), f"{seconds:030}"):
        asked = retry_after(an_answer(429, {"Retry-After": text}), NOON)
        assert asked == timedelta(seconds=min(seconds, 24 * 3600))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("120", timedelta(seconds=120)),
        (" 120 ", timedelta(seconds=120)),
        ("0", NOTHING),
        ("-5", NOTHING),
        ("1.5", NOTHING),
        ("soon", NOTHING),
        ("", NOTHING),
        ("١٢٠", NOTHING),
        ("9" * 20, LONGEST_WAIT),
        ("9" * 5000, LONGEST_WAIT),
        (str(365 * 24 * 3600), LONGEST_WAIT),
        ("Thu, 01 Jan 2026 12:02:00 GMT", timedelta(seconds=120)),
        ("Thursday, 01-Jan-26 12:02:00 GMT", timedelta(seconds=120)),
        ("Thu Jan  1 12:02:00 2026", timedelta(seconds=120)),
        ("Thu, 01 Jan 2026 11:00:00 GMT", NOTHING),
        ("Fri, 01 Jan 2027 12:00:00 GMT", LONGEST_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_WAIT),
        ("Thu, 32 Jan 2026 12:02:00 GMT", NOTHING),
        ("Thu, 01 Jan 2026 12:02:00 +999999", NOTHING),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_what_retry_after_says_is_understood_or_it_says_nothing(status: int, text: str, asked: timedelta) -> None:
    assert retry_after(an_answer(status, {"retry-AFTER": text}), NOON) == asked


@pytest.mark.parametrize("status", [200, 301, 400, 404, 500, 502, 504])
def test_only_429_and_503_are_asked_when_to_come_back(status: int) -> None:
    assert retry_after(an_answer(status, {"Retry-After": "600"}), NOON) == NOTHING


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(text: str) -> None:
    assert NOTHING <= retry_after(an_answer(503, {"Retry-After": text}), NOON) <= LONGEST_WAIT


@pytest.mark.parametrize("asked", [None, "manual", "replay", "test"])
@pytest.mark.parametrize("retries_used", [0, 3, 5])
def test_410_ends_it_at_once(retries_used: int, asked: Trigger | None) -> None:
    assert judged(an_outcome(an_answer(410)), retries_used=retries_used, asked=asked) == GiveUp(gone=True)


@given(failures, st.integers(0, 5), st.sampled_from(["manual", "replay"]))
def test_a_failed_attempt_by_hand_leaves_everything_as_it_was(outcome: Outcome, used: int, asked: Trigger) -> None:
    assert judged(outcome, retries_used=used, asked=asked) == AsBefore()


@given(failures)
def test_a_failed_test_is_not_repeated(outcome: Outcome) -> None:
    assert judged(outcome, asked="test", schedule=()) == GiveUp()


def test_the_seeds_schedule_ends_ten_hours_and_thirty_six_minutes_after_the_first_attempt() -> None:
    times = timetable(NOON, SCHEDULE)
    assert len(times) == 6
    assert times[-1] - times[0] == timedelta(hours=10, minutes=36)
