"""Lists: pages that neither skip nor repeat a row while rows are being added."""

from typing import Any

import pytest

from tests.service.house import Account, Caller, House
from tests.support.receiver import Receiver


async def _pages(caller: Caller, path: str, limit: int, between: Any) -> list[list[str]]:
    """The ids of all pages; ``between`` is awaited before each page but the first."""
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await caller.get(path, limit=str(limit), cursor=cursor)
        assert answer.status == 200
        pages.append([row["id"] for row in answer.body["items"]])
        cursor = answer.body["next"]
        await between()
    return pages


@pytest.mark.parametrize("noun", ["events", "deliveries", "webhooks", "keys", "replays", "audit"])
async def test_a_list_shows_each_row_once_while_others_are_being_added(
    house: House, ada: Account, receiver: Receiver, noun: str
) -> None:
    webhook = await ada.key.register(receiver.url)
    added = 0

    async def add() -> None:
        nonlocal added
        added += 1
        house.clock.forward(1)
        if noun in ("webhooks", "audit"):
            await ada.key.register(receiver.url)
        elif noun == "keys":
            await ada.user.post("/api/keys")
        elif noun == "replays":
            await ada.user.post("/api/replays", {"filter": {"status": "failed"}})
        else:
            await ada.key.publish(job_id=f"job-{added}")

    for _ in range(7):
        await add()
    await ada.key.patch(f"/api/webhooks/{webhook['id']}", active=True)
    before = {row["id"] for row in (await ada.user.get(f"/api/{noun}", limit="100")).body["items"]}

    pages = await _pages(ada.user, f"/api/{noun}", 3, add)

    seen = [row for page in pages for row in page]
    assert len(seen) == len(set(seen))
    assert set(seen) == before
    assert all(len(page) == 3 for page in pages[:-1])


async def test_the_newest_comes_first(house: House, ada: Account) -> None:
    for number in range(3):
        house.clock.forward(1)
        await ada.key.publish(job_id=f"job-{number}")
    listed = (await ada.key.get("/api/events")).body["items"]
    assert [event["data"]["job_id"] for event in listed] == ["job-2", "job-1", "job-0"]


@pytest.mark.parametrize("cursor", ["nonsense!", "AA", "8J+YgA", "😀"])
async def test_a_cursor_that_is_none_is_refused(house: House, ada: Account, cursor: str) -> None:
    answer = await ada.key.get("/api/events", cursor=cursor)
    assert (answer.status, answer.code, answer.body["field"]) == (400, "invalid_cursor", "cursor")
