"""Webhooks: registering, changing, rotating, trying out."""

import json
from typing import Any

import pytest
from sqlalchemy import insert, select
from standardwebhooks.webhooks import Webhook

from delivery.domain.signing import standard_secret
from delivery.registry import MOST_ENDPOINTS
from delivery.store.tables import endpoints
from tests.service.house import SECRET, Account, House
from tests.support.receiver import Receiver, Reply, verifies


async def test_the_guides_registration_works_as_printed(house: House, ada: Account) -> None:
    """With a session, and a URL that is somewhere in the world: nothing is sent there."""
    answer = await ada.user.post(
        "/api/webhooks",
        {
            "url": "https://yourapp.com/webhooks/tagmatic",
            "events": ["annotation.completed", "batch.completed"],
            "secret": "your-webhook-signing-secret",
        },
    )

    assert answer.status == 201
    webhook = answer.body
    assert webhook["id"].startswith("wh_")
    assert webhook["url"] == "https://yourapp.com/webhooks/tagmatic"
    assert webhook["events"] == ["annotation.completed", "batch.completed"]
    assert webhook["secret"] == "your-webhook-signing-secret"
    assert webhook["standard_webhooks_secret"] == standard_secret("your-webhook-signing-secret")
    assert (webhook["active"], webhook["disabled_reason"], webhook["kind"]) == (True, None, "webhook")
    assert webhook["health"] == {"state": "ok", "success_rate": None, "last_delivery_at": None}
    assert webhook["created_at"] == webhook["updated_at"] == "2026-01-01T12:00:00.000Z"


async def test_an_account_has_no_more_webhooks_than_its_events_can_be_held_against(
    house: House, ada: Account, receiver: Receiver
) -> None:
    made = await ada.key.register(receiver.url)
    async with house.runtime.store.writing() as tx:
        first = (await tx.execute(select(endpoints))).one()._asdict()
        await tx.execute(insert(endpoints), [first | {"id": f"wh_{number:028}"} for number in range(1, MOST_ENDPOINTS)])

    wanted = {"url": receiver.url, "events": ["*"]}
    refused = await ada.key.post("/api/webhooks", wanted)
    assert (refused.status, refused.code) == (429, "webhook_limit")
    assert "10,000" in refused.body["error"]
    assert "Retry-After" not in refused.headers

    assert (await ada.key.delete(f"/api/webhooks/{made['id']}")).status == 204
    assert (await ada.key.post("/api/webhooks", wanted)).status == 201


async def test_without_a_secret_a_strong_one_is_made_and_shown_this_once(
    house: House, ada: Account, receiver: Receiver
) -> None:
    made = await ada.key.register(receiver.url, secret=None)
    assert made["secret"].startswith("whsec_")
    assert made["standard_webhooks_secret"] == made["secret"]

    shown = (await ada.key.get(f"/api/webhooks/{made['id']}")).body
    assert shown["secrets"] == [
        {"last4": made["secret"][-4:], "created_at": "2026-01-01T12:00:00.000Z", "expires_at": None}
    ]
    everything = json.dumps([shown, (await ada.key.get("/api/webhooks")).body])
    assert made["secret"] not in everything

    await ada.key.publish()
    await house.quiet()
    assert verifies(receiver.calls[0], made["secret"])
    call = receiver.calls[0]
    theirs = Webhook(made["secret"]).sign(call.headers["webhook-id"], house.clock.now(), call.body.decode())
    assert call.headers["webhook-signature"] == theirs


