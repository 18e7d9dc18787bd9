"""The signature debugger: what people paste, what they are told, and what nobody sees again."""

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest

from delivery.domain.signing import seed_signature, standard_secret
from tests.service.house import PASSWORD, SECRET, Account, Answer, Caller, House
from tests.support.receiver import Call, Receiver

OURS = {"Sec-Fetch-Site": "same-origin"}
OTHER = "another-secret-altogether"


@dataclass
class Desk:
    """Somebody at the debugger: what they paste becomes what they are told."""

    caller: Caller
    token: str

    async def debug(self, body: str, headers: str, secret: str = SECRET) -> Answer:
        typed = {"csrf_token": self.token, "body": body, "headers": headers, "secret": secret}
        return await self.send("/debugger", typed)

    async def send(self, path: str, typed: Mapping[str, str]) -> Answer:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.caller.call("POST", path, data=BytesIO(urlencode(typed).encode()), headers=OURS | form)

    async def told(self, body: str, headers: str, secret: str = SECRET) -> str:
        """The notes as text; a page that says nothing fails."""
        answer = await self.debug(body, headers, secret)
        assert answer.status == 200, answer.body
        return notes(answer)


def notes(answer: Answer) -> str:
    [section] = re.findall(r'<section aria-labelledby="found".*?</section>', answer.body, re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section)))


