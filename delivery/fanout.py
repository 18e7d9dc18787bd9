"""From submissions to events and the deliveries that follow from them: who wants what, inside one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from delivery.domain.envelope import Submission
from delivery.domain.filters import unwanted
from delivery.domain.ids import Luck, new_id
from delivery.domain.model import DeliveryId, Endpoint, Event, EventId, Parcel
from delivery.store import endpoints, events
from delivery.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Lease:
    """What is written into deliveries that go straight to work."""

    token: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one submission. A duplicate bears the id under which the event was accepted before."""

    event_id: EventId
    duplicate: bool
    deliveries: int


@dataclass(frozen=True, slots=True)
class FanOut:
    """Receipts by the identity of their submission objects, and the deliveries to make."""

    receipts: Mapping[int, Receipt]
    parcels: Sequence[Parcel]


async def record(tx: Transaction, batch: Sequence[Submission], *, now: datetime, lease: Lease, luck: Luck) -> FanOut:
    """Insert what is new of a batch, and say who is to get it. The deliveries are not inserted yet."""
    if not batch:
        return FanOut({}, [])
    receivers = await endpoints.of_accounts(tx, {s.account_id for s in batch})
    candidates = [_event(s, now, luck) for s in batch]
    passed_over: dict[EventId, list[tuple[str, str]]] = {}
    wanted: dict[EventId, list[Endpoint]] = {}
    for event, submission in zip(candidates, batch, strict=True):
        wanted[event.id], passed_over[event.id] = _match(receivers.get(event.account_id, ()), submission)
    fresh = await events.insert_new(tx, candidates, passed_over)
    first = await events.originals(tx, [event for event in candidates if event.id not in fresh])
    receipts: dict[int, Receipt] = {}
    parcels: list[Parcel] = []
    for event, submission in zip(candidates, batch, strict=True):
        if event.id in fresh:
            receipts[id(submission)] = Receipt(event.id, duplicate=False, deliveries=len(wanted[event.id]))
            # the newest first: somebody may sit in front of it and wait for the first sign
            parcels += [_parcel(event, endpoint, lease, luck) for endpoint in reversed(wanted[event.id])]
        else:
            original = first[event.account_id, event.identity]
            receipts[id(submission)] = Receipt(original, duplicate=True, deliveries=0)
    return FanOut(receipts, parcels)


def _event(submission: Submission, now: datetime, luck: Luck) -> Event:
    return Event(
        id=EventId(new_id("evt", now, luck)),
        account_id=submission.account_id,
        type=submission.type,
        timestamp=submission.timestamp,
        accepted_at=now,
        identity=submission.identity,
        external_id=submission.external_id,
        job_id=submission.job_id,
        body=submission.body,
        traceparent=submission.traceparent,
    )


def _parcel(event: Event, endpoint: Endpoint, lease: Lease, luck: Luck) -> Parcel:
    return Parcel(
        delivery_id=DeliveryId(new_id("dlv", event.accepted_at, luck)),
        account_id=event.account_id,
        endpoint_id=endpoint.id,
        origin=endpoint.origin,
        tempo=endpoint.tempo,
        event_id=event.id,
        event_type=event.type,
        job_id=event.job_id,
        body=event.body,
        traceparent=event.traceparent,
        standing="pending",
        attempts_made=0,
        retries_used=0,
        next_attempt_at=event.accepted_at,
        asked=None,
        lease=lease.token,
        leased_until=lease.until,
        created_at=event.accepted_at,
    )


def _match(receivers: Sequence[Endpoint], submission: Submission) -> tuple[list[Endpoint], list[tuple[str, str]]]:
    wanted, passed_over = [], []
    for endpoint in receivers:
        reason = unwanted(endpoint, submission.type, submission.envelope)
        if reason is None:
            wanted.append(endpoint)
        else:
            passed_over.append((str(endpoint.id), reason))
    return wanted, passed_over