@pytest.mark.parametrize(
    ("wishes", "refusal"),
    [
        ({"url": None}, (422, "invalid_url", "url")),
        ({"url": 123}, (422, "invalid_url", "url")),
        ({"url": "ftp://example.com/"}, (422, "invalid_url", "url")),
        ({"url": "https://10.0.0.1/"}, (422, "invalid_url", "url")),
        ({"url": "http://example.com/"}, (422, "invalid_url", "url")),
        ({"secret": "short"}, (422, "invalid_secret", "secret")),
        ({"headers": {"Host": "internal.local"}}, (422, "invalid_header", "headers.Host")),
        ({"headers": {"X-Number": 5}}, (422, "invalid_header", "headers.X-Number")),
        ({"events": []}, (400, "invalid_payload", "events")),
        ({"events": ["annotation.imagined"]}, (400, "invalid_event_type", "events")),
        ({"events": "annotation.completed"}, (400, "invalid_payload", "events")),
        ({"filter": {"project": "a"}}, (400, "invalid_filter", "filter")),
        ({"rate_limit": 0}, (400, "invalid_payload", "rate_limit")),
        ({"rate_limit": True}, (400, "invalid_payload", "rate_limit")),
        ({"retry_schedule": [0]}, (400, "invalid_payload", "retry_schedule")),
        ({"kind": "pigeon"}, (400, "invalid_payload", "kind")),
        ({"event": ["*"]}, (400, "invalid_payload", "event")),
        ({"description": "\x00"}, (400, "invalid_json", None)),
    ],
)
async def test_what_cannot_be_registered_is_refused_and_nothing_is_stored(
    house: House, ada: Account, wishes: dict[str, Any], refusal: tuple[int, str, str | None]
) -> None:
    body = {"url": "https://example.com/hook", "events": ["*"]} | wishes
    answer = await ada.key.post("/api/webhooks", body)
    assert (answer.status, answer.code, answer.body.get("field")) == refusal
    assert (await ada.key.get("/api/webhooks")).body == {"items": [], "next": None}


async def test_a_url_is_asked_for(house: House, ada: Account) -> None:
    answer = await ada.key.post("/api/webhooks", {"events": ["*"]})
    assert (answer.status, answer.code, answer.body["field"]) == (400, "invalid_payload", "url")


async def test_the_same_url_may_be_registered_twice(house: House, ada: Account, receiver: Receiver) -> None:
    first, second = [await ada.key.register(receiver.url) for _ in range(2)]
    assert first["id"] != second["id"]


async def test_what_is_left_out_of_a_change_stays_as_it_was(house: House, ada: Account, receiver: Receiver) -> None:
    made = await ada.key.register(
        receiver.url,
        description="before",
        headers={"Authorization": "Bearer abc"},
        filter={"data.project_id": ["a", "b"]},
        rate_limit=5,
        retry_schedule=[1, 2],
    )
    house.clock.forward(1)

    changed = await ada.key.patch(f"/api/webhooks/{made['id']}", events=["batch.*"], filter=None)

    assert changed.status == 200
    wanted = {name: value for name, value in made.items() if "secret" not in name or name == "secrets"} | {
        "events": ["batch.*"],
        "filter": None,
        "updated_at": "2026-01-01T12:00:01.000Z",
    }
    assert changed.body == wanted
    assert (await ada.key.get(f"/api/webhooks/{made['id']}")).body == wanted


async def test_a_change_is_held_to_the_same_rules(house: House, ada: Account, receiver: Receiver) -> None:
    path = f"/api/webhooks/{(await ada.key.register(receiver.url))['id']}"
    assert (await ada.key.patch(path, url="http://10.0.0.1/")).code == "invalid_url"
    assert (await ada.key.patch(path, events=["nothing"])).code == "invalid_event_type"
    assert (await ada.key.patch(path, secret=SECRET)).code == "invalid_payload"
    assert (await ada.key.patch(path, active=None)).code == "invalid_payload"
    assert (await ada.key.get(path)).body["url"] == receiver.url


async def test_a_webhook_that_is_switched_off_gets_nothing_until_it_is_switched_on(
    house: House, ada: Account, receiver: Receiver
) -> None:
    path = f"/api/webhooks/{(await ada.key.register(receiver.url))['id']}"

    off = (await ada.key.patch(path, active=False)).body
    assert (off["active"], off["disabled_reason"], off["health"]["state"]) == (False, "switched off", "disabled")
    assert (await ada.key.publish(job_id="a")).body["deliveries"] == 0

    on = (await ada.key.patch(path, active=True)).body
    assert (on["active"], on["disabled_reason"], on["health"]["state"]) == (True, None, "ok")
    assert (await ada.key.publish(job_id="b")).body["deliveries"] == 1


