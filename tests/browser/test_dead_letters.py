"""What an operator does with messages that nobody could use: requeue, mend, discard."""

import json
from dataclasses import replace

import pytest
from playwright.async_api import expect

from delivery.store import dead_letters
from delivery.store.cursors import PageRequest
from delivery.store.dead_letters import DeadLetter
from delivery.store.engine import Store
from tests.browser.chromium import Person
from tests.support.clock import NOON
from tests.support.program import Program
from tests.support.samples import envelope

pytestmark = pytest.mark.slow


async def letters(store: Store) -> list[DeadLetter]:
    async with store.reading() as tx:
        return list((await dead_letters.browse(tx, PageRequest(10, None))).items)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_letter_goes_back_as_it_came_then_mended_and_another_is_discarded(
    program: Program, store: Store, person: Person
) -> None:
    operator = await program.bootstrap("--operator")
    headers = {"account-id": operator["account_id"]}
    body = b'{\r\n\t"no": "event"\r\n}\n'
    made = ("hookline.batch", "batch.failed", "invalid_payload", "no data", "application/json", headers, body)
    letter = DeadLetter(f"dead_{1:028x}", NOON, *made)
    async with store.writing() as tx:
        await dead_letters.park(tx, [letter, replace(letter, id=f"dead_{2:028x}", reason="rejected")])
    person.page.on("dialog", lambda dialog: dialog.accept())
    await person.signs_in()
    await person.clicks("Dead letters")

    await person.clicks("A consumer sent it back")
    await person.clicks("Discard")
    await person.sees("Discarded.")

    await person.clicks("It is not what its type must be")
    await person.clicks("Requeue")
    await person.sees("Requeued.")
    [again] = await letters(store)
    assert again.id != letter.id
    assert again.body == body

    await person.clicks("It is not what its type must be")
    await person.page.get_by_label("Body to publish").fill(json.dumps(envelope("batch.failed"), indent=2))
    await person.clicks("Requeue")
    await person.sees("Requeued.", "No dead letters")
    await person.clicks("Events")
    await expect(person.page.locator("tbody tr")).to_have_count(1)
