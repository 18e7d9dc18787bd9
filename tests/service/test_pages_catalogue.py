"""The event catalogue: what people read of a type, and what the sample that they send becomes."""

import html
import json
import re

import pytest

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, TEST_TYPE
from tests.service.house import PASSWORD, SECRET, Account, Answer, Caller, House

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


async def sign_in(house: House, account: Account) -> Caller:
    """A browser in which somebody has signed in."""
    typed = {"email": account.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", data=typed, headers=SAME_SITE)
    return house.stranger


@pytest.fixture
async def browser(house: House, ada: Account) -> Caller:
    return await sign_in(house, ada)


async def send(browser: Caller, event_type: str) -> Answer:
    """Press the button of a page, wherever it is."""
    page = (await browser.get("/catalogue")).body
    [token] = re.findall(r'name="csrf_token" value="(\w+)"', page)
    typed = {"csrf_token": token}
    return await browser.call("POST", f"/catalogue/{event_type}", data=typed, headers=SAME_SITE)


def rows(page: str) -> dict[str, list[str]]:
    """The table of fields: what stands behind each path."""
    cells = [re.findall(r"<td[^>]*>(?:<span[^>]*>)?(.*?)(?:</span>)?</td>", row) for row in page.split("<tr>")[2:]]
    return {path: [html.unescape(cell) for cell in others] for path, *others in cells}


async def test_every_type_is_listed_and_has_a_page(browser: Caller) -> None:
    listed = (await browser.get("/catalogue")).body
    for event_type in (*PUBLISHED, *OPERATIONAL, TEST_TYPE):
        assert f'href="/catalogue/{event_type}"' in listed
        page = await browser.get(f"/catalogue/{event_type}")
        assert page.status == 200
        assert ("Send a sample</button>" in page.body) == (event_type in PUBLISHED)


async def test_fields_are_shown_through_references_and_choices(browser: Caller) -> None:
    fields = rows((await browser.get("/catalogue/annotation.completed")).body)
    assert fields["event"] == ['"annotation.completed"', "yes", "—"]
    assert fields["data.text"] == ["string", "yes", "up to 32000 characters"]
    assert fields["data.source"] == ["object", "no", "—"]
    assert fields["data.source.system"][1] == "yes"
    assert fields["data.confidence.*"] == ["number", "no", "at least 0, at most 1"]
    assert "or array of string" in fields["data.annotations.*"][0]
    assert fields["data.annotations.*[].start"][1] == "yes"


async def test_a_sample_that_is_copied_can_be_published(browser: Caller, ada: Account) -> None:
    page = (await browser.get("/catalogue/batch.failed")).body
    [sample] = re.findall(r'<pre id="sample"[^>]*>(.*?)</pre>', page, re.DOTALL)
    answer = await ada.key.post("/api/events", json.loads(html.unescape(sample)))
    assert (answer.status, answer.body["duplicate"]) == (202, False)


@pytest.mark.parametrize("event_type", PUBLISHED)
async def test_each_sample_that_is_sent_is_a_new_event_with_its_deliveries(
    event_type: str, browser: Caller, ada: Account
) -> None:
    await ada.user.register("http://127.0.0.1:9/", secret=SECRET)
    first, second = await send(browser, event_type), await send(browser, event_type)
    assert (first.status, second.status) == (303, 303)
    assert first.headers["Location"] != second.headers["Location"]
    event = (await ada.user.get(f"/api{first.headers['Location']}")).body
    assert (event["event"], len(event["deliveries"])) == (event_type, 1)
    assert (await browser.get(first.headers["Location"])).status == 200


@pytest.mark.parametrize("event_type", [*OPERATIONAL, TEST_TYPE, "no.such_type"])
async def test_other_types_cannot_be_sent(event_type: str, browser: Caller, ada: Account) -> None:
    assert (await send(browser, event_type)).status == 404
    assert (await ada.user.get("/api/events")).body["items"] == []


async def test_a_sample_without_proof_is_not_sent(browser: Caller, ada: Account) -> None:
    answer = await browser.call("POST", "/catalogue/batch.failed", data={}, headers=SAME_SITE)
    assert answer.status == 403
    assert (await ada.user.get("/api/events")).body["items"] == []
