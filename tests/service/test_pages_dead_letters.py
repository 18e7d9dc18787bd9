"""The pages of dead letters: what operators see of a message that nobody could use, and how it gets back on its way."""

import html
import json
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest

from consumers.wire import Message
from delivery.domain.envelope import MOST_BYTES
from tests.service.house import PASSWORD, Account, Answer, Caller, House
from tests.support.samples import envelope

OURS = {"Sec-Fetch-Site": "same-origin"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
RUBBISH = b'{\r\n  "no": "event",\n  "text": "\xc3\xa9 <b>"\n}\n'


@dataclass
class Desk:
    """Somebody who is signed in, at the dead letters."""

    caller: Caller
    token: str

    async def see(self, path: str, **query: Any) -> Answer:
        return await self.caller.get(path, **query)

    async def send(self, path: str, **fields: str) -> Answer:
        """Send a form, as browsers do: with CR LF for every line break."""
        typed = {name: text.replace("\n", "\r\n") for name, text in fields.items()} | {"csrf_token": self.token}
        data = BytesIO(urlencode(typed).encode())
        return await self.caller.call("POST", path, data=data, headers=OURS | FORM)


async def sign_in(house: House, account: Account) -> Desk:
    typed = {"email": account.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", data=typed, headers=OURS)
    page = (await house.stranger.get("/")).body
    return Desk(house.stranger, re.findall(r'name="csrf_token" value="(\w+)"', page)[0])


@pytest.fixture
async def desk(house: House, operator: Account) -> Desk:
    return await sign_in(house, operator)


async def publish(house: House, account: Account, body: bytes = RUBBISH, routing_key: str = "batch.failed") -> None:
    """Publish a message over the bus, whatever it holds; it is settled when this returns."""
    headers = {"account-id": account.id, "x-shift": "night"}
    await house.runtime.bus.publish(Message(body, routing_key, headers, "application/json"))


async def letters(operator: Account) -> list[Any]:
    """All of them in full, newest first."""
    listed = (await operator.key.get("/api/dead-letters")).body["items"]
    return [(await operator.key.get(f"/api/dead-letters/{one['id']}")).body for one in listed]


def typed_in(page: str) -> str:
    """What browsers show: they know one kind of line ends."""
    [text] = re.findall(r'<textarea id="body"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    return html.unescape(text).replace("\r\n", "\n")


# -- looking -----------------------------------------------------------------------------------------------------------


async def test_without_any_the_page_says_what_dead_letters_are(desk: Desk) -> None:
    assert "A message from the bus that nobody can use is put aside here" in (await desk.see("/dead-letters")).body


async def test_what_could_not_be_used_is_listed_and_shown_with_its_reason_in_words(
    house: House, desk: Desk, ada: Account, operator: Account
) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)

    listed = (await desk.see("/dead-letters")).body
    page = (await desk.see(f"/dead-letters/{letter['id']}")).body

    assert f'href="/dead-letters/{letter["id"]}">It is not what its type must be</a>' in listed
    assert "hookline.batch" in listed
    for fact in (
        letter["detail"],
        letter["reason"],
        "hookline.batch",
        "batch.failed",
        "x-shift",
        "night",
        f"{len(RUBBISH)} bytes",
    ):
        assert fact in html.unescape(page)
    assert typed_in(page).encode() == RUBBISH.replace(b"\r\n", b"\n")
    assert "<b>" not in page


async def test_the_list_goes_on_where_it_stopped(house: House, desk: Desk, ada: Account, operator: Account) -> None:
    for number in range(3):
        await publish(house, ada, json.dumps({"number": number}).encode())
        house.clock.forward(1)
    ids = [letter["id"] for letter in await letters(operator)]
    first = (await desk.see("/dead-letters", limit=2)).body
    [older] = re.findall(r'rel="next" href="(/dead-letters\?[^"]+)"', first)
    second = (await desk.see(html.unescape(older))).body
    assert [re.findall(r'<a id="(dead_\w+)"', page) for page in (first, second)] == [ids[:2], ids[2:]]


async def test_home_counts_them_up_to_a_hundred_and_leads_there(house: House, desk: Desk, ada: Account) -> None:
    await publish(house, ada)
    assert '<a id="dead-letters" href="/dead-letters">1</a>' in (await desk.see("/")).body
    for _ in range(100):
        await publish(house, ada)
    assert '<a id="dead-letters" href="/dead-letters">100+</a>' in (await desk.see("/")).body


async def test_they_are_for_operators_only(house: House, ada: Account, operator: Account) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)
    customer = await sign_in(house, ada)
    path = f"/dead-letters/{letter['id']}"
    assert "/dead-letters" not in (await customer.see("/")).body
    assert [(await customer.see(one)).status for one in ("/dead-letters", path)] == [403, 403]
    assert [(await customer.send(f"{path}/{what}")).status for what in ("requeue", "discard")] == [403, 403]
    assert await letters(operator) == [letter]


# -- requeueing --------------------------------------------------------------------------------------------------------


async def test_left_as_it_is_it_is_published_again_byte_for_byte(
    house: House, desk: Desk, ada: Account, operator: Account
) -> None:
    await publish(house, ada)
    [before] = await letters(operator)
    page = (await desk.see(f"/dead-letters/{before['id']}")).body

    answer = await desk.send(f"/dead-letters/{before['id']}/requeue", body=typed_in(page))

    assert (answer.status, answer.headers["Location"]) == (303, "/dead-letters?said=requeued")
    assert "Requeued." in (await desk.see("/dead-letters", said="requeued")).body
    [after] = await letters(operator)
    assert after["id"] != before["id"]
    assert after["body"].encode() == RUBBISH
    assert after["headers"] == before["headers"]


async def test_mended_it_becomes_the_event_that_it_should_have_been(
    house: House, desk: Desk, ada: Account, operator: Account
) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)
    mended = json.dumps(envelope("file.completed", job_id="mended"), indent=2)

    answer = await desk.send(f"/dead-letters/{letter['id']}/requeue", body=mended)

    assert answer.status == 303
    assert await letters(operator) == []
    [event] = (await ada.key.get("/api/events")).body["items"]
    assert (event["event"], event["data"]["job_id"]) == ("file.completed", "mended")


