"""The pages of events: what people find there, and that they see why a webhook got an event or not."""

import html
import re

import pytest

from tests.service.house import PASSWORD, Account, Caller, House


@pytest.fixture
async def browser(house: House, ada: Account) -> Caller:
    """A browser in which Ada has signed in."""
    typed = {"email": ada.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", data=typed, headers={"Sec-Fetch-Site": "same-origin"})
    return house.stranger


async def test_an_event_is_found_by_its_type_and_shown_with_its_exact_bytes(browser: Caller, ada: Account) -> None:
    typed = "<b>job</b>"
    event_id = (await ada.key.publish("batch.completed", name=typed)).body["id"]
    await ada.key.publish("file.completed")

    found = (await browser.get("/events", event="batch.completed")).body
    page = (await browser.get(f"/events/{event_id}")).body

    assert f'href="/events/{event_id}"' in found
    assert len(re.findall(r'class="name" href="/events/', found)) == 1
    assert typed not in page
    [raw] = re.findall(r'<pre id="raw"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert html.unescape(raw) == (await ada.key.get(f"/api/events/{event_id}")).body["body"]


async def test_an_event_says_why_a_webhook_did_not_get_it_and_where_to_change_that(
    browser: Caller, ada: Account
) -> None:
    deaf = await ada.user.register("http://127.0.0.1:9/deaf", events=["file.*"])
    picky = await ada.user.register("http://127.0.0.1:9/picky", filter={"data.project_id": "another"})
    event_id = (await ada.key.publish("batch.failed")).body["id"]

    page = (await browser.get(f"/events/{event_id}")).body

    assert "It is not subscribed to batch.failed." in page
    assert f'<a href="/webhooks/{deaf["id"]}/edit">Subscribe to batch.failed or batch.*</a>' in page
    assert f'<a href="/webhooks/{picky["id"]}/edit">Change its filter</a>' in page


async def test_the_events_of_others_are_not_there(browser: Caller, house: House) -> None:
    bob = await house.account("bob@example.com")
    event_id = (await bob.key.publish()).body["id"]
    answer = await browser.get(f"/events/{event_id}")
    assert (answer.status, "<h1>Not found</h1>" in answer.body) == (404, True)
    assert event_id not in (await browser.get("/events")).body


async def test_an_empty_list_says_what_to_do(browser: Caller) -> None:
    assert '<a href="/catalogue">Send a sample</a>' in (await browser.get("/events")).body
    assert "look at everything" in (await browser.get("/events", job_id="none")).body
