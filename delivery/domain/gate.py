"""Whether a request may go to an endpoint now, over all processes: its rate limit, and its circuit.

The rate limit is the generic cell rate algorithm (ITU-T I.371): one moment per endpoint, ``free_at``, says when its
next slot is. The circuit opens after some failures in a row; from then on one request at a time is let out to see
whether the endpoint has come back, until one succeeds. Neither spends an attempt of anybody's schedule.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from delivery.domain.model import DeliveryId, Endpoint

#: Failures in a row, of whatever kind, after which the circuit is open.
OPENS_AFTER = 5

#: How much of a second's slots may go out together. It makes up for timers that come late; the slots lie that much
#: further apart, so that no second sees more than the limit all the same.
_BUNCHED = timedelta(seconds=0.05)

#: How often a process looks whether another one's probe is over.
_LOOK_AGAIN = timedelta(seconds=2)

#: Deliveries to one endpoint that are worth keeping in memory though they may have to wait.
_FEW = 16

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Gate:
    """What the store remembers for an endpoint. ``probe`` is the delivery that tries an open circuit."""

    free_at: datetime | None = None
    probe: DeliveryId | None = None
    probe_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotBefore:
    """It may not go out now; ask again then. ``most`` may wait in memory, ``abreast`` ask at a time (None: any)."""

    at: datetime
    most: int
    abreast: int | None


def is_open(endpoint: Endpoint) -> bool:
    """Whether the circuit is open."""
    return endpoint.failures >= OPENS_AFTER


def needs_gate(endpoint: Endpoint) -> bool:
    """Whether requests to the endpoint have to ask first."""
    return endpoint.rate_limit is not None or is_open(endpoint)


def admit(
    gate: Gate, endpoint: Endpoint, delivery_id: DeliveryId, *, now: datetime, longest: timedelta
) -> tuple[Gate, NotBefore | None]:
    """Decide whether a delivery may go out now (None), and what the gate remembers of it.

    ``longest`` is the longest that sending can take: a probe that is silent for longer has died with its process.
    """
    if is_open(endpoint):
        busy_until = _busy_until(gate, delivery_id, now, longest)
        if busy_until is not None:
            return gate, NotBefore(min(busy_until, now + _LOOK_AGAIN), _FEW, 1)
    taken, free_at = slot(endpoint.rate_limit, gate.free_at, now)
    if not taken:
        most = max(_FEW, 2 * (endpoint.rate_limit or 0))
        return gate, NotBefore(free_at, most, 1 if is_open(endpoint) else None)
    if is_open(endpoint):
        return Gate(free_at, delivery_id, now + longest), None
    return replace(gate, free_at=free_at), None


def _busy_until(gate: Gate, asker: DeliveryId, now: datetime, longest: timedelta) -> datetime | None:
    """When the probe that is out must be over; None: there is none.

    The process that let it out may be ahead by as much as one can take; what lies further ahead was written before
    a clock went back, and must not keep the circuit shut.
    """
    until = gate.probe_until
    if until is None or gate.probe == asker:
        return None
    return until if now < until <= now + 2 * longest else None


def slot(rate: int | None, free_at: datetime | None, now: datetime) -> tuple[bool, datetime]:
    """Take the next slot of ``rate`` a second, if it is free; return whether it was, and when the next one is.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> slot(2, None, noon)
    (True, datetime.datetime(2026, 1, 1, 12, 0, 0, 525000, tzinfo=datetime.timezone.utc))
    >>> slot(2, noon + timedelta(seconds=0.525), noon)[0]
    False
    """
    if rate is None:
        return True, now
    # never further ahead than what can have been granted: a clock that went back must not close the gate
    at = max(free_at, now) if free_at is not None and free_at <= now + 2 * _SECOND else now
    if at > now + _BUNCHED:
        return False, at
    return True, at + (_SECOND + _BUNCHED) / rate
