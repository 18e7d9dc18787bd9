"""The log: deliveries, what was sent, what came back, and what can be done about it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from delivery.domain import model
from delivery.domain.catalogue import TEST_TYPE
from delivery.domain.deeds import Deed, What
from delivery.domain.errors import Conflict, NotFound
from delivery.domain.model import Status
from delivery.store import deliveries, endpoints, events, log
from delivery.store.engine import Transaction
from delivery.store.log import DeliveryFilter
from delivery.store.reach import Reach
from service.api.attempts import Attempt, attempt_shape
from service.api.calls import Call
from service.api.shapes import AskedMoment, Listing, Moment, PageQuery, Query, Shape, Word

_OF_THE_SCHEDULE = ("first", "retry")


class Delivery(Shape):
    """One event on its way to one webhook."""

    id: str
    account_id: str
    event_id: str
    event: str
    webhook_id: str
    url: str
    status: Status
    attempts_made: int
    next_attempt_at: Moment | None
    last_response_status: int | None
    last_error: str | None
    job_id: str
    created_at: Moment
    finished_at: Moment | None


class Due(Shape):
    """When the nth attempt of the schedule was or will be due, at the earliest."""

    number: int
    due_at: Moment


class DeliveryInFull(Delivery):
    """A delivery with everything that was done about it."""

    attempts: Sequence[Attempt]
    schedule: Sequence[Due]


class Deliveries(Listing[Delivery]):
    """A page of the log."""


class OfWebhookFilters(Query):
    """Which deliveries of a webhook. ``q`` finds an event, delivery or job by its id."""

    status: Status | None = None
    event: Word | None = None
    job_id: Word | None = None
    event_id: Word | None = None
    from_: AskedMoment | None = Field(None, alias="from", description="made at or after")
    to: AskedMoment | None = Field(None, description="made before")
    q: Word | None = None
    response_status: int | None = Field(None, ge=100, le=999)
    error_class: Word | None = Field(None, description="what the last attempt failed with")


class DeliveryFilters(OfWebhookFilters):
    """Which deliveries. ``q`` finds an event, delivery or job by its id."""

    webhook_id: Word | None = None
    account_id: Word | None = Field(None, description="one of all accounts, for operators")

    def filter(self) -> DeliveryFilter:
        """Hand it to the store."""
        return DeliveryFilter(**self.model_dump(include=set(DeliveryFilters.model_fields)))


class OfWebhookQuery(PageQuery, OfWebhookFilters):
    """Which part of a webhook's log."""


class DeliveryQuery(PageQuery, DeliveryFilters):
    """Which part of the log."""


async def browse(call: Call[DeliveryQuery]) -> Deliveries:
    """List deliveries."""
    return await page_of(call, call.asked.webhook_id)


async def page_of(call: Call[OfWebhookQuery] | Call[DeliveryQuery], webhook_id: str | None) -> Deliveries:
    """List deliveries, of one webhook or of all."""
    asked = call.asked.model_dump(exclude={"limit", "cursor", "webhook_id"})
    async with call.runtime.store.reading() as tx:
        which = DeliveryFilter(**asked, webhook_id=webhook_id)
        page = await log.browse(tx, call.reach, which, call.asked.request())
    return Deliveries(items=[delivery_shape(delivery) for delivery in page.items], next=page.next)


async def find(call: Call[None]) -> DeliveryInFull:
    """Show one delivery and all its attempts."""
    return await in_full(call, call.id)


async def in_full(call: Call[Any], delivery_id: str) -> DeliveryInFull:
    """Show a delivery by its id, wherever in the request that stands."""
    async with call.runtime.store.reading() as tx:
        delivery = await _found(tx, call.reach, delivery_id)
        attempts = await log.attempts_of(tx, call.reach, delivery_id)
        found = await events.find(tx, call.reach, delivery.event_id)
        [endpoint] = await endpoints.by_ids(tx, [delivery.endpoint_id])
    body = found[0].body if found else b""
    waits = call.runtime.settings.retry_schedule if endpoint.retry_schedule is None else endpoint.retry_schedule
    return DeliveryInFull(
        **delivery_shape(delivery).model_dump(),
        attempts=[attempt_shape(attempt, body) for attempt in attempts],
        schedule=[] if delivery.event_type == TEST_TYPE else schedule(delivery, attempts, waits),
    )


async def retry(call: Call[None]) -> Delivery:
    """Ask for one attempt now. The automatic schedule stays as it is."""
    async with call.runtime.store.writing() as tx:
        delivery = await _found(tx, call.reach, call.id)
        endpoint = await endpoints.find(tx, call.reach, delivery.endpoint_id)
        if endpoint is None:
            raise Conflict("webhook_disabled", "The webhook was deleted")
        if not endpoint.active:
            raise Conflict("webhook_disabled", f"The webhook is disabled: {endpoint.disabled_reason}")
        if not await deliveries.ask(tx, delivery.id, "manual", call.runtime.around.clock.now()):
            raise Conflict("delivery_in_progress", "An attempt is being made right now")
        await call.note(tx, _deed("delivery.retried", delivery))
        asked = delivery_shape(await _found(tx, call.reach, call.id))
    call.runtime.courier.wake()
    return asked


async def cancel(call: Call[None]) -> Delivery:
    """End a delivery that has not ended. A request that is on its way is not called back."""
    async with call.runtime.store.writing() as tx:
        delivery = await _found(tx, call.reach, call.id)
        now = call.runtime.around.clock.now()
        if not await deliveries.cancel(tx, call.reach, call.id, reason="cancelled by request", now=now):
            raise Conflict("conflict", f"The delivery has already ended: {delivery.status}")
        await call.note(tx, _deed("delivery.cancelled", delivery))
        return delivery_shape(await _found(tx, call.reach, call.id))


async def _found(tx: Transaction, reach: Reach, delivery_id: str) -> model.Delivery:
    delivery = await log.find(tx, reach, delivery_id)
    if delivery is None:
        raise NotFound("delivery")
    return delivery


def _deed(what: What, delivery: model.Delivery) -> Deed:
    return Deed(what, delivery.account_id, delivery.id, f"{delivery.event_type} to {delivery.url}")


def delivery_shape(delivery: model.Delivery) -> Delivery:
    """Show a delivery."""
    same = {name: getattr(delivery, name) for name in Delivery.model_fields if name not in ("event", "webhook_id")}
    return Delivery(**same, event=delivery.event_type, webhook_id=delivery.endpoint_id)


def schedule(delivery: model.Delivery, attempts: Sequence[model.Attempt], waits: Sequence[int]) -> list[Due]:
    """Set the attempts of the schedule against the clock: each is due its wait after the one before it was made."""
    made = [attempt.started_at for attempt in attempts if attempt.trigger in _OF_THE_SCHEDULE]
    due: list[datetime] = [delivery.created_at]
    for number, wait in enumerate(waits, start=1):
        before = made[number - 1] if number <= len(made) else due[-1]
        planned = delivery.next_attempt_at if number == len(made) else None
        due.append(planned or before + timedelta(seconds=wait))
    return [Due(number=number, due_at=moment) for number, moment in enumerate(due, start=1)]
