"""Section A at the door: registration over the real API."""

from typing import Any

import pytest

from tests.delivery.receivers import receiving, send
from tests.hostile.cases import Case, cases_of, each
from tests.hostile.doors import Door
from tests.hostile.urls import NORMAL_FORMS, URLS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@each(cases_of(URLS))
async def test_a_confusing_url_is_refused_and_nothing_is_stored(door: Door, case: Case[Any]) -> None:
    await door.refuses("url", case.says, url=case.given)


@each(cases_of(NORMAL_FORMS))
async def test_a_url_is_stored_and_shown_in_one_normal_form(door: Door, case: Case[tuple[str, str]]) -> None:
    typed, normal = case.given
    assert (await door.takes(url=typed))["url"] == normal


async def test_percent_encoded_line_ends_stay_inside_the_one_request_line() -> None:
    async with receiving() as receiver:
        outcome = await send(receiver.url("/%0d%0aX-Evil:%201"))
    assert outcome.failure is None
    (request,) = receiver.requests
    assert request.startswith(b"POST /%0d%0aX-Evil:%201 HTTP/1.1\r\n")
    assert b"\nX-Evil" not in request


async def test_what_a_change_asks_for_is_held_to_the_same_rules(door: Door) -> None:
    made = (await door.register()).body
    path = f"/api/webhooks/{made['id']}"
    for case in cases_of(URLS):
        answer = await door.account.key.patch(path, url=case.given)
        assert (answer.status, answer.body.get("field")) == (422, "url"), case
    (stored,) = await door.webhooks()
    assert stored["url"] == "https://example.com/"
    await door.account.key.delete(path)
