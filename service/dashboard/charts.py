"""Statistics as charts: what a page hands to its script, and what it says to those who do not see it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from delivery.domain.tally import Grain
from service.api.shapes import Query
from service.api.stats import Bucket, Stats, StatsQuery
from service.dashboard.words import milliseconds, number

#: Names of lines and how they are drawn: the script and the style sheet know colours by these.
_CLASSES = (("2xx", "good"), ("3xx", "hint"), ("4xx", "wait"), ("5xx", "wrong"), ("none", "quiet"))
_TIMES = (("p50_ms", "p50", "good"), ("p95_ms", "p95", "wait"), ("p99_ms", "p99", "wrong"))


#: Each period with its buckets; how long it is follows from these (see ``GET /api/stats``).
_GRAINS: dict[str, Grain] = {"hour": "minute", "day": "hour", "month": "day"}


class Period(Query):
    """How far back to look."""

    period: Literal["hour", "day", "month"] = "hour"

    def stats(self, webhook_id: str | None = None) -> StatsQuery:
        """What to ask the statistics for."""
        return StatsQuery(bucket=_GRAINS[self.period], webhook_id=webhook_id)


@dataclass(frozen=True, slots=True)
class Chart:
    """``data`` is JSON for the script; ``words`` is what the chart shows, in a sentence."""

    title: str
    data: str
    words: str


def charts_of(stats: Stats) -> Sequence[Chart]:
    """Answers by class, latency, and what came in against what went out."""
    totals = stats.totals
    answers = [(name, colour, [one.by_class[name] for one in stats.series]) for name, colour in _CLASSES]
    times = [(label, colour, [getattr(one, name) for one in stats.series]) for name, label, colour in _TIMES]
    said = ", ".join(f"{name} {number(count)}" for name, count in totals.by_class.items() if count) or "none"
    took = ", ".join(f"{label} {milliseconds(getattr(totals, name))}" for name, label, _ in _TIMES)
    return [
        Chart(f"Attempts per {stats.bucket}, by answer", _data(stats.series, answers, "bars"), f"Attempts: {said}"),
        Chart("Time to answer", _data(stats.series, times, "ms"), f"Latency: {took}"),
        *_flow(stats),
    ]


def _flow(stats: Stats) -> Sequence[Chart]:
    """What came in and what went out; of one webhook nothing comes in."""
    lines = [
        ("delivered", "good", [one.delivered for one in stats.series]),
        ("failed", "wrong", [one.failed for one in stats.series]),
    ]
    words = f"Delivered {number(stats.totals.delivered)}, failed {number(stats.totals.failed)}"
    if stats.totals.accepted is not None:
        lines.insert(0, ("events accepted", "busy", [one.accepted or 0 for one in stats.series]))
        words = f"Accepted {number(stats.totals.accepted)}. {words}"
    return [Chart(f"Events and deliveries per {stats.bucket}", _data(stats.series, lines, "lines"), words)]


def _data(series: Sequence[Bucket], lines: Sequence[tuple[str, str, Sequence[Any]]], kind: str) -> str:
    shown = [{"label": label, "colour": colour, "values": values} for label, colour, values in lines]
    return json.dumps({"kind": kind, "at": [int(one.at.timestamp()) for one in series], "lines": shown})