def typed_in(page: str, name: str) -> str:
    [text] = re.findall(rf'<textarea id="{name}"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    return html.unescape(text)


def as_lines(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


@pytest.fixture
async def desk(house: House, ada: Account) -> Desk:
    typed = {"email": ada.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", data=typed, headers=OURS)
    page = (await house.stranger.get("/debugger")).body
    [token] = re.findall(r'name="csrf_token" value="(\w+)"', page)[:1]
    return Desk(house.stranger, token)


@pytest.fixture
async def got(house: House, ada: Account, receiver: Receiver) -> Call:
    """What Ada's receiver got of an event with an é in it."""
    await ada.user.register(receiver.url)
    await ada.key.publish(note="é")
    await house.quiet()
    [call] = receiver.calls
    return call


async def test_what_came_as_it_came_verifies(desk: Desk, got: Call) -> None:
    told = await desk.told(got.body.decode(), as_lines(got.headers))
    assert told.startswith(" It verifies")
    assert told.count("It verifies") == 3  # the heading, and each of the two headers
    assert "The secret is the webhook's" in told
    assert "The body is the one that was sent" in told


async def test_headers_are_read_as_programs_write_them(desk: Desk, got: Call) -> None:
    names = ("webhook-signature", "webhook-id", "webhook-timestamp")
    for form in (
        "\n".join(f"HTTP_{name.upper().replace('-', '_')}={got.headers[name]}" for name in names),
        json.dumps({name.title(): got.headers[name] for name in names}, indent=2),
        "\n".join(f'-H "{name}: {got.headers[name]}" \\' for name in reversed(names)),
    ):
        told = await desk.told(got.body.decode(), form)
        assert "webhook-signature" in told
        assert told.count("It verifies") == 2


async def test_a_body_that_a_framework_wrote_again_is_told_with_what_to_do(desk: Desk, got: Call) -> None:
    pretty = json.dumps(json.loads(got.body), indent=2)
    signature = "X-Tagmatic-Signature: " + got.headers["X-Tagmatic-Signature"]
    told = await desk.told(pretty, signature)
    assert "blanks and line breaks between its members" in told
    assert "written as escapes" in told
    assert "sign the raw bytes" in told
    assert "another secret" not in told


async def test_another_secret_is_told_apart_from_another_body_by_what_the_log_has(desk: Desk, got: Call) -> None:
    with_other_secret = await desk.told(got.body.decode(), as_lines(got.headers), OTHER)
    assert (
        f"This is not the secret of the webhook the webhook The one that is valid ends in {SECRET[-4:]}."
        in with_other_secret
    )
    assert "The body is the one that was sent" in with_other_secret

    with_other_body = await desk.told(got.body.decode().replace("é", "e"), as_lines(got.headers))
    assert "The secret is the webhook's" in with_other_body
    assert "It says something else, first at data.note." in with_other_body


async def test_an_id_of_the_event_is_enough_to_find_what_was_sent(desk: Desk, got: Call) -> None:
    few = f"webhook-id: {got.headers['webhook-id']}\nX-Tagmatic-Signature: sha256={'0' * 64}"
    told = await desk.told(got.body.decode(), few)
    assert "Not as it was sent: x-tagmatic-signature" in told


async def test_the_form_for_libraries_is_the_secret_of_the_webhook_too(desk: Desk, got: Call) -> None:
    names = ("webhook-signature", "webhook-id", "webhook-timestamp")
    told = await desk.told(
        got.body.decode(), as_lines({name: got.headers[name] for name in names}), standard_secret(SECRET)
    )
    assert told.count("It verifies") == 2
    assert "The secret is the webhook's" in told


async def test_headers_of_several_attempts_are_told_apart(
    house: House, desk: Desk, got: Call, ada: Account, receiver: Receiver
) -> None:
    [delivery] = await ada.user.deliveries()
    house.clock.forward(10)
    await ada.user.post(f"/api/deliveries/{delivery['id']}/retry")
    await house.later()
    again = receiver.calls[-1]
    mixed = {**got.headers, "webhook-timestamp": again.headers["webhook-timestamp"]}
    told = await desk.told(got.body.decode(), as_lines(mixed))
    assert "webhook-id or webhook-timestamp is not what was signed" in told
    assert "The headers are of several attempts" in told


async def test_a_header_without_a_signature_that_a_secret_makes_is_told(desk: Desk) -> None:
    told = await desk.told("{}", "webhook-signature: v1a,c2lnbmF0dXJl")
    assert "There is no signature of the kind v1 in it" in told


async def test_of_a_webhook_that_was_deleted_there_is_the_log_alone(desk: Desk, got: Call, ada: Account) -> None:
    [webhook] = (await ada.key.get("/api/webhooks")).body["items"]
    await ada.key.delete(f"/api/webhooks/{webhook['id']}")
    told = await desk.told(got.body.decode(), as_lines(got.headers), OTHER)
    assert "The body is the one that was sent" in told
    assert "the webhook" not in told.replace("page of the webhook", "")


async def test_a_secret_that_was_replaced_is_told_to_be_the_older_one(
    house: House, desk: Desk, got: Call, ada: Account, receiver: Receiver
) -> None:
    [webhook] = (await ada.key.get("/api/webhooks")).body["items"]
    rotated = await ada.key.post(f"/api/webhooks/{webhook['id']}/rotate", {"secret": OTHER, "overlap_seconds": 60})
    assert rotated.status == 200
    await ada.key.publish("batch.failed")
    await house.quiet()
    call = receiver.calls[-1]

    during = await desk.told(call.body.decode(), as_lines(call.headers))
    assert "yours is an older one" in during
    assert "webhook-signature, signature 2" in during

    await house.later(61)
    after = await desk.told(call.body.decode(), as_lines(call.headers))
    assert f"is no longer valid the webhook The one that is valid ends in {OTHER[-4:]}." in after


async def test_a_delivery_of_two_hours_ago_verifies_and_its_time_is_told(house: House, desk: Desk, got: Call) -> None:
    await house.later(7200)
    told = await desk.told(got.body.decode(), as_lines(got.headers))
    assert "Its time is 2 h ago" in told
    assert told.count("It verifies") == 2


async def test_a_delivery_that_was_refused_leads_here_with_what_was_sent(
    house: House, desk: Desk, ada: Account, receiver: Receiver
) -> None:
    receiver.answers(401)
    await ada.user.register(receiver.url)
    await ada.key.publish()
    await house.quiet()
    [delivery] = await ada.user.deliveries()
    page = (await desk.caller.get(f"/deliveries/{delivery['id']}")).body
    assert f'href="/debugger?delivery={delivery["id"]}"' in page

    form = (await desk.caller.get("/debugger", delivery=delivery["id"])).body

    body, headers = typed_in(form, "body"), typed_in(form, "headers")
    assert body.encode() == receiver.calls[-1].body
    assert "It verifies" in await desk.told(body, headers)


@pytest.mark.parametrize(
    ("typed", "problem", "where"),
    [
        ({"body": ""}, "Paste the body", "body"),
        ({"headers": "Content-Type: application/json"}, "There is no signature in it", "headers"),
        ({"secret": ""}, "Type the secret", "secret"),
    ],
)
async def test_what_is_missing_is_told_where_it_belongs_and_the_rest_stays(
    desk: Desk, typed: dict[str, Any], problem: str, where: str
) -> None:
    answer = await desk.debug(**{"body": "<b>{}", "headers": "sha256=<i>", "secret": SECRET} | typed)
    assert answer.status == 400
    assert re.search(rf'<p class="problem" id="{where}-problem" role="alert">{problem}', answer.body)
    left = {"body": "<b>{}", "headers": "sha256=<i>"} | typed
    assert (typed_in(answer.body, "body"), typed_in(answer.body, "headers")) == (left["body"], left["headers"])
    assert "<b>" not in answer.body


@pytest.mark.parametrize("headers", ["sha256=0", "nothing that is a header", "X-Tagmatic-Delivery: dlv_1\nsha256=0"])
async def test_the_secret_is_nowhere_to_be_seen_again(desk: Desk, logged: Callable[[], str], headers: str) -> None:
    answer = await desk.debug("{}", headers, OTHER)
    assert OTHER not in answer.body + str(answer.headers)
    told = logged()
    assert "/debugger" in told
    assert OTHER not in told


async def test_the_deliveries_of_others_are_not_compared_with(house: House, desk: Desk, receiver: Receiver) -> None:
    bob = await house.account("bob@example.com")
    await bob.user.register(receiver.url)
    await bob.key.publish()
    await house.quiet()
    [call] = receiver.calls
    told = await desk.told(call.body.decode(), as_lines(call.headers))
    assert "the log" not in told
    assert "the webhook" not in told
    [delivery] = await bob.user.deliveries()
    assert (await desk.caller.get("/debugger", delivery=delivery["id"])).status == 404


async def test_a_body_of_256_kib_fits_whatever_is_in_it(desk: Desk) -> None:
    body = json.dumps({"text": "é\n" * 60_000 + '"' * 10_000}, ensure_ascii=False)
    assert len(body.encode()) > 250 * 1024
    assert "It verifies" in await desk.told(body, seed_signature(body.encode(), SECRET))


async def test_more_than_fits_is_refused_with_a_page(desk: Desk) -> None:
    answer = await desk.debug("x" * 1024 * 1024, "sha256=0")
    assert (answer.status, "at most 1,048,576 bytes" in answer.body) == (413, True)
    assert "<h1>This did not work</h1>" in answer.body
    typed = {"csrf_token": desk.token, "name": "x" * 20_000}
    elsewhere = await desk.send("/keys", typed)
    assert (elsewhere.status, "at most 16,384 bytes" in elsewhere.body) == (413, True)


async def test_without_proof_nothing_is_looked_into(desk: Desk) -> None:
    answer = await Desk(desk.caller, "").debug("{}", "sha256=0")
    assert answer.status == 403
