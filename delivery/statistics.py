"""Statistics: rates, success, latency and backlog, at a cost that does not grow with the number of deliveries.

Intake and ledger note what they count in the transactions that they count (``store/rollups.py``). So statistics and log
agree, to the last attempt, as soon as the notes are folded: a few seconds later.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args

from delivery.domain.errors import InvalidInput, Unprocessable
from delivery.domain.histogram import percentile
from delivery.domain.tally import ERRORS, TOOK, Grain, begin_of
from delivery.ports import Surroundings
from delivery.store import backlog, rollups
from delivery.store.backlog import Backlog
from delivery.store.engine import Store
from delivery.store.reach import Reach
from delivery.store.rollups import Window

#: How long each bucket is, and how far back a question goes that does not say.
_LENGTH: Mapping[Grain, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
_USUAL: Mapping[Grain, timedelta] = {
    "minute": timedelta(hours=1),
    "hour": timedelta(days=1),
    "day": timedelta(days=30),
}
_COARSER: Mapping[Grain, str] = {"minute": '"bucket=hour" or a shorter time', "hour": '"bucket=day" or a shorter time'}

#: How many buckets an answer has at the most.
MOST_BUCKETS = 1500

#: How many notes are folded, and how many buckets deleted, in one transaction.
_HANDFUL = 500

_KEEP_MINUTES = timedelta(days=2)
_KEEP_DAYS = timedelta(days=400)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Question:
    """What to look at: ``[from_, to)``, by default up to the end of this bucket; one endpoint's or one type's."""

    grain: Grain = "hour"
    from_: datetime | None = None
    to: datetime | None = None
    endpoint_id: str | None = None
    event_type: str | None = None

    def window(self, now: datetime) -> Window:
        """The buckets that hold the time asked for, the first and the last of them whole.

        Raises:
            InvalidInput: it ends before it begins.
            Unprocessable: there are too many.
        """
        end = self.to or begin_of(self.grain, now) + _LENGTH[self.grain]
        usual = end - min(_USUAL[self.grain], end - _EARLIEST)
        begin = begin_of(self.grain, usual if self.from_ is None else self.from_)
        if begin >= end:
            raise InvalidInput("invalid_payload", '"from" must be before "to"', field="from")
        window = Window(self.grain, begin, end, self.endpoint_id, self.event_type)
        if _number(window) > MOST_BUCKETS:
            instead = _COARSER.get(self.grain, "a shorter time")
            why = f"That is {_number(window):,} buckets; at most {MOST_BUCKETS:,} are answered: ask for {instead}"
            raise Unprocessable("too_many_buckets", why, field="bucket")
        return window


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted of some time, and what follows from it. Shares and times are None where there is nothing to say.

    ``delivered`` and ``failed`` are deliveries that ended so; everything else is about attempts, in milliseconds.
    """

    accepted: int
    attempts: int
    delivered: int
    failed: int
    by_error: Mapping[str, int]
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @property
    def by_class(self) -> Mapping[str, int]:
        """Attempts by what the receiver answered; ``none``: nothing that is an answer."""
        answered = {name: self.by_error[f"http_{name}"] for name in ("3xx", "4xx", "5xx")}
        failed = sum(self.by_error.values())
        return {"2xx": self.attempts - failed, **answered, "none": failed - sum(answered.values())}

    @property
    def success_share(self) -> float | None:
        """The share of attempts that were answered with a 2xx."""
        return self.by_class["2xx"] / self.attempts if self.attempts else None


def figures(counts: Mapping[str, int]) -> Figures:
    """Make figures of counts.

    >>> figures({}).success_share
    >>> figures({"attempts": 4, "error_http_5xx": 1}).success_share
    0.75
    """
    attempts = counts.get("attempts", 0)
    histogram = [counts.get(name, 0) for name in TOOK]
    return Figures(
        accepted=counts.get("accepted", 0),
        attempts=attempts,
        delivered=counts.get("delivered", 0),
        failed=counts.get("failed", 0),
        by_error={error: counts.get(name, 0) for error, name in ERRORS.items()},
        mean_ms=counts.get("total_ms", 0) / attempts if attempts else None,
        p50_ms=percentile(histogram, 0.50),
        p95_ms=percentile(histogram, 0.95),
        p99_ms=percentile(histogram, 0.99),
    )


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was counted from a moment on, for as long as a bucket is."""

    at: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class OfEndpoint:
    """What was counted of one endpoint."""

    endpoint_id: str
    account_id: str
    url: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to a question: all of the time together, and bucket by bucket, those without anything included."""

    window: Window
    totals: Figures
    series: Sequence[Bucket]
    endpoints: Sequence[OfEndpoint]
    backlog: Backlog


class Statistics:
    """Reads statistics, and keeps them. Each function is safe to run in any number of processes at once."""

    def __init__(self, store: Store, around: Surroundings, *, retention: timedelta) -> None:
        self._store = store
        self._around = around
        self._keep: Mapping[Grain, timedelta] = {"minute": _KEEP_MINUTES, "hour": retention, "day": _KEEP_DAYS}

    async def report(self, reach: Reach, question: Question, *, most_endpoints: int = 20) -> Report:
        """Answer a question, about what the asker may see; endpoints are those with the most attempts."""
        now = self._around.clock.now()
        window = question.window(now)
        async with self._store.reading() as tx:
            counted = await rollups.series(tx, reach, window)
            busiest = await rollups.busiest(tx, reach, window, limit=most_endpoints)
            waiting = await backlog.look(tx, reach, now)
        return Report(
            window=window,
            totals=figures(_sum(counted.values())),
            series=[Bucket(at, figures(counted.get(at, {}))) for at in _moments(window)],
            endpoints=[OfEndpoint(one.endpoint_id, one.account_id, one.url, figures(one.counts)) for one in busiest],
            backlog=waiting,
        )

    async def accepted(self, reach: Reach, question: Question) -> Mapping[str, int]:
        """Count the events that were accepted in the time asked for, by type."""
        async with self._store.reading() as tx:
            return await rollups.accepted(tx, reach, question.window(self._around.clock.now()))

    async def fold(self) -> int:
        """Add what was noted since to the rollups, a handful of notes per transaction; return how many."""
        total, folded = 0, _HANDFUL
        while folded == _HANDFUL:
            async with self._store.writing() as tx:
                folded = await rollups.fold(tx, limit=_HANDFUL)
            total += folded
        return total

    async def prune(self) -> int:
        """Delete buckets that are older than their kind is kept, a handful per transaction; return how many."""
        total = 0
        for grain in get_args(Grain):
            before, gone = self._around.clock.now() - self._keep[grain], _HANDFUL
            while gone == _HANDFUL:
                async with self._store.writing() as tx:
                    gone = await rollups.prune(tx, grain, before=before, limit=_HANDFUL)
                total += gone
        return total


def _number(window: Window) -> int:
    return -((window.begin - window.end) // _LENGTH[window.grain])


def _moments(window: Window) -> Sequence[datetime]:
    return [window.begin + number * _LENGTH[window.grain] for number in range(_number(window))]


def _sum(parts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for counts in parts:
        total.update(counts)
    return total
