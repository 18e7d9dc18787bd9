"""Dead letters, for operators: looking, publishing again, forgetting."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from delivery.store import dead_letters
from delivery.store.dead_letters import DeadLetter
from tests.service.house import Account, House
from tests.support.program import Program
from tests.support.samples import envelope


def a_letter(house: House, account_id: str, body: bytes, number: int = 1) -> DeadLetter:
    return DeadLetter(
        id=f"dead_{number:028x}",
        received_at=house.clock.now() + timedelta(seconds=number),
        queue="hookline.annotation",
        routing_key="annotation.completed",
        reason="invalid_payload",
        detail="data.job_id is missing",
        content_type="application/json",
        headers={"account-id": account_id},
        body=body,
    )


async def park(house: House, *letters: DeadLetter) -> None:
    async with house.runtime.store.writing() as tx:
        await dead_letters.park(tx, letters)


async def listed(operator: Account) -> list[Any]:
    items: list[Any] = (await operator.key.get("/api/dead-letters")).body["items"]
    return items


async def test_a_dead_letter_is_shown_with_its_reason_and_its_body(
    house: House, ada: Account, operator: Account
) -> None:
    await park(house, a_letter(house, ada.id, b'{"no": "event"}'), a_letter(house, ada.id, b"\xff\x00", number=2))

    second, first = await listed(operator)
    shown = (await operator.key.get(f"/api/dead-letters/{first['id']}")).body
    binary = (await operator.key.get(f"/api/dead-letters/{second['id']}")).body

    assert (first["reason"], first["detail"], first["size"]) == ("invalid_payload", "data.job_id is missing", 15)
    assert first["received_at"] == "2026-01-01T12:00:01.000Z"
    assert shown == first | {"body": '{"no": "event"}', "encoding": "utf-8"}
    assert (binary["body"], binary["encoding"]) == (base64.b64encode(b"\xff\x00").decode(), "base64")


async def test_a_message_whose_fault_is_gone_is_published_again_and_forgotten(
    house: House, ada: Account, operator: Account
) -> None:
    await park(house, a_letter(house, ada.id, json.dumps(envelope(job_id="revived")).encode()))
    (letter,) = await listed(operator)

    answer = await operator.key.call("POST", f"/api/dead-letters/{letter['id']}/requeue")

    assert answer.status == 202
    assert await listed(operator) == []
    (event,) = (await ada.key.get("/api/events")).body["items"]
    assert event["data"]["job_id"] == "revived"


@pytest.mark.parametrize("form", [json.dumps, lambda event: event], ids=["as text", "as an object"])
async def test_a_message_can_be_mended_on_its_way_back(
    house: House, ada: Account, operator: Account, form: Any
) -> None:
    await park(house, a_letter(house, ada.id, b'{"no": "event"}'))
    (letter,) = await listed(operator)
    path = f"/api/dead-letters/{letter['id']}/requeue"

    assert (await operator.key.post(path, {"body": form(envelope("batch.failed"))})).status == 202

    assert await listed(operator) == []
    (event,) = (await ada.key.get("/api/events")).body["items"]
    assert event["event"] == "batch.failed"


async def test_the_command_line_publishes_what_is_in_a_file_in_its_place(
    house: House, ada: Account, operator: Account, tmp_path: Path
) -> None:
    await park(house, a_letter(house, ada.id, b'{"no": "event"}'))
    (letter,) = await listed(operator)
    program = Program(tmp_path, {"URL": str(house.client.make_url("/")), "API_KEY": operator.api_key})
    words = ("dead-letters", "requeue", letter["id"], "--body")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    assert (await program.run(*words, "latin.json")).err == "Error: latin.json is not UTF-8\n"
    assert "Not valid JSON" in (await program.run(*words, "-", stdin="{")).err
    assert await listed(operator) == [letter]

    done = await program.run(*words, "-", stdin=json.dumps(envelope("batch.failed")))

    assert (done.code, done.out) == (0, f"Requeued {letter['id']}\n")
    assert await listed(operator) == []
    (event,) = (await ada.key.get("/api/events")).body["items"]
    assert event["event"] == "batch.failed"


async def test_what_still_cannot_be_used_comes_back(house: House, ada: Account, operator: Account) -> None:
    await park(house, a_letter(house, ada.id, b'{"no": "event"}'))
    (letter,) = await listed(operator)
    assert (await operator.key.post(f"/api/dead-letters/{letter['id']}/requeue")).status == 202
    (again,) = await listed(operator)
    assert again["id"] != letter["id"]
    assert again["reason"] == "invalid_payload"


async def test_a_mended_body_that_is_no_json_is_refused_and_the_letter_kept(
    house: House, ada: Account, operator: Account
) -> None:
    await park(house, a_letter(house, ada.id, b"{}"))
    (letter,) = await listed(operator)
    answer = await operator.key.post(f"/api/dead-letters/{letter['id']}/requeue", {"body": "{"})
    assert (answer.status, answer.code) == (400, "invalid_json")
    assert await listed(operator) == [letter]


async def test_while_the_bus_is_away_a_letter_is_kept(house: House, ada: Account, operator: Account) -> None:
    await park(house, a_letter(house, ada.id, b"{}"))
    (letter,) = await listed(operator)
    house.runtime.bus._desks.clear()  # type: ignore[attr-defined] # as if the bus were not running
    answer = await operator.key.post(f"/api/dead-letters/{letter['id']}/requeue")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert await listed(operator) == [letter]


async def test_a_dead_letter_can_be_forgotten(house: House, ada: Account, operator: Account) -> None:
    await park(house, a_letter(house, ada.id, b"{}"))
    (letter,) = await listed(operator)
    assert (await operator.key.delete(f"/api/dead-letters/{letter['id']}")).status == 204
    for method, last in (("DELETE", ""), ("GET", ""), ("POST", "/requeue")):
        answer = await operator.key.call(method, f"/api/dead-letters/{letter['id']}{last}")
        assert (answer.status, answer.code) == (404, "not_found")