async def test_health_says_how_the_last_deliveries_went(house: House, ada: Account, receiver: Receiver) -> None:
    path = f"/api/webhooks/{(await ada.key.register(receiver.url, retry_schedule=[]))['id']}"
    receiver.answers(500, 200)

    await ada.key.publish(job_id="a")
    await house.quiet()
    health = (await ada.key.get(path)).body["health"]
    assert health == {"state": "failing", "success_rate": 0.0, "last_delivery_at": "2026-01-01T12:00:00.000Z"}

    await ada.key.publish(job_id="b")
    await house.quiet()
    health = (await ada.key.get(path)).body["health"]
    assert (health["state"], health["success_rate"]) == ("ok", 0.5)


async def test_a_deleted_webhook_is_gone_and_its_log_is_not(house: House, ada: Account, receiver: Receiver) -> None:
    webhook = await ada.key.register(receiver.url)
    await ada.key.publish()
    await house.quiet()
    path = f"/api/webhooks/{webhook['id']}"

    assert (await ada.key.delete(path)).status == 204

    for answer in (await ada.key.get(path), await ada.key.delete(path), await ada.key.patch(path, active=True)):
        assert (answer.status, answer.code) == (404, "not_found")
    assert (await ada.key.get("/api/webhooks")).body["items"] == []
    (delivery,) = await ada.key.deliveries(webhook_id=webhook["id"])
    assert delivery["status"] == "delivered"


async def test_rotation_loses_nothing_for_a_receiver_that_knows_one_secret(
    house: House, ada: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url)
    receiver.trusts_only(SECRET)

    rotated = await ada.key.post(f"/api/webhooks/{webhook['id']}/rotate", {"secret": "the-new-secret"})

    assert (rotated.status, rotated.body["secret"]) == (200, "the-new-secret")
    assert [(s["last4"], s["expires_at"]) for s in rotated.body["secrets"]] == [
        ("cret", None),
        ("cret", "2026-01-02T12:00:00.000Z"),
    ]
    await ada.key.publish()
    await house.quiet()
    (delivery,) = await ada.key.deliveries()
    attempts = (await ada.key.get(f"/api/deliveries/{delivery['id']}")).body["attempts"]
    assert [attempt["trigger"] for attempt in attempts] == ["first", "rotation"]
    assert delivery["status"] == "delivered"


async def test_rotation_makes_a_secret_and_may_end_the_old_one_at_once(
    house: House, ada: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url)
    path = f"/api/webhooks/{webhook['id']}/rotate"
    made = (await ada.key.call("POST", path)).body  # a body is not asked for
    assert made["secret"].startswith("whsec_")
    now = (await ada.key.post(path, {"overlap_seconds": 0})).body
    assert [secret["last4"] for secret in now["secrets"]] == [now["secret"][-4:]]
    assert (await ada.key.post(path, {"overlap_seconds": -1})).code == "invalid_payload"
    assert (await ada.key.post(path, {"secret": "short"})).code == "invalid_secret"


async def test_the_test_call_sends_a_signed_sample_and_answers_with_the_attempt(
    house: House, ada: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url, events=["batch.failed"])
    receiver.answers(Reply(503, {"X-Mood": "tired"}))

    answer = await ada.key.call("POST", f"/api/webhooks/{webhook['id']}/test")

    assert answer.status == 200
    attempt = answer.body
    (call,) = receiver.calls
    assert verifies(call, SECRET)
    assert json.loads(call.body)["event"] == "webhook.test"
    assert (attempt["number"], attempt["trigger"]) == (1, "test")
    assert attempt["request"]["body"] == call.body.decode()
    assert attempt["request"]["headers"]["X-Tagmatic-Signature"] == call.headers["X-Tagmatic-Signature"]
    assert (attempt["response"]["status"], attempt["response"]["headers"]["X-Mood"]) == (503, "tired")
    assert attempt["error"]["class"] == "http_5xx"
    in_log = (await ada.key.get(f"/api/deliveries/{attempt['delivery_id']}")).body
    assert (in_log["event"], in_log["attempts_made"], in_log["schedule"]) == ("webhook.test", 1, [])


async def test_a_webhook_that_is_switched_off_cannot_be_tested(house: House, ada: Account, receiver: Receiver) -> None:
    webhook = await ada.key.register(receiver.url)
    await ada.key.patch(f"/api/webhooks/{webhook['id']}", active=False)
    answer = await ada.key.post(f"/api/webhooks/{webhook['id']}/test")
    assert (answer.status, answer.code) == (409, "webhook_disabled")
    assert "switched off" in answer.body["error"]
    assert receiver.calls == []