@pytest.mark.parametrize(
    ("typed", "status", "problem"),
    [
        ('{"event": "<i>"', 400, "Not valid JSON"),
        ('{"a": 1, "a": 2}', 400, 'member "a" occurs twice'),
        (" \n", 400, "There is nothing to publish"),
        ('"' + "x" * MOST_BYTES + '"', 413, "at most 262,144 bytes"),
    ],
    ids=["no JSON", "twice", "empty", "too large"],
)
async def test_a_bad_edit_is_told_where_it_was_typed_and_nothing_is_lost(
    house: House, desk: Desk, ada: Account, operator: Account, *, typed: str, status: int, problem: str
) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)
    answer = await desk.send(f"/dead-letters/{letter['id']}/requeue", body=typed)
    assert answer.status == status
    [told] = re.findall(r'<p class="problem" id="body-problem" role="alert">(.*?)</p>', answer.body)
    assert problem in html.unescape(told)
    assert typed_in(answer.body) == typed
    assert "<i>" not in answer.body
    assert await letters(operator) == [letter]


async def test_while_the_bus_is_away_what_was_typed_is_still_there(
    house: House, desk: Desk, ada: Account, operator: Account
) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)
    house.runtime.bus._desks.clear()  # type: ignore[attr-defined] # as if the bus were not running
    answer = await desk.send(f"/dead-letters/{letter['id']}/requeue", body='{"mended": true}')
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "The bus is away" in answer.body
    assert typed_in(answer.body) == '{"mended": true}'
    assert await letters(operator) == [letter]


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00", b'{"nul": "\x00"}', b'"' + b"x" * MOST_BYTES + b'"'], ids=["no text", "NUL", "too large"]
)
async def test_what_no_form_brings_back_is_requeued_unedited_only(
    house: House, desk: Desk, ada: Account, operator: Account, body: bytes
) -> None:
    await publish(house, ada, body)
    [letter] = await letters(operator)
    path = f"/dead-letters/{letter['id']}"
    page = (await desk.see(path)).body
    assert "<textarea" not in page
    assert "It is requeued as it is, byte for byte." in page

    edited = await desk.send(f"{path}/requeue", body="{}")
    assert (edited.status, "This body cannot be edited" in edited.body) == (400, True)
    assert await letters(operator) == [letter]

    assert (await desk.send(f"{path}/requeue")).status == 303
    [after] = await letters(operator)
    assert (after["body"], after["encoding"]) == (letter["body"], letter["encoding"])
    assert after["id"] != letter["id"]


async def test_a_body_of_256_kib_can_be_mended(house: House, desk: Desk, ada: Account, operator: Account) -> None:
    large = json.dumps(envelope("batch.failed", note="é" * 125_000), ensure_ascii=False)
    assert 240 * 1024 < len(large.encode()) <= MOST_BYTES
    await publish(house, ada, large[1:].encode())
    [letter] = await letters(operator)
    assert (await desk.send(f"/dead-letters/{letter['id']}/requeue", body=large)).status == 303
    assert await letters(operator) == []
    assert len((await ada.key.get("/api/events")).body["items"]) == 1


# -- discarding --------------------------------------------------------------------------------------------------------


async def test_a_letter_is_discarded_and_who_comes_later_is_told(
    house: House, desk: Desk, ada: Account, operator: Account
) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)
    path = f"/dead-letters/{letter['id']}"

    answer = await desk.send(f"{path}/discard")

    assert (answer.status, answer.headers["Location"]) == (303, "/dead-letters?said=discarded")
    assert "Discarded." in (await desk.see("/dead-letters", said="discarded")).body
    assert await letters(operator) == []
    late = [await desk.see(path), await desk.send(f"{path}/requeue", body="{}"), await desk.send(f"{path}/discard")]
    assert [(answer.status, "<h1>Not found</h1>" in answer.body) for answer in late] == [(404, True)] * 3
    assert (await ada.key.get("/api/events")).body["items"] == []


async def test_without_proof_nothing_happens_to_a_letter(
    house: House, desk: Desk, ada: Account, operator: Account
) -> None:
    await publish(house, ada)
    [letter] = await letters(operator)
    for what in ("requeue", "discard"):
        assert (await Desk(desk.caller, "").send(f"/dead-letters/{letter['id']}/{what}")).status == 403
    assert await letters(operator) == [letter]
