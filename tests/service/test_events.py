"""Accepted events, and for each webhook why it got them or not."""

from tests.service.house import Account, House
from tests.support.receiver import Receiver
from tests.support.samples import envelope


async def test_an_event_is_shown_with_its_data_and_its_deliveries(
    house: House, ada: Account, receiver: Receiver
) -> None:
    webhook = await ada.key.register(receiver.url)
    event_id = (await ada.key.publish(job_id="ann_1", metadata={"big": 2**70, "text": "größer"})).body["id"]
    await house.quiet()

    shown = (await ada.key.get(f"/api/events/{event_id}")).body

    assert (shown["id"], shown["event"], shown["external_id"]) == (event_id, "annotation.completed", None)
    assert (shown["timestamp"], shown["accepted_at"]) == ("2024-03-14T10:23:45.000Z", "2026-01-01T12:00:00.000Z")
    assert shown["data"] == envelope(job_id="ann_1", metadata={"big": 2**70, "text": "größer"})["data"]
    assert shown["deliveries"] == await ada.key.deliveries(event_id=event_id)
    assert shown["matches"] == [
        {"webhook_id": webhook["id"], "sent": True, "reason": "subscribed to annotation.completed"}
    ]


async def test_an_event_says_for_every_webhook_why_it_was_or_was_not_sent_there(
    house: House, ada: Account, receiver: Receiver
) -> None:
    path = receiver.url
    wanted = await ada.key.register(path, events=["annotation.*"])
    other = await ada.key.register(path, events=["batch.failed"])
    filtered = await ada.key.register(path, filter={"data.project_id": "elsewhere"})
    off = await ada.key.register(path)
    await ada.key.patch(f"/api/webhooks/{off['id']}", active=False)
    event_id = (await ada.key.publish()).body["id"]
    house.clock.forward(1)
    late = await ada.key.register(path)

    matches = (await ada.key.get(f"/api/events/{event_id}")).body["matches"]

    assert {match["webhook_id"]: (match["sent"], match["reason"]) for match in matches} == {
        wanted["id"]: (True, "subscribed to annotation.completed"),
        other["id"]: (False, "not subscribed to annotation.completed"),
        filtered["id"]: (False, "filtered out"),
        off["id"]: (False, "disabled: switched off"),
        late["id"]: (False, "registered later"),
    }
    assert (await ada.key.get("/api/events")).body["items"][0]["matches"] == matches


async def test_why_an_event_was_sent_outlives_the_webhook(house: House, ada: Account, receiver: Receiver) -> None:
    webhook = await ada.key.register(receiver.url)
    event_id = (await ada.key.publish()).body["id"]
    await house.quiet()
    await ada.key.delete(f"/api/webhooks/{webhook['id']}")
    (match,) = (await ada.key.get(f"/api/events/{event_id}")).body["matches"]
    assert (match["webhook_id"], match["sent"]) == (webhook["id"], True)


async def test_events_are_found_by_type_and_by_job(house: House, ada: Account) -> None:
    await ada.key.publish(job_id="a")
    await ada.key.publish("batch.failed", job_id="b")

    async def jobs(**which: str) -> set[str]:
        return {event["data"]["job_id"] for event in (await ada.key.get("/api/events", **which)).body["items"]}

    assert await jobs() == {"a", "b"}
    assert await jobs(event="batch.failed") == {"b"}
    assert await jobs(job_id="a") == {"a"}
    assert await jobs(job_id="a", event="batch.failed") == set()


async def test_the_catalogue_has_a_schema_and_an_example_for_all_that_can_be_published(
    house: House, ada: Account
) -> None:
    listed = {kind["event"]: kind for kind in (await ada.key.get("/api/event-types")).body["items"]}
    assert set(listed) == {
        "annotation.completed",
        "batch.completed",
        "batch.failed",
        "file.completed",
        "project.drift_alert",
        "review.submitted",
        "webhook.disabled",
        "delivery.failed",
    }
    for kind in listed.values():
        assert kind["description"]
        assert (kind["schema"] is None) == (kind["family"] == "operational")
    for number, name in enumerate(name for name, kind in listed.items() if kind["example"]):
        example = listed[name]["example"] | {"id": f"example-{number}"}
        assert (await ada.key.post("/api/events", example)).status == 202
