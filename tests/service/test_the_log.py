"""The log: deliveries with everything that was done about them, and what people can do about them."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.service.house import Account, House
from tests.support.polling import until
from tests.support.receiver import Receiver

MINUTE = 60


async def test_a_delivery_shows_every_attempt_whole(house: House, ada: Account, receiver: Receiver) -> None:
    webhook = await ada.key.register(receiver.url)
    receiver.answers(500, 200)
    event_id = (await ada.key.publish(job_id="ann_1")).body["id"]
    await house.quiet()
    await house.later(1.1 * MINUTE)
    (listed,) = await ada.key.deliveries()

    shown = (await ada.key.get(f"/api/deliveries/{listed['id']}")).body

    assert {name: shown[name] for name in listed} == listed
    assert (shown["event_id"], shown["event"], shown["webhook_id"], shown["url"], shown["job_id"]) == (
        event_id,
        "annotation.completed",
        webhook["id"],
        receiver.url,
        "ann_1",
    )
    assert (shown["status"], shown["attempts_made"], shown["next_attempt_at"]) == ("delivered", 2, None)
    assert (shown["created_at"], shown["finished_at"]) == ("2026-01-01T12:00:00.000Z", "2026-01-01T12:01:06.000Z")
    first, second = shown["attempts"]
    assert [(attempt["number"], attempt["trigger"]) for attempt in (first, second)] == [(1, "first"), (2, "retry")]
    for attempt, call in zip((first, second), receiver.calls, strict=True):
        assert attempt["request"] == {
            "url": receiver.url,
            "headers": dict(call.headers),
            "body": call.body.decode(),
        }
    assert (first["response"]["status"], first["error"]["class"], second["error"]) == (500, "http_5xx", None)
    assert first["remote_address"].startswith("127.0.0.1")
    assert set(first["timings"]) == {"dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms"}
    assert first["duration_ms"] == first["timings"]["total_ms"]


async def test_the_schedule_says_when_each_attempt_was_and_will_be_due(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url, retry_schedule=[60, 300])
    receiver.answers(500)
    await ada.key.publish()
    await house.quiet()
    (listed,) = await ada.key.deliveries()

    schedule = (await ada.key.get(f"/api/deliveries/{listed['id']}")).body["schedule"]

    assert [due["number"] for due in schedule] == [1, 2, 3]
    assert schedule[0]["due_at"] == "2026-01-01T12:00:00.000Z"
    assert schedule[1]["due_at"] == listed["next_attempt_at"]
    assert schedule[2]["due_at"] >= "2026-01-01T12:06:00.000Z"

    await house.later(65)
    await house.later(330)
    failed = (await ada.key.get(f"/api/deliveries/{listed['id']}")).body
    assert (failed["status"], failed["next_attempt_at"]) == ("failed", None)
    assert [due["due_at"] for due in failed["schedule"][1:]] == [
        "2026-01-01T12:01:00.000Z",
        "2026-01-01T12:06:05.000Z",
    ]


@pytest.fixture
async def odd_receiver() -> AsyncIterator[dict[str, Any]]:
    """A receiver that answers with whatever bytes it is told to."""
    told: dict[str, Any] = {"body": b"", "headers": {}}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=told["body"], headers=told["headers"])

    app = web.Application()
    app.router.add_post("/hook", answer)
    async with TestServer(app) as server:
        told["url"] = str(server.make_url("/hook"))
        yield told


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"fine", ("fine", "utf-8", False)),
        ("größer €".encode(), ("größer €", "utf-8", False)),
        (b"nul \x00 and bell \x07", ("nul \x00 and bell \x07", "utf-8", False)),
        (b"\xff\xfe\x00", (base64.b64encode(b"\xff\xfe\x00").decode(), "base64", False)),
        ("€".encode() * 6000, ("€" * 5461, "utf-8", True)),
    ],
)
async def test_whatever_a_receiver_answers_comes_back_as_it_was(
    house: House, ada: Account, odd_receiver: dict[str, Any], sent: bytes, shown: tuple[str, str, bool]
) -> None:
    odd_receiver |= {"body": sent, "headers": {"X-Odd": "größer"}}
    await ada.key.register(odd_receiver["url"])
    await ada.key.publish()
    await house.quiet()
    (delivery,) = await ada.key.deliveries()
    assert delivery["status"] == "delivered"

    (attempt,) = (await ada.key.get(f"/api/deliveries/{delivery['id']}")).body["attempts"]

    response = attempt["response"]
    assert (response["body"], response["encoding"], response["truncated"]) == shown
    assert response["headers"]["X-Odd"] == "größer"


async def test_the_log_is_searched_by_every_filter(house: House, ada: Account, receiver: Receiver) -> None:
    webhook = await ada.key.register(receiver.url, retry_schedule=[])
    other = await ada.key.register(receiver.url, events=["batch.failed"])
    receiver.answers(500, 204)
    event_id = (await ada.key.publish(job_id="first")).body["id"]
    await house.quiet()
    house.clock.forward(MINUTE)
    await ada.key.publish("batch.failed", job_id="second")
    await house.quiet()

    async def found(**which: Any) -> list[tuple[str, str]]:
        return sorted((entry["job_id"], entry["webhook_id"]) for entry in await ada.key.deliveries(**which))

    first = ("first", webhook["id"])
    both = sorted([("second", webhook["id"]), ("second", other["id"])])
    (failed,) = await ada.key.deliveries(status="failed")
    assert await found() == sorted([first, *both])
    assert await found(status="failed") == [first]
    assert await found(status="delivered", webhook_id=other["id"]) == [("second", other["id"])]
    assert await found(event="batch.failed") == both
    assert await found(job_id="second") == both
    assert await found(event_id=event_id) == [first]
    assert await found(response_status=500) == [first]
    assert await found(response_status=204) == both
    for query in (event_id, failed["id"], "first"):
        assert await found(q=query) == [first]
    assert await found(**{"from": "2026-01-01T12:01:00.000Z"}) == both
    assert await found(to="2026-01-01T12:01:00") == [first]
    assert await found(status="", q="") == sorted([first, *both]), "an empty field of a form asks nothing"
    log = await ada.key.get(f"/api/webhooks/{other['id']}/deliveries", status="delivered")
    assert [entry["webhook_id"] for entry in log.body["items"]] == [other["id"]]


async def test_operators_look_at_one_account_and_nobody_else_at_another(
    house: House, ada: Account, receiver: Receiver
) -> None:
    bob, chief = await house.account("bob@example.com"), await house.account("chief@example.com", operator=True)
    for account in (ada, bob):
        await account.key.register(receiver.url)
        await account.key.publish(job_id=f"of-{account.id}")
    await house.quiet()
    assert len(await chief.key.deliveries()) == 2
    assert [entry["account_id"] for entry in await chief.key.deliveries(account_id=bob.id)] == [bob.id]
    assert len(await ada.key.deliveries(account_id=ada.id)) == 1
    assert await ada.key.deliveries(account_id=bob.id) == []
    asked = {"filter": {"status": "delivered", "account_id": bob.id}, "dry_run": True}
    assert (await chief.key.post("/api/replays", asked)).body["matched"] == 1
    assert (await ada.key.post("/api/replays", asked)).body["matched"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"stauts": "failed"}, "stauts"),
        ({"limit": "101"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"from": "yesterday"}, "from"),
        ({"response_status": "ok"}, "response_status"),
        ({"job_id": "a\x00b"}, "job_id"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_and_not_ignored(
    house: House, ada: Account, query: dict[str, str], field: str
) -> None:
    answer = await ada.key.get("/api/deliveries", **query)
    assert (answer.status, answer.code, answer.body["field"]) == (400, "invalid_payload", field)


async def test_a_retry_by_hand_is_one_attempt_more_and_leaves_the_schedule_alone(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    receiver.answers(500)
    await ada.key.publish()
    await house.quiet()
    (before,) = await ada.key.deliveries()

    answer = await ada.key.call("POST", f"/api/deliveries/{before['id']}/retry")
    assert (answer.status, answer.body["id"]) == (202, before["id"])
    await house.later(1)

    (after,) = await ada.key.deliveries()
    assert after["next_attempt_at"] == before["next_attempt_at"]
    assert (after["status"], after["attempts_made"]) == ("pending", 2)
    attempts = (await ada.key.get(f"/api/deliveries/{before['id']}")).body["attempts"]
    assert [attempt["trigger"] for attempt in attempts] == ["first", "manual"]


async def test_a_delivery_that_arrived_can_be_sent_again(house: House, ada: Account, receiver: Receiver) -> None:
    await ada.key.register(receiver.url)
    await ada.key.publish()
    await house.quiet()
    (delivery,) = await ada.key.deliveries()
    assert (await ada.key.post(f"/api/deliveries/{delivery['id']}/retry")).status == 202
    await house.later()
    assert len(receiver.calls) == 2


async def test_while_an_attempt_is_being_made_no_other_one_can_be_asked_for(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    receiver.door.clear()
    await ada.key.publish()
    await until(lambda: len(receiver.calls) == 1)
    (delivery,) = await ada.key.deliveries()
    assert delivery["status"] == "sending"

    answer = await ada.key.post(f"/api/deliveries/{delivery['id']}/retry")

    assert (answer.status, answer.code) == (409, "delivery_in_progress")
    receiver.door.set()


async def test_nothing_is_sent_by_hand_to_a_webhook_that_is_off_or_gone(
    house: House, ada: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url)
    await ada.key.publish()
    await house.quiet()
    (delivery,) = await ada.key.deliveries()
    path = f"/api/deliveries/{delivery['id']}/retry"

    await ada.key.patch(f"/api/webhooks/{webhook['id']}", active=False)
    off = await ada.key.post(path)
    assert (off.status, off.code) == (409, "webhook_disabled")
    assert "switched off" in off.body["error"]

    await ada.key.delete(f"/api/webhooks/{webhook['id']}")
    gone = await ada.key.post(path)
    assert (gone.status, gone.code) == (409, "webhook_disabled")
    assert "deleted" in gone.body["error"]


async def test_a_waiting_delivery_can_be_cancelled_and_an_ended_one_cannot(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    receiver.answers(500)
    await ada.key.publish()
    await house.quiet()
    (delivery,) = await ada.key.deliveries()
    path = f"/api/deliveries/{delivery['id']}/cancel"

    cancelled = await ada.key.call("POST", path)
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert cancelled.body["next_attempt_at"] is None
    await house.later(MINUTE * 2)
    assert len(receiver.calls) == 1

    again = await ada.key.call("POST", path)
    assert (again.status, again.code) == (409, "conflict")


@pytest.mark.parametrize("what", ["", "/retry", "/cancel"])
async def test_what_does_not_exist_is_not_found(house: House, ada: Account, what: str) -> None:
    answer = await ada.key.call("POST" if what else "GET", f"/api/deliveries/dlv_nothing{what}")
    assert (answer.status, answer.code) == (404, "not_found")
