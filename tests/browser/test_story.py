"""A customer's day: everything that somebody does with a webhook, from the first sign-in to a bad signature."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.chromium import Person
from tests.support.receiver import Receiver, Reply, verifies

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("program")]

SECRET = "a-secret-of-my-own"


async def registers(person: Person, receiver: Receiver) -> None:
    """Fill in the form, with a secret of one's own."""
    receiver.trusts_only(SECRET)
    await person.clicks("Webhooks")
    await person.clicks("Register a webhook")
    await person.page.get_by_label("URL").fill(receiver.url)
    await person.page.get_by_label("annotation.completed").check()
    await person.page.get_by_label("Secret").fill(SECRET)
    await person.clicks("Register")
    await person.sees("Webhook registered", SECRET)


async def sends_a_sample(person: Person) -> str:
    """Publish one from the catalogue; return its job id."""
    await person.clicks("Event catalogue")
    await person.clicks("annotation.completed")
    await person.clicks("Send a sample")
    await person.page.wait_for_url("**/events/evt_*")
    found = re.search(r'"job_id":\s*"([^"]+)"', await person.page.get_by_role("main").inner_text())
    assert found
    return found[1]


async def sees_it_fail_and_when_it_is_tried_again(person: Person) -> None:
    await person.goes_to("/deliveries?status=pending")
    await person.sees("503")
    await person.clicks("annotation.completed")
    await person.sees("The receiver failed", "Retry 5")
    await expect(person.page.locator("dl.facts time[data-countdown]")).to_have_text(re.compile(r"in \d+ s"))


async def lets_it_fail_at_once(person: Person) -> None:
    """Edit the webhook: no retries, so that what fails has failed for good."""
    await person.clicks("Webhooks")
    await person.page.locator("tbody a").first.click()
    await person.clicks("Edit")
    await person.page.get_by_label("Retry schedule").fill("none")
    await person.clicks("Save")
    await person.sees("Changed.", "none")


async def replays_what_failed(person: Person, count: int) -> None:
    await person.goes_to("/deliveries?status=failed")
    await expect(person.page.locator("tbody tr")).to_have_count(count)
    await person.clicks("Replay all that match…")
    await person.sees("http_5xx")
    await person.clicks(f"Send {count} deliveries again")
    await person.sees(f"{count} of {count}", "finished")
    await expect(person.page.locator("#delivered")).to_have_text(str(count))


async def rotates_the_secret(person: Person) -> str:
    """Let a new one be made, and take it from the page."""
    await person.clicks("Webhooks")
    await person.page.locator("tbody a").first.click()
    await person.page.get_by_text("Rotate the secret").click()
    await person.clicks("Rotate")
    await person.sees("Secret rotated")
    return await person.page.locator("pre#secret").inner_text()


async def finds_by_job(person: Person, job_id: str) -> None:
    await person.clicks("Deliveries")
    search = person.page.get_by_label("Search")
    await search.fill(job_id)
    await search.press("Enter")
    await expect(person.page.locator("tbody tr")).to_have_count(1)
    await person.sees(job_id)
    await person.clicks("annotation.completed")


async def debugs_with(person: Person, secret: str, *finds: str) -> None:
    await person.page.get_by_label("Secret", exact=True).fill(secret)
    await person.clicks("Find what is wrong")
    await person.sees(*finds)


async def test_a_customer_finds_and_mends_everything_alone(person: Person, receiver: Receiver) -> None:
    await person.signs_in()
    await registers(person, receiver)
    await sends_a_sample(person)
    await person.sees("delivered")
    assert verifies(receiver.calls[0], SECRET)

    receiver.answers(503)
    await sends_a_sample(person)
    await sees_it_fail_and_when_it_is_tried_again(person)
    await lets_it_fail_at_once(person)
    for _ in range(2):
        await sends_a_sample(person)
        await person.sees("failed")
    receiver.trusts_only(SECRET)
    await replays_what_failed(person, 2)

    # the receiver knows the old secret only: nothing is lost while both are valid
    new = await rotates_the_secret(person)
    job_id = await sends_a_sample(person)
    await person.sees("delivered")
    await finds_by_job(person, job_id)
    await person.sees("Attempt 1", "403", "Attempt 2", "rotation", "delivered")

    receiver.judges(lambda _: Reply(401))
    job_id = await sends_a_sample(person)
    await person.sees("failed")
    await finds_by_job(person, job_id)
    await person.clicks("Debug the signature")
    await debugs_with(person, "not-the-secret", "This is not the secret")
    await debugs_with(person, new, "It verifies")
