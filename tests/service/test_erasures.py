"""Erasing what is kept of a job or of a person: all of it, nothing else, and nothing is sent of it any more."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from delivery import erasure
from delivery.store.tables import metadata
from tests.service.house import Account, Caller, House
from tests.service.test_dead_letters import a_letter, park
from tests.support.polling import until
from tests.support.program import Program
from tests.support.receiver import Receiver
from tests.support.samples import envelope

NOTHING = {"events": 0, "deliveries": 0, "attempts": 0, "dead_letters": 0, "in_progress": 0, "next": None}

#: A person's id as it could be part of anything, and with what JSON escapes.
PERSON = 'é "user" 42\\'


async def erase(caller: Caller, **which: Any) -> Any:
    answer = await caller.post("/api/erasures", which)
    assert answer.status == 200, answer.body
    return {name: value for name, value in answer.body.items() if name != "id"}


async def everything(house: House) -> str:
    """Every row of every table but the trail, as text."""
    told = []
    async with house.runtime.store.reading() as tx:
        for table in metadata.sorted_tables:
            if table.name != "audit":
                rows = (await tx.execute(text(f"SELECT * FROM {table.name}"))).all()
                told += [str([v.decode() if isinstance(v, bytes) else v for v in row]) for row in rows]
    return "\n".join(told)


async def test_of_a_job_everything_is_gone_and_of_others_nothing(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    for job in ("job-1", "job-2", "job-1.1"):
        for event in ("annotation.completed", "file.completed"):
            await ada.key.publish(event, job_id=job)
    await house.quiet()

    gone = {"events": 2, "deliveries": 2, "attempts": 2}
    assert await erase(ada.key, job_id="job-1", dry_run=True) == NOTHING | gone
    assert len(await ada.key.deliveries()) == 6
    assert await erase(ada.key, job_id="job-1") == NOTHING | gone
    assert await erase(ada.key, job_id="job-1") == NOTHING

    assert {row["job_id"] for row in await ada.key.deliveries()} == {"job-2", "job-1.1"}
    assert len((await ada.key.get("/api/events")).body["items"]) == 4
    assert "job-1'" not in await everything(house)
    [told] = (await ada.key.get("/api/audit", what="events.erased")).body["items"]
    assert (told["name"], told["after"]) == ("job job-1", gone | {"dead_letters": 0})


def review(number: int, **data: Any) -> dict[str, Any]:
    return envelope("review.submitted", job_id=f"job_{number}", review_id=f"rev_{number}", **data)


async def test_of_a_person_everything_is_gone_that_names_them_and_nothing_else(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    about = [
        envelope(job_id="theirs", annotator={"id": PERSON, "type": "human"}),
        review(1, reviewer={"id": PERSON, "name": "Ada"}),
        review(2, metadata={"annotations": {PERSON: {"label": "a"}, "other": {"label": "b"}}}),
    ]
    of_others = [
        envelope(job_id="annotator", annotator={"id": f"{PERSON}1"}),
        envelope(job_id="text", text=f"it says {PERSON}"),
        envelope(job_id="value", annotations={"who": PERSON}),
        review(3, comment=PERSON),
    ]
    for event in (*about, *of_others):
        assert (await ada.key.post("/api/events", event)).status == 202
    await house.quiet()

    assert await erase(ada.key, person_id=PERSON) == NOTHING | {"events": 3, "deliveries": 3, "attempts": 3}

    left = {row["job_id"] for row in await ada.key.deliveries()}
    assert left == {"annotator", "text", "value", "job_3"}
    [told] = (await ada.key.get("/api/audit", what="events.erased")).body["items"]
    assert PERSON not in json.dumps(told, ensure_ascii=False), "or the trail would keep whom not to keep"


async def test_nothing_is_sent_of_what_was_erased(house: House, ada: Account, receiver: Receiver) -> None:
    await ada.key.register(receiver.url)
    receiver.answers(503)
    await ada.key.publish(job_id="gone")
    await ada.key.publish(job_id="kept")
    await house.quiet()
    replay = (await ada.key.post("/api/replays", {"filter": {"job_id": "gone"}})).body["id"]
    await house.runtime.replays.run()  # it has asked, and nobody has sent yet

    assert (await erase(ada.key, job_id="gone"))["deliveries"] == 1

    receiver.calls.clear()
    await house.later(70)
    assert [json.loads(call.body)["data"]["job_id"] for call in receiver.calls] == ["kept"]
    done = (await ada.key.get(f"/api/replays/{replay}")).body
    assert (done["state"], done["skipped"]["withdrawn"]) == ("finished", 1)


async def test_what_is_on_its_way_is_left_and_logged_and_goes_the_next_time(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    receiver.door.clear()
    await ada.key.publish(job_id="busy")
    await until(lambda: len(receiver.calls) == 1)
    found = {"events": 1, "deliveries": 1, "in_progress": 1}
    assert await erase(ada.key, job_id="busy", dry_run=True) == NOTHING | found

    assert await erase(ada.key, job_id="busy") == NOTHING | {"in_progress": 1}
    receiver.door.set()
    await house.quiet()

    [delivery] = await ada.key.deliveries()
    assert (delivery["status"], delivery["attempts_made"]) == ("delivered", 1)
    assert (await erase(ada.key, job_id="busy"))["attempts"] == 1
    assert "busy" not in await everything(house)


async def test_a_request_that_was_on_its_way_when_it_was_cancelled_is_waited_for(
    house: House, ada: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)
    receiver.door.clear()
    await ada.key.publish(job_id="cancelled")
    await until(lambda: len(receiver.calls) == 1)
    [delivery] = await ada.key.deliveries()
    assert (await ada.key.post(f"/api/deliveries/{delivery['id']}/cancel")).status == 200

    assert await erase(ada.key, job_id="cancelled") == NOTHING | {"in_progress": 1}
    receiver.door.set()
    await house.quiet()
    house.clock.forward(house.runtime.settings.longest_delivery_s + 1)

    assert await erase(ada.key, job_id="cancelled") == NOTHING | {"events": 1, "deliveries": 1, "attempts": 1}


async def test_what_was_erased_may_be_published_again(house: House, ada: Account, receiver: Receiver) -> None:
    await ada.key.register(receiver.url)
    await ada.key.publish(job_id="again")
    await house.quiet()
    await erase(ada.key, job_id="again")
    assert (await ada.key.publish(job_id="again")).body["duplicate"] is False


async def test_others_events_are_not_reached_and_operators_reach_one_account_or_all(
    house: House, ada: Account, operator: Account, receiver: Receiver
) -> None:
    bob = await house.account("bob@example.com")
    for who in (ada, bob):
        await who.key.publish(job_id="shared")

    assert await erase(ada.key, job_id="shared") == NOTHING | {"events": 1}
    assert (await ada.key.post("/api/erasures", {"job_id": "shared", "account_id": bob.id})).code == "not_found"
    assert len((await bob.key.get("/api/events")).body["items"]) == 1

    await ada.key.publish(job_id="shared")
    assert await erase(operator.key, job_id="shared", account_id=ada.id) == NOTHING | {"events": 1}
    assert len((await bob.key.get("/api/events")).body["items"]) == 1
    assert await erase(operator.key, job_id="shared") == NOTHING | {"events": 1}
    assert (await bob.key.get("/api/events")).body["items"] == []


async def test_operators_erase_dead_letters_that_name_the_subject(
    house: House, ada: Account, operator: Account
) -> None:
    broken = json.dumps({"event": "annotation.completed", "data": {"job_id": "job-1"}}).encode()
    of_another = json.dumps({"event": "annotation.completed", "data": {"job_id": "job-2", "text": "job-1"}}).encode()
    await park(house, a_letter(house, ada.id, broken), a_letter(house, ada.id, b"\xff\x00 job-11", number=2))
    await park(house, a_letter(house, ada.id, of_another, number=3))

    assert (await erase(ada.key, job_id="job-1")) == NOTHING
    assert (await erase(operator.key, job_id="job-1", dry_run=True)) == NOTHING | {"dead_letters": 1}
    assert (await erase(operator.key, job_id="job-1")) == NOTHING | {"dead_letters": 1}
    left = (await operator.key.get("/api/dead-letters")).body["items"]
    assert [letter["id"][-1] for letter in left] == ["3", "2"]


@pytest.mark.parametrize("which", [{"job_id": "many"}, {"person_id": "user_many"}], ids=["job", "person"])
async def test_more_than_one_call_erases_goes_on_where_it_left_off(
    house: House, operator: Account, monkeypatch: pytest.MonkeyPatch, which: dict[str, str]
) -> None:
    monkeypatch.setattr(erasure, "_HANDFUL", 3)
    monkeypatch.setattr(erasure, "_STEPS", 2)
    events = [envelope("file.completed", job_id="other")]
    for number in range(10):
        events += [envelope(job_id="many", annotator={"id": "user_many"}) | {"id": f"e{number}"}]
    taken = await operator.key.post("/api/events/batch", {"events": events})
    assert taken.body["accepted"] == 11

    calls, gone, place = 0, 0, dict[str, str]()
    while calls == 0 or place:
        step = await erase(operator.key, **which, **place)
        calls, gone = calls + 1, gone + step["events"]
        assert step["events"] <= 6
        place = {"cursor": step["next"]} if step["next"] else {}
    assert (gone, calls > 1) == (10, True)
    assert [event["data"]["job_id"] for event in (await operator.key.get("/api/events")).body["items"]] == ["other"]


@pytest.mark.parametrize("which", [{}, {"job_id": "a", "person_id": "b"}, {"job_id": ""}, {"person_id": "\n"}])
async def test_it_must_be_said_what_is_meant(ada: Account, which: dict[str, str]) -> None:
    answer = await ada.key.post("/api/erasures", which)
    assert (answer.status, answer.code) == (400, "invalid_payload")


async def test_to_say_nothing_at_all_erases_nothing(ada: Account) -> None:
    answer = await ada.key.call("POST", "/api/erasures")
    assert (answer.status, answer.code) == (400, "invalid_payload")
    assert 'either "job_id" or "person_id"' in answer.body["error"]


async def test_a_key_that_may_only_publish_erases_nothing(house: House, ada: Account) -> None:
    made = await ada.user.post("/api/keys", {"name": "publisher", "scopes": ["publish"]})
    publisher = Caller(house.client, {"X-API-Key": made.body["key"]})
    assert (await publisher.post("/api/erasures", {"job_id": "any"})).status == 403


async def test_from_the_command_line_it_is_counted_asked_for_and_done(tmp_path: Path) -> None:
    program = Program(tmp_path)
    event = tmp_path / "event.json"
    event.write_text(json.dumps(envelope(job_id="ann_1")))
    async with program.serving():
        await program.bootstrap()
        assert (await program.run("publish", str(event))).code == 0
        counted = await program.run("erase", "--job-id", "ann_1", "--dry-run", "--json")
        assert counted.json["events"] == 1, counted
        unasked = await program.run("erase", "--job-id", "ann_1")
        assert unasked.code == 1, "nobody said yes"
        done = await program.run("erase", "--job-id", "ann_1", "--yes")
        assert (done.code, done.out.strip()) == (0, "Erased 1 events, 0 deliveries, 0 attempts")
        neither = await program.run("erase")
        assert neither.code == 2
