"""Every page: readable on a phone, without barriers, by day and by night; and a new customer's way through them."""

import pytest
from playwright.async_api import Browser

from delivery.store import dead_letters
from delivery.store.dead_letters import DeadLetter
from delivery.store.engine import Store
from tests.browser.chromium import DESK, PHONE, Person, at_a_page
from tests.support.clock import NOON
from tests.support.program import Program
from tests.support.receiver import Receiver

pytestmark = pytest.mark.slow

PAGES = (
    "/",
    "/webhooks",
    "/webhooks/new",
    "/deliveries",
    "/deliveries?status=failed",
    "/replays",
    "/replays/new",
    "/replays/new?status=delivered",
    "/events",
    "/catalogue",
    "/catalogue/batch.failed",
    "/debugger",
    "/keys",
    "/api/docs",
    "/audit",
    "/audit?who=nobody",
    "/sources",
    "/sources/new",
    "/sources/new?system=potato",
    "/sources/new?system=taskmonk",
    "/bus",
    "/dead-letters",
)

LETTER = DeadLetter(
    id=f"dead_{1:028x}",
    received_at=NOON,
    queue="hookline.annotation",
    routing_key="annotation.completed",
    reason="invalid_payload",
    detail='"job_id" is a required property',
    content_type="application/json",
    headers={"account-id": "acc_1", "x-a-name-that-is-long": "and a value that is longer than any telephone is wide"},
    body=b'{"event": "annotation.completed", "timestamp": "2026-01-01T12:00:00.000Z", "data": {}}',
)


async def test_a_new_customer_registers_a_webhook_and_sees_a_sample_arrive(person: Person, receiver: Receiver) -> None:
    await person.signs_in()
    await person.sees("Three steps to the first delivery")
    await person.clicks("Register a webhook")
    await person.page.get_by_label("URL").fill(receiver.url)
    await person.page.get_by_label("annotation.completed").check()
    await person.page.locator("main form button").last.click()
    await person.sees("whsec_")

    await person.clicks("Event catalogue")
    await person.clicks("annotation.completed")
    await person.page.get_by_role("button", name="Send a sample").click()
    await person.sees("annotation.completed", "delivered")
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_every_page_is_readable_and_without_barriers(
    program: Program, store: Store, browser: Browser, receiver: Receiver, *, size: tuple[int, int], dark: bool
) -> None:
    await program.bootstrap("--operator")  # who may see every page
    async with store.writing() as tx:
        await dead_letters.park(tx, [LETTER])
    webhook = await program.register(receiver.url)
    await program.run("trigger", "batch.failed")
    # the receiver is no Potato: the source is in trouble, and its page says much
    added = await program.run(
        "sources",
        "add",
        "potato",
        receiver.url,
        "--name",
        "Product reviews of the autumn",
        "--credential",
        "api_key=x",
        "--json",
    )
    source = added.json["id"]
    async with at_a_page(browser, program.settings["URL"], size, dark=dark) as person:
        await person.goes_to("/deliveries")
        await person.signs_in()
        await person.sees("delivered")
        delivery = await person.page.locator("tbody a").first.get_attribute("href")
        of_one = (f"/webhooks/{webhook['id']}", str(delivery), f"/dead-letters/{LETTER.id}", f"/sources/{source}")
        for path in (*PAGES, *of_one, f"/sources/{source}/edit"):
            await person.goes_to(path)
            assert await person.barriers() == [], path
            assert await person.width() <= size[0], path
        assert person.faults == []
