"""What a customer does whose receiver refuses everything: they paste what it got, and read what is wrong."""

import json

import pytest

from tests.browser.chromium import PHONE, Person
from tests.support.program import Program
from tests.support.receiver import Receiver

pytestmark = pytest.mark.slow

SECRET = "your-webhook-signing-secret"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_body_that_was_written_again_is_found_from_the_page_of_the_delivery(
    program: Program, person: Person, receiver: Receiver
) -> None:
    receiver.answers(401)
    await program.register(receiver.url, SECRET)
    await program.run("trigger", "batch.failed")
    await person.signs_in()
    await person.clicks("Deliveries")
    await person.clicks("batch.failed")
    await person.clicks("Debug the signature")
    body = await person.page.get_by_label("Body").input_value()
    assert body.encode() == receiver.calls[0].body

    await person.page.get_by_label("Body").fill(json.dumps(json.loads(body), indent=2))
    await person.page.get_by_label("Secret", exact=True).fill(SECRET)
    await person.clicks("Find what is wrong")

    await person.sees("blanks and line breaks between its members", "sign the raw bytes", "The secret is the webhook's")
    await person.does_not_see(SECRET)
    assert await person.page.get_by_label("Secret", exact=True).input_value() == ""
    assert SECRET not in await person.page.content()
    assert SECRET not in person.page.url
    await person.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert await person.barriers() == []
    assert await person.width() <= PHONE[0]
