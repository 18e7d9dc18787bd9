"""What each plan allows, and how the API says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.domain.model import Plan

#: What a key of each plan may publish in a month; None: as much as it likes.
PLANS: Mapping[Plan, int | None] = {"free": 500, "starter": 10_000, "pro": 100_000, "enterprise": None}

#: What ``X-RateLimit-Limit`` and ``-Remaining`` say where nothing is counted.
UNMETERED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The numbers of the ``X-RateLimit-…`` headers, as they were when the request came in."""

    limit: int
    remaining: int
    resets_at: datetime


def allowance(limit: int | None, used: int, now: datetime) -> Allowance:
    """What is left of a limit in this billing period; None: it is not metered."""
    if limit is None:
        return Allowance(UNMETERED, UNMETERED, next_period(now))
    return Allowance(limit, max(0, limit - used), next_period(now))


def next_period(now: datetime) -> datetime:
    """The start of the next billing period.

    >>> from datetime import UTC
    >>> next_period(datetime(2026, 12, 24, 18, tzinfo=UTC)).isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
