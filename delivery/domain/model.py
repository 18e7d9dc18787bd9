"""The nouns. All frozen, all parsed at the door: inside, nothing is checked twice.

Moments are aware ``datetime`` in UTC, durations are seconds unless the name ends in ``_ms``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType

AccountId = NewType("AccountId", str)
UserId = NewType("UserId", str)
KeyId = NewType("KeyId", str)
EventId = NewType("EventId", str)
EndpointId = NewType("EndpointId", str)
DeliveryId = NewType("DeliveryId", str)
AttemptId = NewType("AttemptId", str)

Plan = Literal["free", "starter", "pro", "enterprise"]
Scope = Literal["publish", "manage", "operate"]

#: What a delivery has come to. "sending" is not among them: a delivery is being sent while a process holds its lease.
Standing = Literal["pending", "delivered", "failed", "cancelled"]
Status = Literal["pending", "sending", "delivered", "failed", "cancelled"]

#: How long an endpoint's requests take, as far as it is known (``delivery/tempo.py``).
Tempo = Literal["slow", "new", "quick"]

#: Why an attempt was made.
Trigger = Literal["first", "retry", "manual", "replay", "rotation", "test"]

#: How an attempt can fail; the words of the log, the metrics and the dashboard.
ErrorClass = Literal[
    "blocked_address",
    "dns_error",
    "connect_refused",
    "connect_error",
    "connection_closed",
    "tls_error",
    "timeout",
    "protocol_error",
    "http_3xx",
    "http_4xx",
    "http_5xx",
    "internal_error",
]

_TRACEPARENT = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def valid_traceparent(text: str | None) -> str | None:
    """The W3C trace header if it is one of version 00, else None: a bad one must not travel on.

    >>> valid_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") is not None
    True
    >>> valid_traceparent("00-zz")
    """
    return text if text and _TRACEPARENT.match(text) else None


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL in its normal form.

    >>> origin_of("https://example.com:8443/hooks?to=/me")
    'https://example.com:8443'
    """
    return "/".join(url.split("/", 3)[:3])


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the form in which it is stored, signed and sent.

    ``body`` is the envelope, serialised once; ``identity`` is what makes a second publication of it a duplicate
    within its account; ``timestamp`` is the event's own time.
    """

    id: EventId
    account_id: AccountId
    type: str
    timestamp: datetime
    accepted_at: datetime
    identity: str
    external_id: str | None
    job_id: str
    body: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A signing secret at rest. ``sealed`` opens only with a master key and the id of its endpoint."""

    sealed: str
    last4: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A customer's receiver. ``secrets`` is newest first; ``version`` grows with every change.

    ``failures`` counts those in a row, no further than it takes to open the circuit (``domain/gate.py``);
    ``failing_since`` is the moment of the first of them. ``tempo`` is what was learnt of its requests last.
    """

    id: EndpointId
    account_id: AccountId
    url: str
    events: tuple[str, ...]
    secrets: tuple[SealedSecret, ...]
    created_at: datetime
    updated_at: datetime
    kind: str = "webhook"
    description: str = ""
    active: bool = True
    disabled_reason: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    filter: Mapping[str, Any] | None = None
    rate_limit: int | None = None
    retry_schedule: tuple[int, ...] | None = None
    version: int = 1
    failing_since: datetime | None = None
    failures: int = 0
    tempo: Tempo = "new"
    deleted_at: datetime | None = None

    @property
    def origin(self) -> str:
        """Where it is: scheme, host and port, as RFC 6454 has it."""
        return origin_of(self.url)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint, as the log shows it."""

    id: DeliveryId
    account_id: AccountId
    event_id: EventId
    event_type: str
    endpoint_id: EndpointId
    url: str
    status: Status
    attempts_made: int
    retries_used: int
    next_attempt_at: datetime | None
    last_response_status: int | None
    last_error: str | None
    job_id: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery in the hands of this process: all that the next attempt needs, but the endpoint.

    ``origin`` and ``tempo`` are the endpoint's, as the store had them when the parcel was made.
    ``lease`` is the fencing token: who no longer has it in the store may log its attempt, but decide nothing.
    ``asked`` is set when a person asked for this attempt; it then leaves the schedule (``retries_used``,
    ``next_attempt_at``) as it was.
    """

    delivery_id: DeliveryId
    account_id: AccountId
    endpoint_id: EndpointId
    origin: str
    tempo: Tempo
    event_id: EventId
    event_type: str
    job_id: str
    body: bytes
    traceparent: str | None
    standing: Standing
    attempts_made: int
    retries_used: int
    next_attempt_at: datetime | None
    asked: Trigger | None
    lease: str
    leased_until: datetime
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def trigger(self) -> Trigger:
        """Why the next attempt is made."""
        return self.asked or ("first" if self.retries_used == 0 else "retry")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``body`` holds the first 16 KiB, as they came; ``truncated`` says that there was more."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not deliver, in words for people and in a class for programs."""

    error: ErrorClass
    message: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of an attempt went, in milliseconds; None: that step was not taken or not reached."""

    total_ms: float
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. Expected failures are values: a customer's 503 is no exception.

    ``headers`` are those that were sent; ``failure`` is None exactly when a 2xx status line and headers came in time.
    """

    url: str
    headers: Mapping[str, str]
    timings: Timings
    answer: Answer | None = None
    failure: Failure | None = None
    remote_address: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made, as the log keeps it."""

    id: AttemptId
    delivery_id: DeliveryId
    account_id: AccountId
    number: int
    trigger: Trigger
    started_at: datetime
    outcome: Outcome
