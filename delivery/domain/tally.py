"""What is counted: events, attempts and how they ended, by minute, account, endpoint and type of event."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from delivery.domain.histogram import BOUNDS_MS, bin_of
from delivery.domain.model import ErrorClass, Outcome

#: How long a bucket of time is. All begin where the clock in UTC shows a round number.
Grain = Literal["minute", "hour", "day"]

#: Counts of attempts by what they failed with; the others were answered with a 2xx.
ERRORS: Mapping[ErrorClass, str] = {error: f"error_{error}" for error in get_args(ErrorClass)}

#: Counts of attempts by how long they took: a histogram.
TOOK = tuple(f"took_{number:02}" for number in range(len(BOUNDS_MS)))

#: Everything that is counted. ``delivered`` and ``failed`` are deliveries that ended so.
COUNTS = ("accepted", "attempts", "delivered", "failed", "total_ms", *ERRORS.values(), *TOOK)


class Key(NamedTuple):
    """What is counted together. An accepted event has not gone to any endpoint yet: its ``endpoint_id`` is empty."""

    at: datetime
    account_id: str
    endpoint_id: str
    event_type: str


#: Something to count, and all that is counted together.
Fact = tuple[Key, Mapping[str, int]]
Tally = Mapping[Key, Mapping[str, int]]


def begin_of(grain: Grain, moment: datetime) -> datetime:
    """When the bucket of a moment begins.

    >>> [begin_of(grain, datetime(2026, 1, 31, 23, 59, 59, 999)).isoformat() for grain in get_args(Grain)]
    ['2026-01-31T23:59:00', '2026-01-31T23:00:00', '2026-01-31T00:00:00']
    """
    match grain:
        case "minute":
            return moment.replace(second=0, microsecond=0)
        case "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "day":
            return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def key(moment: datetime, account_id: str, endpoint_id: str, event_type: str) -> Key:
    """Where something that happened at a moment is counted."""
    return Key(begin_of("minute", moment), account_id, endpoint_id, event_type)


def attempted(outcome: Outcome) -> Mapping[str, int]:
    """What one request counts.

    >>> from delivery.domain.model import Failure, Timings
    >>> attempted(Outcome("https://receiver.example", {}, Timings(1.2), failure=Failure("timeout", "No answer")))
    {'attempts': 1, 'total_ms': 1, 'took_01': 1, 'error_timeout': 1}
    """
    took_ms = outcome.timings.total_ms
    counts = {"attempts": 1, "total_ms": round(took_ms), TOOK[bin_of(took_ms)]: 1}
    return counts | {ERRORS[outcome.failure.error]: 1} if outcome.failure else counts


def tallied(facts: Iterable[Fact]) -> Tally:
    """Add up what is counted together.

    >>> noon = key(datetime(2026, 1, 1, 12, 0, 59), "acc_1", "", "batch.failed")
    >>> tallied([(noon, {"accepted": 1}), (noon, {"accepted": 2})])[noon]["accepted"]
    3
    """
    tally: dict[Key, Counter[str]] = defaultdict(Counter)
    for where, counts in facts:
        tally[where].update(counts)
    return tally
