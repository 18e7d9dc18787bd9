"""Replays by the API: counted beforehand, followed while they run, stopped."""

from typing import Any

import pytest

from tests.service.house import Account, House
from tests.support.receiver import Receiver

ALL_FAILED = {"filter": {"status": "failed"}}


@pytest.fixture
async def webhook(house: House, ada: Account, receiver: Receiver) -> Any:
    """A webhook three of whose deliveries have failed."""
    made = await ada.key.register(receiver.url, retry_schedule=[])
    receiver.answers(503)
    for number in range(3):
        await ada.key.publish(job_id=f"ann_{number}")
    await house.quiet()
    receiver.answers(200)
    receiver.calls.clear()
    return made


async def test_a_dry_run_counts_by_webhook_and_by_error_and_sends_nothing(
    house: House, ada: Account, receiver: Receiver, webhook: Any
) -> None:
    planned = await ada.key.post("/api/replays", ALL_FAILED | {"dry_run": True})
    assert (planned.status, planned.body) == (
        202,
        {
            "id": None,
            "matched": 3,
            "by_webhook": [{"webhook_id": webhook["id"], "url": receiver.url, "active": True, "matched": 3}],
            "by_error": [{"error": "http_5xx", "matched": 3}],
        },
    )
    await house.later(2)
    assert receiver.calls == []
    assert (await ada.key.get("/api/replays")).body == {"items": [], "next": None}


async def test_a_replay_sends_what_failed_and_says_how_far_it_is(
    house: House, ada: Account, receiver: Receiver, webhook: Any
) -> None:
    planned = (await ada.key.post("/api/replays", ALL_FAILED)).body
    assert planned["matched"] == 3
    begun = (await ada.key.get(f"/api/replays/{planned['id']}")).body
    nothing = {"in_progress": 0, "webhook_disabled": 0, "no_longer_matching": 0, "withdrawn": 0}
    progress = {"matched": 3, "asked": 0, "outstanding": 0, "delivered": 0, "failed": 0, "skipped": nothing}
    assert begun == progress | {
        "id": planned["id"],
        "account_id": ada.id,
        "state": "running",
        "filter": {"status": "failed"},
        "by_error": [{"error": "http_5xx", "matched": 3}],
        "by_webhook": [{"webhook_id": webhook["id"], "url": receiver.url, "active": True} | progress],
        "created_by": begun["created_by"],
        "created_at": "2026-01-01T12:00:00.000Z",
        "finished_at": None,
    }
    assert begun["created_by"].startswith("key_")

    await house.later()
    assert len(receiver.calls) == 3
    await house.later(1)
    done = (await ada.key.get(f"/api/replays/{planned['id']}")).body
    assert (done["state"], done["finished_at"]) == ("finished", "2026-01-01T12:00:01.000Z")
    assert (done["asked"], done["delivered"]) == (3, 3)
    in_list = {name: value for name, value in done.items() if name != "by_webhook"}
    assert (await ada.user.get("/api/replays")).body["items"] == [in_list]


async def test_every_filter_of_the_log_can_be_replayed_and_is_shown_as_it_was_asked(
    house: House, ada: Account, webhook: Any
) -> None:
    which = {
        "status": "failed",
        "event": "annotation.completed",
        "webhook_id": webhook["id"],
        "job_id": "ann_1",
        "from": "2026-01-01T13:00:00.000+01:00",
        "to": "2026-01-02T12:00:00.000Z",
        "q": "ann_1",
        "response_status": 503,
        "error_class": "http_5xx",
    }
    planned = (await ada.key.post("/api/replays", {"filter": which})).body
    assert planned["matched"] == 1
    shown = (await ada.key.get(f"/api/replays/{planned['id']}")).body["filter"]
    assert shown == which | {"from": "2026-01-01T12:00:00.000Z"}
    logged = await ada.key.deliveries(**{name: str(value) for name, value in which.items()})
    assert [delivery["job_id"] for delivery in logged] == ["ann_1"]


async def test_a_replay_that_is_stopped_sends_no_more(
    house: House, ada: Account, receiver: Receiver, webhook: Any
) -> None:
    planned = (await ada.key.post("/api/replays", ALL_FAILED)).body
    stopped = await ada.key.delete(f"/api/replays/{planned['id']}")
    assert (stopped.status, stopped.body["state"]) == (200, "stopped")
    await house.later(1)
    assert receiver.calls == []
    assert (await ada.key.get(f"/api/replays/{planned['id']}")).body["finished_at"] is not None
    again = await ada.key.delete(f"/api/replays/{planned['id']}")
    assert (again.status, again.code) == (409, "conflict")


async def test_what_finds_nothing_is_finished_at_once(house: House, ada: Account) -> None:
    planned = (await ada.key.post("/api/replays", ALL_FAILED)).body
    assert (planned["matched"], planned["by_webhook"], planned["by_error"]) == (0, [], [])
    assert (await ada.key.get(f"/api/replays/{planned['id']}")).body["state"] == "finished"


async def test_deliveries_of_a_disabled_webhook_are_counted_and_not_sent(
    house: House, ada: Account, receiver: Receiver, webhook: Any
) -> None:
    await ada.key.patch(f"/api/webhooks/{webhook['id']}", active=False)
    planned = (await ada.key.post("/api/replays", ALL_FAILED)).body
    assert [(one["active"], one["matched"]) for one in planned["by_webhook"]] == [(False, 3)]
    await house.later(1)
    assert receiver.calls == []
    done = (await ada.key.get(f"/api/replays/{planned['id']}")).body
    assert (done["state"], done["skipped"]["webhook_disabled"]) == ("finished", 3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"filter": {}}, "filter"),
        ({"filter": {"status": None}}, "filter"),
        ({"filter": {"status": "sending"}}, "filter.status"),
        ({"filter": {"state": "failed"}}, "filter.state"),
        ({"filter": {"from": "yesterday"}}, "filter.from"),
        ({"filter": {"from": "0001-01-01T00:00:00+14:00"}}, "filter.from"),
        ({"filter": {"response_status": "503"}}, "filter.response_status"),
        ({"filter": {"q": "a\nb"}}, "filter.q"),
        ({"filter": "failed"}, "filter"),
        (ALL_FAILED | {"dry_run": "yes"}, "dry_run"),
    ],
)
async def test_a_filter_that_cannot_be_meant_is_refused(house: House, ada: Account, body: Any, field: str) -> None:
    refused = await ada.key.post("/api/replays", body)
    assert (refused.status, refused.code, refused.body["field"]) == (400, "invalid_payload", field)
    assert (await ada.key.get("/api/replays")).body["items"] == []


async def test_a_customer_replays_what_is_theirs_and_an_operator_everybodys(
    house: House, ada: Account, operator: Account, webhook: Any
) -> None:
    bob = await house.account("bob@example.com")
    for body in (ALL_FAILED, {"filter": {"webhook_id": webhook["id"]}}):
        assert (await bob.key.post("/api/replays", body)).body["matched"] == 0
    planned = (await operator.user.post("/api/replays", ALL_FAILED)).body
    assert planned["matched"] == 3
    assert (await operator.user.get(f"/api/replays/{planned['id']}")).body["account_id"] is None
    assert (await ada.key.get(f"/api/replays/{planned['id']}")).status == 404
    assert (await ada.key.delete(f"/api/replays/{planned['id']}")).status == 404
