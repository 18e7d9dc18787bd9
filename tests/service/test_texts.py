"""Whatever a text means elsewhere: here it is stored, comes back as it was, and is nothing but JSON."""

import re
from urllib.parse import quote

import pytest

from service.api.docs import page
from tests.service.house import Account, Answer, House
from tests.service.texts import TEXTS
from tests.support.receiver import Receiver


def assert_plain(answer: Answer) -> None:
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", TEXTS)
async def test_it_is_stored_and_shown_as_it_was(house: House, ada: Account, receiver: Receiver, name: str) -> None:
    text = TEXTS[name]
    made = await ada.key.register(f"{receiver.url}?{quote(text)}", description=text, filter={"data.text": [text]})

    published = await ada.key.publish(text=text)
    await house.quiet()

    webhook = await ada.key.get(f"/api/webhooks/{made['id']}")
    event = await ada.key.get(f"/api/events/{published.body['id']}")
    (delivery,) = await ada.key.deliveries()
    for answer in (webhook, event, await ada.key.get(f"/api/deliveries/{delivery['id']}")):
        assert_plain(answer)
    assert webhook.body["description"] == text
    assert event.body["data"]["text"] == text
    assert delivery["status"] == "delivered", "the filter compares it as it is"
    assert delivery["url"] == made["url"]
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("name", TEXTS)
async def test_in_a_query_it_finds_nothing_and_breaks_nothing(house: House, ada: Account, name: str) -> None:
    await ada.key.publish()
    for which in ("q", "event", "job_id", "webhook_id", "cursor"):
        answer = await ada.key.get("/api/deliveries", **{which: TEXTS[name]})
        assert_plain(answer)
        assert answer.status == 400 or answer.body["items"] == []


def test_the_page_for_people_escapes_whatever_the_description_holds() -> None:
    hostile = TEXTS["an image that runs"]
    operation = {
        "operationId": hostile,
        "tags": [hostile],
        "summary": hostile,
        "parameters": [{"name": hostile, "in": "query", "schema": {"type": hostile, "description": hostile}}],
        "responses": {"200": {"content": {hostile: {"schema": {"$ref": f"#/{hostile}"}}}}},
        "security": [],
    }
    document = {
        "info": {"title": hostile, "version": hostile, "description": hostile},
        "paths": {f"/api/{hostile}": {"get": operation}},
        "components": {"schemas": {hostile: {"title": hostile}}},
    }
    text = page(document)
    assert "<img" not in text
    assert not re.search(r"<script|onerror=alert\(1\)(?!&gt;)", text)
