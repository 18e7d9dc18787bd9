"""An example for every route: what is asked, and what is answered.

They are a story: asked in this order of a service where nothing has happened yet, each is answered as it says, but for
ids, secrets, times and durations. ``tests/service/test_examples.py`` asks them all, so a new route needs one entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from delivery import VERSION
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import write_json
from service.api.specimens import (
    ACCOUNT_ID,
    ANNOTATION,
    API_KEY,
    BATCH,
    BROKEN_LETTER,
    BUS,
    CHANGE,
    CHANGED,
    DEAD_LETTER,
    DELIVERED,
    EMAIL,
    EVENT,
    FAILED_ATTEMPT,
    FIGURES,
    HEARD,
    KEY,
    METRICS,
    NEXT_SECRET,
    OF_ALL,
    OF_WEBHOOK,
    PENDING,
    PROGRESS,
    REPLAY,
    ROTATED,
    SCHEDULE,
    SECRET,
    SOURCE,
    SOURCE_URL,
    TEST_ATTEMPT,
    TOKEN,
    URL,
    USER,
    WEBHOOK,
)


@dataclass(frozen=True, slots=True)
class Example:
    """A request and its answer.

    ``given`` are the parameters of path and query, by name; ``answer`` is JSON, or text where the route gives text, or
    one message where it gives a stream. A ``shortened`` one is part of what comes.
    """

    answer: Any = None
    given: Mapping[str, str | int] = field(default_factory=dict)
    body: Any = None
    shortened: bool = False


def _listing(*items: Any, rest: str | None = None) -> dict[str, Any]:
    return {"items": items, "next": rest}


#: By method and path, as in the table of routes.
EXAMPLES: Mapping[str, Example] = {
    "GET /healthz": Example({"status": "alive"}),
    "GET /readyz": Example(
        {"status": "ready", "checks": dict.fromkeys(("database", "bus", "intake", "ledger"), "ok")},
    ),
    "GET /api/docs": Example('<!doctype html><html lang="en">', shortened=True),
    "GET /api/openapi.json": Example(
        {"openapi": "3.1.0", "info": {"title": "Hookline", "version": VERSION}}, shortened=True
    ),
    "POST /api/auth/login": Example({"token": TOKEN, "user": USER}, body={"email": EMAIL, "password": "your-password"}),
    "POST /api/keys": Example(
        {**KEY, "key": API_KEY},
        body={"name": KEY["name"], "scopes": KEY["scopes"]},
    ),
    "GET /api/keys": Example(
        _listing(KEY, rest="a2V5XzAxOGUzYzdkNGIyMDBjNWM3ZmQwYTZhM2E0NTA"),
        given={"limit": 1},
    ),
    "DELETE /api/keys/{id}": Example(given={"id": KEY["id"]}),
    "GET /api/event-types": Example(
        _listing(
            {
                "event": "annotation.completed",
                "family": "annotation",
                "description": PUBLISHED["annotation.completed"].description,
                "schema": {"type": "object", "required": ["event", "timestamp", "data"]},
                "example": ANNOTATION,
            }
        ),
        shortened=True,
    ),
    "POST /api/webhooks": Example(
        {**WEBHOOK, "secret": SECRET, "standard_webhooks_secret": SECRET},
        body={"url": URL, "events": WEBHOOK["events"], "description": "Production"},
    ),
    "GET /api/webhooks": Example(_listing(WEBHOOK)),
    "GET /api/webhooks/{id}": Example(WEBHOOK, given={"id": WEBHOOK["id"]}),
    "PATCH /api/webhooks/{id}": Example(CHANGED, given={"id": WEBHOOK["id"]}, body={"rate_limit": 50}),
    "POST /api/webhooks/{id}/test": Example(TEST_ATTEMPT, given={"id": WEBHOOK["id"]}),
    "POST /api/events": Example(
        {"id": EVENT["id"], "duplicate": False, "deliveries": 1},
        body={"id": EVENT["external_id"], **ANNOTATION},
    ),
    "POST /api/events/batch": Example(
        {
            "accepted": 1,
            "duplicates": 0,
            "errors_count": 1,
            "errors": [
                {
                    "index": 1,
                    "error": '"batch_id" is a required property',
                    "code": "invalid_payload",
                    "field": "data.batch_id",
                }
            ],
        },
        body={"events": [BATCH, {**BATCH, "data": {"job_id": BATCH["data"]["job_id"]}}]},
    ),
    "GET /api/events": Example(_listing(EVENT), given={"event": "annotation.completed"}),
    "GET /api/events/{id}": Example(
        {**EVENT, "body": write_json(ANNOTATION).decode(), "traceparent": None},
        given={"id": EVENT["id"]},
    ),
    "GET /api/webhooks/{id}/deliveries": Example(
        _listing(DELIVERED), given={"id": WEBHOOK["id"], "event": "annotation.completed"}
    ),
    "GET /api/deliveries": Example(_listing(PENDING), given={"status": "pending"}),
    "GET /api/deliveries/stream": Example(PENDING, given={"status": "pending", "last": 1}),
    "GET /api/deliveries/{id}": Example(
        {**PENDING, "attempts": [FAILED_ATTEMPT], "schedule": SCHEDULE}, given={"id": PENDING["id"]}
    ),
    "POST /api/deliveries/{id}/retry": Example(PENDING, given={"id": PENDING["id"]}),
    "POST /api/deliveries/{id}/cancel": Example(
        {
            **PENDING,
            "status": "cancelled",
            "attempts_made": 2,
            "next_attempt_at": None,
            "last_error": "cancelled by request",
            "finished_at": "2024-03-14T10:24:10.000Z",
        },
        given={"id": PENDING["id"]},
    ),
    "POST /api/replays": Example(
        {"id": REPLAY["id"], "matched": 1, "by_webhook": [{**OF_WEBHOOK, "matched": 1}], "by_error": [OF_ALL]},
        body={"filter": {"event": "annotation.completed"}},
    ),
    "GET /api/replays": Example(_listing(REPLAY)),
    "GET /api/replays/{id}": Example(
        {**REPLAY, "by_webhook": [{**PROGRESS, **OF_WEBHOOK}]}, given={"id": REPLAY["id"]}
    ),
    "DELETE /api/replays/{id}": Example({**REPLAY, "state": "stopped"}, given={"id": REPLAY["id"]}),
    "GET /api/stats": Example(
        {
            "bucket": "day",
            "from": "2024-03-14T00:00:00.000Z",
            "to": "2024-03-15T00:00:00.000Z",
            "totals": FIGURES,
            "series": [{**FIGURES, "at": "2024-03-14T00:00:00.000Z"}],
            "endpoints": [
                {**FIGURES, "accepted": None, "webhook_id": WEBHOOK["id"], "account_id": ACCOUNT_ID, "url": URL}
            ],
            "backlog": {
                "count": 0,
                "more": False,
                "by_state": {"sending": 0, "due": 0, "waiting": 0},
                "by_step": [],
                "oldest_due_s": 0.0,
            },
        },
        given={"bucket": "day", "from": "2024-03-14T00:00:00Z", "to": "2024-03-15T00:00:00Z"},
    ),
    "POST /api/webhooks/{id}/rotate": Example(
        {**ROTATED, "secret": NEXT_SECRET, "standard_webhooks_secret": NEXT_SECRET},
        given={"id": WEBHOOK["id"]},
        body={"overlap_seconds": 3600},
    ),
    "GET /api/listen": Example(HEARD, given={"events": "review.submitted"}),
    "DELETE /api/webhooks/{id}": Example(given={"id": WEBHOOK["id"]}),
    "POST /api/erasures": Example(
        {
            "id": None,
            "events": 1,
            "deliveries": 1,
            "attempts": 1,
            "dead_letters": 0,
            "in_progress": 0,
            "next": None,
        },
        body={"job_id": ANNOTATION["data"]["job_id"], "dry_run": True},
    ),
    "GET /api/audit": Example(_listing(CHANGE), given={"what": "webhook.changed"}),
    "GET /api/systems": Example(
        _listing(
            {
                "system": "potato",
                "title": "Potato",
                "settings": {"type": "object", "title": "PotatoSettings"},
                "credentials": {"type": "object", "required": ["api_key"]},
            }
        ),
        shortened=True,
    ),
    "POST /api/sources": Example(
        SOURCE,
        body={
            "system": "potato",
            "url": SOURCE_URL,
            "name": SOURCE["name"],
            "credentials": {"api_key": "potato-admin-key-for-tests"},
            "settings": {"settle_s": 60},
        },
    ),
    "GET /api/sources": Example(_listing(SOURCE)),
    "GET /api/sources/{id}": Example(SOURCE, given={"id": SOURCE["id"]}),
    "PATCH /api/sources/{id}": Example(
        {**SOURCE, "settings": {**SOURCE["settings"], "timezone": "Europe/Berlin"}},
        given={"id": SOURCE["id"]},
        body={"settings": {"timezone": "Europe/Berlin"}},
    ),
    "POST /api/sources/{id}/check": Example(
        {
            "ok": True,
            "says": "Hookline Potato Fixture: 3 items, 0 annotators",
            "source": {**SOURCE, "settings": {**SOURCE["settings"], "timezone": "Europe/Berlin"}},
        },
        given={"id": SOURCE["id"]},
    ),
    "POST /api/sources/{id}/poll": Example(
        {**SOURCE, "settings": {**SOURCE["settings"], "timezone": "Europe/Berlin"}}, given={"id": SOURCE["id"]}
    ),
    "POST /api/inbound/{source}": Example(given={"source": SOURCE["id"]}),
    "DELETE /api/sources/{id}": Example(given={"id": SOURCE["id"]}),
    "GET /api/bus": Example(BUS, shortened=True),
    "GET /api/dead-letters": Example(_listing(BROKEN_LETTER, DEAD_LETTER)),
    "GET /api/dead-letters/{id}": Example(
        {**BROKEN_LETTER, "body": "half an ev", "encoding": "utf-8"}, given={"id": BROKEN_LETTER["id"]}
    ),
    "POST /api/dead-letters/{id}/requeue": Example(given={"id": DEAD_LETTER["id"]}, body={"body": ANNOTATION}),
    "DELETE /api/dead-letters/{id}": Example(given={"id": BROKEN_LETTER["id"]}),
    "GET /metrics": Example(METRICS, shortened=True),
}
