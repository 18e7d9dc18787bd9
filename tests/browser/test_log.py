"""What people do with the log: they watch it, find a delivery, see why it failed, and send again what did."""

import asyncio

import pytest
from playwright.async_api import expect

from service.client import open_api
from tests.browser.chromium import Person
from tests.support.program import Program
from tests.support.receiver import Receiver, verifies
from tests.support.samples import envelope

pytestmark = pytest.mark.slow

SECRET = "your-webhook-signing-secret"


async def publish(program: Program, *jobs: str, **data: str) -> None:
    async with open_api(program.settings["URL"], program.settings["API_KEY"]) as api:
        await api.post("/api/events/batch", {"events": [envelope(job_id=job, **data) for job in jobs]})


async def test_a_delivery_shows_up_by_itself_and_tells_when_it_is_tried_again(
    program: Program, person: Person, receiver: Receiver
) -> None:
    receiver.answers(503, 200)
    await program.register(receiver.url)
    await person.signs_in()
    await person.clicks("Deliveries")
    await person.sees("No deliveries yet")

    await publish(program, "job_seen_live")
    await person.sees("job_seen_live", "pending", "503")

    await person.clicks("annotation.completed")
    await person.sees("The receiver failed", "Retry 5")
    countdown = person.page.locator("dl.facts time[data-countdown]")
    before = await countdown.inner_text()
    assert before.startswith("in ")
    await expect(countdown).not_to_have_text(before)

    await person.clicks("Retry now")
    await person.sees("delivered", "Attempt 2", "manual")
    assert len(receiver.calls) == 2


async def test_the_curl_line_makes_the_same_signed_request_once_more(
    program: Program, person: Person, receiver: Receiver
) -> None:
    await program.register(receiver.url, SECRET)
    await publish(program, "job_1", note='it\'s "quoted" $HOME `ls` \\ é')
    await person.signs_in()
    await person.clicks("Deliveries")
    await person.clicks("annotation.completed")
    await person.page.get_by_text("Request and response").click()
    await person.page.locator(".copyable", has_text="curl -X POST").get_by_role("button", name="Copy").click()
    line: str = await person.page.evaluate("navigator.clipboard.readText()")

    curl = await asyncio.create_subprocess_shell(line)
    assert await curl.wait() == 0
    first, again = receiver.calls
    assert again.body == first.body
    assert verifies(again, SECRET)
    assert {name: again.headers[name] for name in first.headers} == dict(first.headers)


async def test_a_link_to_a_filtered_log_can_be_sent_to_a_colleague(
    program: Program, person: Person, receiver: Receiver
) -> None:
    await program.register(receiver.url)
    await publish(program, "job_a", "job_b")
    await person.signs_in()
    await person.clicks("Deliveries")
    await person.sees("job_a", "job_b")
    await person.page.keyboard.press("/")
    await person.page.keyboard.type("job_a")
    await person.page.keyboard.press("Enter")
    await person.does_not_see("job_b")
    await person.sees("job_a")
    assert person.page.url.endswith("/deliveries?q=job_a")

    await person.clicks("Sign out")
    await person.page.goto(f"{person.url}/deliveries?q=job_b")
    await person.signs_in()
    await person.sees("job_b")
    await person.does_not_see("job_a")


async def test_all_that_failed_is_sent_again_before_ones_eyes(
    program: Program, person: Person, receiver: Receiver
) -> None:
    receiver.answers(500)
    await program.register(receiver.url, retry_schedule=[])
    jobs = [f"job_{number}" for number in range(4)]  # with more of them in a row, the circuit would open
    await publish(program, *jobs)
    await person.signs_in()
    await person.goes_to("/deliveries?status=failed")
    await expect(person.page.locator("tbody tr")).to_have_count(len(jobs))
    receiver.answers(200)

    await person.clicks("Replay all that match…")
    await person.sees(receiver.url, "http_5xx")
    await person.clicks("Send 4 deliveries again")
    await person.sees("4 of 4", "finished")
    await expect(person.page.locator("#delivered")).to_have_text("4")
    assert len(receiver.calls) == 2 * len(jobs)
    await person.goes_to("/deliveries?status=failed")
    await person.sees("Nothing in the log matches")
