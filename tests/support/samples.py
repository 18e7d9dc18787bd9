"""Nouns to test with: each complete, with whatever a test wants different named in the call."""

import copy
import itertools
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.deeds import By
from delivery.domain.envelope import Submission, submit
from delivery.domain.ids import new_id
from delivery.domain.model import (
    AccountId,
    Answer,
    Attempt,
    AttemptId,
    DeliveryId,
    Endpoint,
    EndpointId,
    Event,
    EventId,
    Failure,
    Outcome,
    Parcel,
    SealedSecret,
    Timings,
)
from tests.support.clock import NOON
from tests.support.stores import ACCOUNT

#: Who does what tests have done.
BY = By("usr_1", "ada@example.com")

BODY = b'{"event":"annotation.completed","timestamp":"2024-03-14T10:23:45.000Z","data":{"job_id":"ann_1"}}'

_luck = Random(2026)
_numbers = itertools.count(1)


def envelope(event_type: str = "annotation.completed", **data: Any) -> dict[str, Any]:
    """A valid envelope; ``data`` members are put in or over those of the sample."""
    sample: dict[str, Any] = copy.deepcopy(dict(PUBLISHED[event_type].example))
    sample["data"] |= data
    return sample


def a_submission(account_id: AccountId = ACCOUNT, external_id: str | None = None, **data: Any) -> Submission:
    """A valid event of an account; without an id and a job of its own it is one that nobody published before."""
    if external_id is None and "job_id" not in data:
        data["job_id"] = f"ann_{next(_numbers)}"
    return submit(envelope(**data), account_id, external_id=external_id)


def an_endpoint(**changes: Any) -> Endpoint:
    values: dict[str, Any] = {
        "id": EndpointId(new_id("wh", NOON, _luck)),
        "account_id": ACCOUNT,
        "url": "https://receiver.example/hook",
        "events": ("*",),
        "secrets": (SealedSecret("k1:sealed", "cret", NOON),),
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Endpoint(**values | changes)


def an_event(**changes: Any) -> Event:
    event_id = EventId(new_id("evt", changes.get("accepted_at", NOON), _luck))
    values: dict[str, Any] = {
        "id": event_id,
        "account_id": ACCOUNT,
        "type": "annotation.completed",
        "timestamp": NOON,
        "accepted_at": NOON,
        "identity": f"id={event_id}",
        "external_id": None,
        "job_id": "ann_1",
        "body": BODY,
    }
    return Event(**values | changes)


def a_parcel(event: Event | None = None, endpoint: Endpoint | None = None, **changes: Any) -> Parcel:
    made_at = changes.get("created_at", NOON)
    event = event or an_event(accepted_at=made_at)
    values: dict[str, Any] = {
        "delivery_id": DeliveryId(new_id("dlv", made_at, _luck)),
        "account_id": event.account_id,
        "endpoint_id": endpoint.id if endpoint else EndpointId("wh_1"),
        "origin": endpoint.origin if endpoint else "https://example.com",
        "tempo": endpoint.tempo if endpoint else "new",
        "event_id": event.id,
        "event_type": event.type,
        "job_id": event.job_id,
        "body": event.body,
        "traceparent": event.traceparent,
        "standing": "pending",
        "attempts_made": 0,
        "retries_used": 0,
        "next_attempt_at": made_at,
        "asked": None,
        "lease": "process.1",
        "leased_until": made_at + timedelta(seconds=32),
        "created_at": made_at,
    }
    return Parcel(**values | changes)


def an_answer(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    return Answer(status, tuple((headers or {}).items()), body, truncated=False)


def an_outcome(answer: Answer | None = None, failure: Failure | None = None) -> Outcome:
    """What became of a request; a status other than 2xx is a failure by itself."""
    if answer is not None and failure is None and answer.status // 100 != 2:
        failure = Failure("http_5xx", f"The receiver answered {answer.status}")
    return Outcome("https://receiver.example/hook", {"Host": "receiver.example"}, Timings(1.5), answer, failure)


def an_attempt(parcel: Parcel, outcome: Outcome | None = None, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "id": AttemptId(new_id("att", changes.get("started_at", NOON), _luck)),
        "delivery_id": parcel.delivery_id,
        "account_id": parcel.account_id,
        "number": 1,
        "trigger": "first",
        "started_at": NOON,
        "outcome": outcome or an_outcome(an_answer(200)),
    }
    return Attempt(**values | changes)
