"""When to try again. Decided here, carried out by the courier and the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from delivery.domain.model import Answer, Outcome, Parcel

#: The seed's schedule: seconds before each retry, each measured from the attempt before it.
SCHEDULE = (60, 300, 1800, 7200, 28800)

#: The most that ``Retry-After`` can ask for.
LONGEST_WAIT = timedelta(hours=24)

#: How much later than its time a retry may be planned, as a share of the wait. The rest of the promised 10 % is left to
#: the time that it takes to notice that a row is due.
JITTER = 0.08

_GONE = 410
_EXTRA = ("manual", "replay")
_HEEDS_RETRY_AFTER = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Delivered:
    """A 2xx came in time."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Failed; the schedule has another attempt."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Failed for good. ``gone``: the receiver said 410, so its endpoint is disabled as well."""

    gone: bool = False


@dataclass(frozen=True, slots=True)
class AsBefore:
    """An attempt made by hand failed: the delivery and its schedule stay as they were."""


@dataclass(frozen=True, slots=True)
class StandDown:
    """No attempt was made and none will be; ``reason`` says why."""

    reason: str


Verdict = Delivered | RetryAt | GiveUp | AsBefore | StandDown


def decide(  # noqa: PLR0913 - every fact that the decision rests on, and nothing hidden
    parcel: Parcel, outcome: Outcome, *, schedule: Sequence[int], started_at: datetime, now: datetime, spread: float
) -> Verdict:
    """Decide what follows from an attempt.

    ``spread`` is a number in [0, 1): where in the jitter's range this retry falls.
    """
    if outcome.failure is None:
        return Delivered()
    answer = outcome.answer
    if answer is not None and answer.status == _GONE:
        return GiveUp(gone=True)
    if parcel.asked in _EXTRA:
        return AsBefore()
    if parcel.retries_used >= len(schedule):
        return GiveUp()
    wait = timedelta(seconds=schedule[parcel.retries_used] * (1 + JITTER * spread))
    return RetryAt(max(started_at + wait, now + retry_after(answer, now)))


def retry_after(answer: Answer | None, now: datetime) -> timedelta:
    """How long a 429 or 503 asks us to wait, at most a day; zero where it asks nothing that can be understood.

    Both forms of RFC 9110, section 10.2.3.

    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> retry_after(Answer(429, (("Retry-After", "120"),), b"", truncated=False), at)
    datetime.timedelta(seconds=120)
    >>> retry_after(Answer(503, (("retry-after", "Thu, 01 Jan 2026 00:05:00 GMT"),), b"", truncated=False), at)
    datetime.timedelta(seconds=300)
    >>> retry_after(Answer(429, (("Retry-After", "soon"),), b"", truncated=False), at)
    datetime.timedelta(0)
    """
    nothing = timedelta(0)
    if answer is None or answer.status not in _HEEDS_RETRY_AFTER:
        return nothing
    text = next((value.strip() for name, value in answer.headers if name.lower() == "retry-after"), "")
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")[:9] or "0"  # more of them are more than the longest wait anyway
        asked = timedelta(seconds=min(int(digits), LONGEST_WAIT.total_seconds()))
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # neither seconds nor a date: the receiver asked nothing we can heed
            return nothing
        asked = moment.replace(tzinfo=moment.tzinfo or UTC) - now
    return min(max(asked, nothing), LONGEST_WAIT)


def timetable(first: datetime, schedule: Sequence[int]) -> tuple[datetime, ...]:
    """The earliest times of all attempts of a delivery whose first attempt is at ``first``.

    >>> [t.strftime("%H:%M") for t in timetable(datetime(2026, 1, 1, tzinfo=UTC), SCHEDULE)]
    ['00:00', '00:01', '00:06', '00:36', '02:36', '10:36']
    """
    times = [first]
    for wait in schedule:
        times.append(times[-1] + timedelta(seconds=wait))
    return tuple(times)
