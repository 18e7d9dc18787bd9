"""Replays: what a filter of the log finds, sent once more."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from delivery.domain.errors import InvalidInput, NotFound
from delivery.store import replays
from delivery.store.log import DeliveryFilter
from service.api.calls import Call
from service.api.shapes import AskedMoment, Body, Listing, Moment, PageQuery, Shape, Word, rfc3339

#: How many webhooks an answer shows one by one: those with the most deliveries.
_MOST_WEBHOOKS = 100

_BodyMoment = Annotated[AskedMoment, Field(strict=False)]


class ReplayFilter(Body):
    """Which deliveries, as in a query of the log. At least one member; ``q`` finds an event, delivery or job by its id.

    What is being sent at the moment cannot be asked for.
    """

    status: Literal["pending", "delivered", "failed", "cancelled"] | None = None
    event: Word | None = None
    webhook_id: Word | None = None
    job_id: Word | None = None
    event_id: Word | None = None
    from_: _BodyMoment | None = Field(None, alias="from", description="made at or after")
    to: _BodyMoment | None = Field(None, description="made before")
    q: Word | None = None
    response_status: int | None = Field(None, ge=100, le=999)
    error_class: Word | None = None
    account_id: Word | None = Field(None, description="one of all accounts, for operators")

    def parsed(self) -> DeliveryFilter:
        """Hand it to the store.

        Raises:
            InvalidInput: it asks nothing, which would be everything.
        """
        if not self.model_dump(exclude_none=True):
            why = 'Say which deliveries: {"status": "failed"} is usual, {"from": TIME} takes all since then'
            raise InvalidInput("invalid_payload", why, field="filter")
        return DeliveryFilter(**self.model_dump())


class NewReplay(Body):
    """What to send once more. With ``dry_run`` it is only counted."""

    filter: ReplayFilter
    dry_run: bool = False


class OfError(Shape):
    """How many deliveries came to this error last; null: to none."""

    error: str | None
    matched: int


class OfWebhook(Shape):
    """How many deliveries go to this webhook. Those of one that is not active are passed over."""

    webhook_id: str
    url: str
    active: bool
    matched: int


class PlannedReplay(Shape):
    """What was found: in all, by webhook (the largest hundred) and by error. ``id`` is null of what is only counted."""

    id: str | None
    matched: int
    by_webhook: Sequence[OfWebhook]
    by_error: Sequence[OfError]


class Skipped(Shape):
    """Why deliveries were passed over.

    ``in_progress``: an attempt was being made, or was due anyway. ``webhook_disabled``: or deleted.
    ``no_longer_matching`` when their turn came. ``withdrawn``: ended, or the replay stopped, before they were sent.
    """

    in_progress: int
    webhook_disabled: int
    no_longer_matching: int
    withdrawn: int


class Progress(Shape):
    """How many were found at the start, were asked for since, wait to be sent, and what became of the others."""

    matched: int
    asked: int
    outstanding: int
    delivered: int
    failed: int
    skipped: Skipped


class Replay(Progress):
    """A replay. ``account_id`` is null where it is about everybody's deliveries.

    ``finished_at`` is when the last delivery that it asked for had been sent.
    """

    id: str
    account_id: str | None
    state: replays.State
    filter: Mapping[str, str | int]
    by_error: Sequence[OfError]
    created_by: str
    created_at: Moment
    finished_at: Moment | None


class WebhookProgress(Progress):
    """How far a replay is with one webhook."""

    webhook_id: str
    url: str
    active: bool


class ReplayInFull(Replay):
    """A replay, webhook by webhook: the hundred with the most deliveries."""

    by_webhook: Sequence[WebhookProgress]


class Replays(Listing[Replay]):
    """A page of replays."""


async def start(call: Call[NewReplay]) -> PlannedReplay:
    """Find what is to be sent once more, and begin."""
    which = call.asked.filter.parsed()
    if call.asked.dry_run:
        async with call.runtime.store.reading() as tx:
            return _planned(None, await replays.preview(tx, call.reach, which))
    replay, found = await call.runtime.replays.start(call.reach, which, by=call.principal.by)
    return _planned(replay.id, found)


async def browse(call: Call[PageQuery]) -> Replays:
    """List replays."""
    async with call.runtime.store.reading() as tx:
        page = await replays.browse(tx, call.reach, call.asked.request())
    return Replays(items=[_replay(replay) for replay in page.items], next=page.next)


async def find(call: Call[None]) -> ReplayInFull:
    """Show how far a replay is."""
    async with call.runtime.store.reading() as tx:
        replay = await replays.find(tx, call.reach, call.id)
        if replay is None:
            raise NotFound("replay")
        shares = await replays.shares(tx, replay.id, limit=_MOST_WEBHOOKS)
    return ReplayInFull(**_replay(replay).model_dump(), by_webhook=[_webhook_progress(share) for share in shares])


async def stop(call: Call[None]) -> Replay:
    """Stop a replay. What it asked for and nobody is sending yet is withdrawn."""
    return _replay(await call.runtime.replays.stop(call.reach, call.id, by=call.principal.by))


def _planned(replay_id: str | None, found: replays.Preview) -> PlannedReplay:
    return PlannedReplay(
        id=replay_id,
        matched=found.matched,
        by_webhook=[
            OfWebhook(webhook_id=one.endpoint_id, url=one.url, active=one.active, matched=one.matched)
            for one in found.by_endpoint[:_MOST_WEBHOOKS]
        ],
        by_error=_by_error(found.by_error),
    )


def _replay(replay: replays.Replay) -> Replay:
    return Replay(
        **_progress(replay.counts).model_dump(),
        id=replay.id,
        account_id=replay.account_id,
        state=replay.state,
        filter=_filter(replay.filter),
        by_error=_by_error(replay.by_error),
        created_by=replay.created_by,
        created_at=replay.created_at,
        finished_at=replay.finished_at,
    )


def _webhook_progress(share: replays.Share) -> WebhookProgress:
    progress = _progress(share.counts).model_dump()
    return WebhookProgress(**progress, webhook_id=share.endpoint_id, url=share.url, active=share.active)


def _progress(counts: replays.Counts) -> Progress:
    skipped = Skipped(
        in_progress=counts.in_progress,
        webhook_disabled=counts.disabled,
        no_longer_matching=counts.changed,
        withdrawn=counts.withdrawn,
    )
    return Progress(**asdict(counts), outstanding=counts.outstanding, skipped=skipped)


def _by_error(found: Sequence[tuple[str | None, int]]) -> list[OfError]:
    return [OfError(error=error, matched=count) for error, count in found]


def _filter(which: DeliveryFilter) -> dict[str, str | int]:
    written = replays.as_json(which)
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in written.items()}
