"""Statistics by the API: what comes in, how it fares, how long it takes, what waits."""

from typing import Any

import pytest

from tests.service.house import Account, Caller, House
from tests.support.receiver import Receiver

NOTHING = {"accepted": 0, "attempts": 0, "delivered": 0, "failed": 0, "success_share": None, "p95_ms": None}


async def test_an_hour_of_work_is_told_in_numbers(house: House, ada: Account, receiver: Receiver) -> None:
    webhook = await ada.key.register(receiver.url)
    receiver.answers(200, 503)
    for number in range(2):
        await ada.key.publish(job_id=f"ann_{number}")
        await house.quiet()
    receiver.answers(200)
    await house.later()
    first = (await ada.key.get("/api/stats")).body
    totals = first["totals"]
    assert (totals["accepted"], totals["attempts"], totals["delivered"], totals["failed"]) == (2, 2, 1, 0)
    assert totals["success_share"] == 0.5
    assert totals["by_class"] == {"2xx": 1, "3xx": 0, "4xx": 0, "5xx": 1, "none": 0}
    assert totals["by_error"]["http_5xx"] == 1
    assert 0 < totals["p50_ms"] <= totals["p95_ms"] <= totals["p99_ms"]
    waiting = {"sending": 0, "due": 0, "waiting": 1}
    steps = [{"retries_used": 1, "count": 1}]
    assert first["backlog"] == {"count": 1, "more": False, "by_state": waiting, "by_step": steps, "oldest_due_s": 0.0}

    await house.later(70)
    await house.later()
    after = (await ada.key.get("/api/stats", bucket="minute")).body
    assert (after["totals"]["attempts"], after["totals"]["delivered"]) == (3, 2)
    assert after["backlog"]["count"] == 0
    assert [(one["at"], one["attempts"]) for one in after["series"] if one["attempts"]] == [
        ("2026-01-01T12:00:00.000Z", 2),
        ("2026-01-01T12:01:00.000Z", 1),
    ]
    (endpoint,) = after["endpoints"]
    assert (endpoint["webhook_id"], endpoint["url"], endpoint["attempts"]) == (webhook["id"], receiver.url, 3)


@pytest.mark.parametrize(
    ("bucket", "begins", "ends", "number"),
    [
        ("minute", "2026-01-01T11:01:00.000Z", "2026-01-01T12:01:00.000Z", 60),
        ("hour", "2025-12-31T13:00:00.000Z", "2026-01-01T13:00:00.000Z", 24),
        ("day", "2025-12-03T00:00:00.000Z", "2026-01-02T00:00:00.000Z", 30),
    ],
)
async def test_who_does_not_say_which_time_sees_what_is_usual(
    ada: Account, bucket: str, begins: str, ends: str, number: int
) -> None:
    shown = (await ada.key.get("/api/stats", bucket=bucket)).body
    assert (shown["bucket"], shown["from"], shown["to"]) == (bucket, begins, ends)
    assert len(shown["series"]) == number
    for one in (shown["totals"], *shown["series"]):
        assert {name: one[name] for name in NOTHING} == NOTHING


async def test_one_webhook_and_one_type_of_event_can_be_looked_at(
    house: House, ada: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url, events=["batch.failed"])
    await ada.key.register(receiver.url, events=["*"])
    for event in ("batch.failed", "annotation.completed"):
        await ada.key.publish(event)
    await house.later()

    async def seen(**which: str) -> tuple[Any, Any]:
        totals = (await ada.key.get("/api/stats", **which)).body["totals"]
        return totals["accepted"], totals["attempts"]

    assert await seen() == (2, 3)
    assert await seen(event="batch.failed") == (1, 2)
    assert await seen(webhook_id=webhook["id"]) == (None, 1), "events are not accepted for a webhook"
    assert await seen(webhook_id=webhook["id"], event="annotation.completed") == (None, 0)


async def test_an_operator_can_look_at_one_account_and_nobody_else_at_anothers(
    house: House, ada: Account, operator: Account
) -> None:
    await ada.key.publish(job_id="ann_1")
    await operator.key.publish(job_id="ann_2")
    await operator.key.publish(job_id="ann_3")
    await house.later()

    async def accepted(caller: Caller, **which: str) -> int:
        return int((await caller.get("/api/stats", **which)).body["totals"]["accepted"])

    assert await accepted(operator.key) == 3
    assert await accepted(operator.key, account_id=ada.id) == 1
    assert await accepted(ada.key, account_id=ada.id) == 1
    assert (await ada.key.get("/api/stats", account_id=operator.id)).status == 404


async def test_a_duplicate_is_not_accepted_twice(house: House, ada: Account) -> None:
    for _ in range(2):
        await ada.key.publish(job_id="ann_1")
    await house.later()
    assert (await ada.key.get("/api/stats")).body["totals"]["accepted"] == 1


async def test_nobody_sees_anothers_numbers_and_an_operator_sees_all(
    house: House, ada: Account, operator: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url)
    receiver.answers(503)
    await ada.key.publish()
    await house.later()
    bob = await house.account("bob@example.com")
    for which in ({}, {"webhook_id": webhook["id"]}, {"event": "annotation.completed"}):
        shown = await bob.key.get("/api/stats", **which)
        assert (shown.body["totals"]["attempts"], shown.body["endpoints"]) == (0, [])
        assert shown.body["backlog"]["count"] == 0
        for mark in (webhook["id"], receiver.url, ada.id):
            assert mark not in str(shown.body)
    seen = (await operator.user.get("/api/stats")).body
    assert [(one["account_id"], one["attempts"]) for one in seen["endpoints"]] == [(ada.id, 1)]
    assert (seen["totals"]["accepted"], seen["backlog"]["count"]) == (1, 1)


@pytest.mark.parametrize(
    ("which", "status", "code", "field"),
    [
        ({"bucket": "minute", "from": "2025-12-01T00:00:00Z"}, 422, "too_many_buckets", "bucket"),
        ({"bucket": "day", "from": "0001-01-01", "to": "9999-12-31T23:59:59Z"}, 422, "too_many_buckets", "bucket"),
        ({"from": "2026-01-01T12:00:00Z", "to": "2026-01-01T12:00:00Z"}, 400, "invalid_payload", "from"),
        ({"to": "0001-01-01"}, 400, "invalid_payload", "from"),
        ({"bucket": "week"}, 400, "invalid_payload", "bucket"),
        ({"from": "yesterday"}, 400, "invalid_payload", "from"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    ada: Account, which: dict[str, str], status: int, code: str, field: str
) -> None:
    answer = await ada.key.get("/api/stats", **which)
    assert (answer.status, answer.code, answer.body["field"]) == (status, code, field)


async def test_the_longest_answer_and_the_ends_of_the_calendar_are_answered(ada: Account) -> None:
    longest = await ada.key.get("/api/stats", **{"bucket": "minute", "from": "2025-12-31T11:01:00Z"})
    assert len(longest.body["series"]) == 1500
    for which in ({"to": "0001-01-01T05:00:00Z"}, {"from": "9999-12-31T05:00:00Z", "to": "9999-12-31T23:59:59Z"}):
        assert (await ada.key.get("/api/stats", **which)).status == 200


async def test_a_refusal_says_what_to_do(ada: Account) -> None:
    answer = await ada.key.get("/api/stats", **{"bucket": "minute", "from": "2025-12-01"})
    assert answer.body["error"] == (
        'That is 45,361 buckets; at most 1,500 are answered: ask for "bucket=hour" or a shorter time'
    )
