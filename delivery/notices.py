"""What Hookline tells about itself: operational events, written in the transaction of the state that they tell of.

They go to the account's endpoints that subscribe to them by name, like any other event. A notice whose own delivery
fails is told no further: that would never end.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from delivery.domain.catalogue import OPERATIONAL, TEST_TYPE
from delivery.domain.envelope import Submission, compose, write_json
from delivery.domain.ids import Luck
from delivery.domain.model import AccountId, Attempt, Endpoint, Parcel
from delivery.fanout import Lease, record
from delivery.store import deliveries
from delivery.store.engine import Transaction


async def post(tx: Transaction, notices: Sequence[Submission], *, now: datetime, luck: Luck) -> None:
    """Write notices and their deliveries, which are due at once for whoever has room."""
    fan_out = await record(tx, notices, now=now, lease=Lease("", now), luck=luck)
    if fan_out.parcels:
        await deliveries.insert_new(tx, fan_out.parcels, leased=())


def worth_telling(parcel: Parcel) -> bool:
    """Whether its failing is told: of what the platform published, and not of what somebody asked for once more."""
    return parcel.standing == "pending" and parcel.event_type not in {*OPERATIONAL, TEST_TYPE}


def delivery_failed(parcel: Parcel, attempts: Sequence[Attempt], url: str, at: datetime) -> Submission:
    """A delivery failed for good."""
    last = attempts[-1].outcome
    data = {
        "job_id": parcel.job_id,
        "delivery_id": parcel.delivery_id,
        "event_id": parcel.event_id,
        "event": parcel.event_type,
        "webhook_id": parcel.endpoint_id,
        "url": url,
        "attempts_made": parcel.attempts_made + len(attempts),
        "last_response_status": last.answer.status if last.answer else None,
        "last_error": last.failure.error if last.failure else None,
    }
    return _notice("delivery.failed", parcel.account_id, f"{parcel.delivery_id}@{parcel.lease}", data, at)


def webhook_disabled(endpoint: Endpoint, at: datetime) -> Submission:
    """An endpoint was disabled, not by its owner. ``endpoint`` is what it is now."""
    data = {
        "job_id": endpoint.id,
        "webhook_id": endpoint.id,
        "url": endpoint.url,
        "reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since.isoformat(timespec="milliseconds") if endpoint.failing_since else None,
    }
    return _notice("webhook.disabled", endpoint.account_id, f"{endpoint.id}@{endpoint.version}", data, at)


def _notice(kind: str, account_id: AccountId, of: str, data: Mapping[str, Any], at: datetime) -> Submission:
    envelope = compose(kind, at, data)
    return Submission(
        account_id=account_id,
        type=kind,
        timestamp=at,
        identity=f"{kind}={of}",
        external_id=None,
        job_id=str(data["job_id"]),
        body=write_json(envelope),
        envelope=envelope,
    )
