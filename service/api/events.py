"""Events that were accepted, and for each webhook why it got them or not."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from delivery.domain import model
from delivery.domain.errors import NotFound
from delivery.domain.model import Endpoint
from delivery.store import endpoints, events, log
from delivery.store.engine import Transaction
from delivery.store.events import EventFilter, PassedOver
from delivery.store.reach import Reach
from service.api.calls import Call
from service.api.deliveries import Delivery, delivery_shape
from service.api.shapes import Listing, Moment, PageQuery, Shape, Word


class Match(Shape):
    """Whether a webhook got the event, and why (not)."""

    webhook_id: str
    sent: bool
    reason: str


class Event(Shape):
    """An event with its deliveries and what each of the account's webhooks had to do with it."""

    id: str
    account_id: str
    external_id: str | None
    event: str
    timestamp: Moment
    accepted_at: Moment
    data: Any
    deliveries: Sequence[Delivery]
    matches: Sequence[Match]


class EventInFull(Event):
    """An event with the bytes that are sent, as text, and the trace that it belongs to (W3C ``traceparent``)."""

    body: str
    traceparent: str | None


class Events(Listing[Event]):
    """A page of events."""


class EventQuery(PageQuery):
    """Which events."""

    event: Word | None = None
    job_id: Word | None = None


async def browse(call: Call[EventQuery]) -> Events:
    """List events."""
    which = EventFilter(type=call.asked.event, job_id=call.asked.job_id)
    async with call.runtime.store.reading() as tx:
        page = await events.browse(tx, call.reach, which, call.asked.request())
        found = [await events.find(tx, call.reach, event.id) for event in page.items]
        shapes = await _in_full(tx, call.reach, [entry for entry in found if entry is not None])
    return Events(items=shapes, next=page.next)


async def find(call: Call[None]) -> EventInFull:
    """Show one event."""
    async with call.runtime.store.reading() as tx:
        found = await events.find(tx, call.reach, call.id)
        if found is None:
            raise NotFound("event")
        [shape] = await _in_full(tx, call.reach, [found])
    event, _ = found
    return EventInFull(**dict(shape), body=event.body.decode(), traceparent=event.traceparent)


async def _in_full(tx: Transaction, reach: Reach, found: Sequence[tuple[model.Event, PassedOver]]) -> list[Event]:
    receivers = await endpoints.of_accounts(tx, {event.account_id for event, _ in found})
    made = await log.of_events(tx, reach, [event.id for event, _ in found])
    return [
        event_shape(
            event,
            [delivery for delivery in made if delivery.event_id == event.id],
            matches(event, made, passed_over, receivers.get(event.account_id, ())),
        )
        for event, passed_over in found
    ]


def matches(
    event: model.Event, made: Sequence[model.Delivery], passed_over: PassedOver, receivers: Sequence[Endpoint]
) -> list[Match]:
    """Say for each webhook, of then and of now, why it got the event or not."""
    known = {webhook_id: Match(webhook_id=webhook_id, sent=False, reason=reason) for webhook_id, reason in passed_over}
    for delivery in made:
        if delivery.event_id == event.id:
            webhook_id = delivery.endpoint_id
            known[webhook_id] = Match(webhook_id=webhook_id, sent=True, reason=f"subscribed to {event.type}")
    for endpoint in receivers:
        late = endpoint.created_at > event.accepted_at
        reason = "registered later" if late else "no delivery in the log"
        known.setdefault(endpoint.id, Match(webhook_id=endpoint.id, sent=False, reason=reason))
    return [known[webhook_id] for webhook_id in sorted(known)]


def event_shape(event: model.Event, made: Sequence[model.Delivery], verdicts: Sequence[Match]) -> Event:
    """Show an event."""
    envelope: Mapping[str, Any] = json.loads(event.body)
    return Event(
        id=event.id,
        account_id=event.account_id,
        external_id=event.external_id,
        event=event.type,
        timestamp=event.timestamp,
        accepted_at=event.accepted_at,
        data=envelope["data"],
        deliveries=[delivery_shape(delivery) for delivery in made],
        matches=verdicts,
    )
