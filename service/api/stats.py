"""Statistics: how much comes in and goes out, how it fares, how long it takes, and what waits."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from delivery import statistics
from delivery.domain.tally import Grain
from delivery.statistics import MOST_BUCKETS, Question
from delivery.store.backlog import MOST
from service.api.calls import Call
from service.api.shapes import AskedMoment, Moment, Query, Shape, Word


class StatsQuery(Query):
    """Which time, cut into buckets of which length; of one account, of one webhook, of one type of event."""

    bucket: Grain = Field("hour", description=f"an answer has at most {MOST_BUCKETS} of them")
    from_: AskedMoment | None = Field(
        None, alias="from", description="by default an hour (of minutes), a day (of hours) or 30 days before the end"
    )
    to: AskedMoment | None = Field(None, description="by default the end of the bucket of this moment")
    account_id: Word | None = Field(None, description="one of all accounts, for operators")
    webhook_id: Word | None = None
    event: Word | None = None

    def parsed(self) -> Question:
        """Hand it to the statistics."""
        return Question(self.bucket, self.from_, self.to, self.webhook_id, self.event)


class Figures(Shape):
    """What was counted. Shares and times are null where there is nothing to say.

    ``accepted`` events, null of one webhook; ``delivered`` and ``failed`` deliveries that ended so. The rest is about
    attempts: how many, which share of them was answered with a 2xx, what was answered (``none``: nothing that is an
    answer), what the others failed with, and how long they took in milliseconds, percentiles within 41 %.
    """

    accepted: int | None
    attempts: int
    delivered: int
    failed: int
    success_share: float | None
    by_class: Mapping[str, int]
    by_error: Mapping[str, int]
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Bucket(Figures):
    """What was counted from ``at`` on, for as long as a bucket is."""

    at: Moment


class OfEndpoint(Figures):
    """What was counted of one webhook."""

    webhook_id: str
    account_id: str
    url: str


class Step(Shape):
    """Deliveries of which so many attempts of the schedule were made."""

    retries_used: int
    count: int


class Waiting(Shape):
    """Deliveries that are not over, of all webhooks and types, at this moment.

    By state: being sent, due, or waiting for their time. ``more``: counting ended at the limit, so there may be more.
    """

    count: int = Field(description=f"at most {MOST:,}")
    more: bool
    by_state: Mapping[str, int]
    by_step: Sequence[Step]
    oldest_due_s: float


class Stats(Shape):
    """Statistics, some seconds old at the most. The first and the last bucket are whole ones.

    ``endpoints`` are the twenty webhooks with the most attempts.
    """

    bucket: Grain
    from_: Moment = Field(alias="from")
    to: Moment
    totals: Figures
    series: Sequence[Bucket]
    endpoints: Sequence[OfEndpoint]
    backlog: Waiting


async def report(call: Call[StatsQuery]) -> Stats:
    """Show statistics."""
    reach = call.reach.narrowed(call.asked.account_id)
    found = await call.runtime.statistics.report(reach, call.asked.parsed())
    of_all = call.asked.webhook_id is None
    return Stats(
        bucket=found.window.grain,
        from_=found.window.begin,
        to=found.window.end,
        totals=_figures(found.totals, of_all=of_all),
        series=[Bucket(at=one.at, **_figures(one.figures, of_all=of_all).model_dump()) for one in found.series],
        endpoints=[_of_endpoint(one) for one in found.endpoints],
        backlog=_waiting(found),
    )


def _of_endpoint(one: statistics.OfEndpoint) -> OfEndpoint:
    counted = _figures(one.figures, of_all=False).model_dump()
    return OfEndpoint(webhook_id=one.endpoint_id, account_id=one.account_id, url=one.url, **counted)


def _figures(figures: statistics.Figures, *, of_all: bool) -> Figures:
    same = {name: getattr(figures, name) for name in Figures.model_fields if name != "accepted"}
    return Figures(accepted=figures.accepted if of_all else None, **same)


def _waiting(found: statistics.Report) -> Waiting:
    backlog = found.backlog
    return Waiting(
        count=sum(backlog.by_state.values()),
        more=backlog.more,
        by_state=backlog.by_state,
        by_step=[Step(retries_used=step, count=count) for step, count in backlog.by_step.items()],
        oldest_due_s=backlog.oldest_due_s,
    )
