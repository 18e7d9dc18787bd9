"""The nouns that the examples are made of: one account, its webhook, two events, and what became of them.

What is signed is really signed, with the secret that is shown.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from delivery import VERSION
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import write_json
from delivery.domain.model import ErrorClass
from delivery.domain.signing import seed_signature, standard_signature
from service.api.shapes import rfc3339

EMAIL = "you@example.com"
URL = "https://yourapp.com/webhooks/tagmatic"
ACCOUNT_ID = "acc_018e3c7d4350f2a74de452e6b438"
ANNOTATION = PUBLISHED["annotation.completed"].example
BATCH = PUBLISHED["batch.failed"].example
REVIEW = PUBLISHED["review.submitted"].example
SECRET = "whsec_WTAmOTizcKG1dp+g8Ug/lakNnfLxMNYPzwS9k/UK5pU="  # noqa: S105 - nobody's
NEXT_SECRET = "whsec_FNqMZZzisQzM2uv5kNGYOLDX7As+l4GOy5bE262+FyI="  # noqa: S105 - nobody's

TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c3JfMDE4In0.Zm9yIHRoZSBleGFtcGxlIG9ubHk"  # noqa: S105 - no more
USER: Mapping[str, Any] = {"id": "usr_018e3c7d47386513270e269e0d37", "email": EMAIL, "plan": "enterprise"}
#: What the audit trail calls the key that asks: its name, and what it ends in.
CALLER = "bootstrap …x4Qs"
API_KEY = "tmk_sAjIhKtJ0RlgLKOmxgJTeKdNnFRIBXuD"

KEY: Mapping[str, Any] = {
    "id": "key_018e3c7d4b200c5c7fd0a6a3a450",
    "account_id": ACCOUNT_ID,
    "name": "Annotation pipeline",
    "prefix": "tmk_",
    "last4": "BXuD",
    "scopes": ["publish"],
    "created_at": "2024-03-14T10:23:48.000Z",
    "last_used_at": None,
    "revoked_at": None,
}

WEBHOOK: Mapping[str, Any] = {
    "id": "wh_018e3c7d52f01818e811892f902b",
    "account_id": ACCOUNT_ID,
    "url": URL,
    "events": ["annotation.completed", "batch.*"],
    "description": "Production",
    "active": True,
    "disabled_reason": None,
    "kind": "webhook",
    "headers": {},
    "filter": None,
    "rate_limit": None,
    "retry_schedule": None,
    "secrets": [{"last4": "5pU=", "created_at": "2024-03-14T10:23:50.000Z", "expires_at": None}],
    "health": {"state": "ok", "success_rate": None, "last_delivery_at": None},
    "created_at": "2024-03-14T10:23:50.000Z",
    "updated_at": "2024-03-14T10:23:50.000Z",
}
CHANGED: Mapping[str, Any] = {**WEBHOOK, "rate_limit": 50, "updated_at": "2024-03-14T10:23:53.000Z"}
CHANGE: Mapping[str, Any] = {
    "id": "aud_018e3c7d76188db44fc17ddb6ea0",
    "account_id": ACCOUNT_ID,
    "at": "2024-03-14T10:23:53.000Z",
    "who_id": "key_018e3c7d7a00f28c105d1fb17c23",
    "who": CALLER,
    "what": "webhook.changed",
    "object": WEBHOOK["id"],
    "name": URL,
    "before": {"rate_limit": None},
    "after": {"rate_limit": 50},
}
ROTATED: Mapping[str, Any] = {
    **CHANGED,
    "secrets": [
        {"last4": "FyI=", "created_at": "2024-03-14T10:24:16.000Z", "expires_at": None},
        {"last4": "5pU=", "created_at": "2024-03-14T10:23:50.000Z", "expires_at": "2024-03-14T11:24:16.000Z"},
    ],
    "health": {"state": "failing", "success_rate": 1.0, "last_delivery_at": "2024-03-14T10:24:06.000Z"},
    "updated_at": "2024-03-14T10:24:16.000Z",
}

DELIVERED: Mapping[str, Any] = {
    "id": "dlv_018e3c7d62901600a35a099950d8",
    "account_id": ACCOUNT_ID,
    "event_id": "evt_018e3c7d5ea836f675cc81e74ef5",
    "event": "annotation.completed",
    "webhook_id": WEBHOOK["id"],
    "url": URL,
    "status": "delivered",
    "attempts_made": 1,
    "next_attempt_at": None,
    "last_response_status": 200,
    "last_error": None,
    "job_id": ANNOTATION["data"]["job_id"],
    "created_at": "2024-03-14T10:23:55.000Z",
    "finished_at": "2024-03-14T10:23:55.214Z",
}
PENDING: Mapping[str, Any] = {
    "id": "dlv_018e3c7d6a603d9c172411e20b8f",
    "account_id": ACCOUNT_ID,
    "event_id": "evt_018e3c7d66786b0d549b6f03675a",
    "event": "batch.failed",
    "webhook_id": WEBHOOK["id"],
    "url": URL,
    "status": "pending",
    "attempts_made": 1,
    "next_attempt_at": "2024-03-14T10:24:59.746Z",
    "last_response_status": 503,
    "last_error": "http_5xx",
    "job_id": BATCH["data"]["job_id"],
    "created_at": "2024-03-14T10:23:56.000Z",
    "finished_at": None,
}

EVENT: Mapping[str, Any] = {
    "id": DELIVERED["event_id"],
    "account_id": ACCOUNT_ID,
    "external_id": "annotation-8842",
    "event": "annotation.completed",
    "timestamp": ANNOTATION["timestamp"],
    "accepted_at": "2024-03-14T10:23:55.000Z",
    "data": ANNOTATION["data"],
    "deliveries": [DELIVERED],
    "matches": [{"webhook_id": WEBHOOK["id"], "sent": True, "reason": "subscribed to annotation.completed"}],
}


#: Of every delivery.
_OURS = {"Content-Type": "application/json", "User-Agent": f"Tagmatic-Webhooks/{VERSION}"}


def _signed(envelope: Mapping[str, Any], event_id: str, delivery_id: str, second: int) -> dict[str, str]:
    """The headers that sign an event, sent in this second of the minute."""
    body, sent_at = write_json(envelope), int(_moment(second).timestamp())
    return {
        "X-Tagmatic-Signature": seed_signature(body, SECRET),
        "X-Tagmatic-Event": envelope["event"],
        "X-Tagmatic-Delivery": delivery_id,
        "X-Tagmatic-Attempt": "1",
        "webhook-id": event_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": standard_signature(event_id, sent_at, body, [SECRET]),
    }


def _moment(second: int) -> datetime:
    return datetime(2024, 3, 14, 10, 23, second, tzinfo=UTC)


def _attempt(trigger: str, envelope: Mapping[str, Any], event_id: str, delivery_id: str, second: int) -> dict[str, Any]:
    """One request as it was sent, and its answer: 200 without a body."""
    body = write_json(envelope).decode()
    return {
        "number": 1,
        "trigger": trigger,
        "started_at": rfc3339(_moment(second)),
        "duration_ms": 183.402,
        "request": {
            "url": URL,
            "headers": {
                **_OURS,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Host": "yourapp.com",
                "Content-Length": str(len(body.encode())),
                **_signed(envelope, event_id, delivery_id, second),
            },
            "body": body,
        },
        "response": {
            "status": 200,
            "headers": {"Server": "yourapp", "Content-Length": "0", "Date": f"Thu, 14 Mar 2024 10:23:{second} GMT"},
            "body": "",
            "encoding": "utf-8",
            "truncated": False,
        },
        "error": None,
        "timings": {"dns_ms": 2.117, "connect_ms": 21.58, "tls_ms": 48.66, "first_byte_ms": 110.9, "total_ms": 183.402},
        "remote_address": "203.0.113.7",
    }


def _test_attempt() -> dict[str, Any]:
    event_id, delivery_id = "evt_018e3c7d56d89531985d5d9dc9f8", "dlv_018e3c7d5ac0e8e25d940ed90475"
    data = {"job_id": event_id, "webhook_id": WEBHOOK["id"], "message": "A test of your webhook"}
    envelope = {"event": "webhook.test", "timestamp": rfc3339(_moment(54)), "data": data}
    return {**_attempt("test", envelope, event_id, delivery_id, 54), "delivery_id": delivery_id}


def _failed_attempt() -> dict[str, Any]:
    attempt = _attempt("first", BATCH, PENDING["event_id"], PENDING["id"], 56)
    why = "The receiver answered 503 Service Unavailable. It has a fault of its own; its own log should say why"
    return {
        **attempt,
        "response": {**attempt["response"], "status": 503},
        "error": {"class": "http_5xx", "message": why},
    }


TEST_ATTEMPT = _test_attempt()
FAILED_ATTEMPT = _failed_attempt()
HEARD = {
    "headers": {**_OURS, **_signed(REVIEW, "evt_018e3c7d9d28b9d09ec2b4f2b2c1", "dlv_018e3c7d9d28f4ce93aa2b47d6f0", 59)},
    "body": write_json(REVIEW).decode(),
}
SCHEDULE = [
    {"number": 1, "due_at": "2024-03-14T10:23:56.000Z"},
    {"number": 2, "due_at": "2024-03-14T10:24:59.746Z"},
    {"number": 3, "due_at": "2024-03-14T10:29:59.746Z"},
    {"number": 4, "due_at": "2024-03-14T10:59:59.746Z"},
    {"number": 5, "due_at": "2024-03-14T12:59:59.746Z"},
    {"number": 6, "due_at": "2024-03-14T20:59:59.746Z"},
]

OF_ALL: Mapping[str, Any] = {"error": None, "matched": 1}
OF_WEBHOOK: Mapping[str, Any] = {"webhook_id": WEBHOOK["id"], "url": URL, "active": True}
PROGRESS: Mapping[str, Any] = {
    "matched": 1,
    "asked": 0,
    "outstanding": 0,
    "delivered": 0,
    "failed": 0,
    "skipped": {"in_progress": 0, "webhook_disabled": 0, "no_longer_matching": 0, "withdrawn": 0},
}
REPLAY: Mapping[str, Any] = {
    **PROGRESS,
    "id": "rpl_018e3c7d6e488d116ece1738f7d9",
    "account_id": ACCOUNT_ID,
    "state": "running",
    "filter": {"event": "annotation.completed"},
    "by_error": [OF_ALL],
    "created_by": "key_018e3c7d7a00f28c105d1fb17c23",
    "created_at": "2024-03-14T10:24:11.000Z",
    "finished_at": None,
}

FIGURES: Mapping[str, Any] = {
    "accepted": 2,
    "attempts": 4,
    "delivered": 2,
    "failed": 0,
    "success_share": 0.5,
    "by_class": {"2xx": 2, "3xx": 0, "4xx": 0, "5xx": 2, "none": 0},
    "by_error": {**dict.fromkeys(get_args(ErrorClass), 0), "http_5xx": 2},
    "mean_ms": 171.5,
    "p50_ms": 181.02,
    "p95_ms": 362.04,
    "p99_ms": 362.04,
}

SOURCE_URL = "https://potato.example.com/"
SOURCE: Mapping[str, Any] = {
    "id": "src_018e3c7d4db01c1a0e2f5b7a9c3d",
    "account_id": ACCOUNT_ID,
    "system": "potato",
    "name": "Product reviews",
    "url": SOURCE_URL,
    "settings": {
        "interval_s": 5.0,
        "backfill": False,
        "timezone": "UTC",
        "settle_s": 60.0,
        "sweep_s": 600.0,
        "decisions_s": 300.0,
    },
    "credentials": ["api_key"],
    "active": True,
    "state": "new",
    "trouble": None,
    "failures": 0,
    "polled_at": None,
    "next_poll_at": "2024-03-14T10:24:16.000Z",
    "last_event_at": None,
    "events": 0,
    "refused": {},
    "inbound_path": "/api/inbound/src_018e3c7d4db01c1a0e2f5b7a9c3d",
    "created_at": "2024-03-14T10:24:16.000Z",
    "updated_at": "2024-03-14T10:24:16.000Z",
}

BUS: Mapping[str, Any] = {
    "at": "2024-03-14T10:24:20.000Z",
    "consuming": True,
    "consumers": [
        {
            "name": "annotation",
            "queue": "hookline.annotation",
            "events": ["annotation.completed"],
            "up": True,
            "why": None,
            "accepted": 1,
        }
    ],
    "http": {"keys": 2, "last_used_at": None},
    "bus": {"kind": "in-process", "address": "memory://", "reachable": True},
    "queues": [{"queue": "hookline.annotation", "messages": 0, "consumers": 1}],
    "problems": [],
}

DEAD_LETTER: Mapping[str, Any] = {
    "id": "dead_018e3c7d72300f21ddb66cad4a26",
    "received_at": "2024-03-14T10:24:18.000Z",
    "queue": "hookline.annotation",
    "routing_key": "annotation.completed",
    "reason": "invalid_payload",
    "detail": '"event" is missing or not a string',
    "content_type": "application/json",
    "headers": {"account-id": ACCOUNT_ID},
    "size": 12,
}
BROKEN_LETTER: Mapping[str, Any] = {
    **DEAD_LETTER,
    "id": "dead_018e3c7d761890c192cfd3ac94af",
    "received_at": "2024-03-14T10:24:19.000Z",
    "reason": "invalid_json",
    "detail": "Not valid JSON: Expecting value: line 1 column 1 (char 0)",
    "size": 10,
}

METRICS = """\
# HELP hookline_attempts_total Requests made to endpoints
# TYPE hookline_attempts_total counter
hookline_attempts_total{result="delivered",trigger="first"} 1.0
hookline_attempts_total{result="http_5xx",trigger="first"} 1.0
"""
