"""The tagtog that our tests ask answers as tagtog's documentation says."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.fakes.tagtog import LOGIN, OWNER, PROJECT, Tagtog, ann, by_hand, open_tagtog, predicted
from tests.support.clock import ManualClock

DOCUMENTS = "/-api/documents/v1"


@pytest.fixture
async def tagtog() -> AsyncIterator[Tagtog]:
    async with open_tagtog(ManualClock()) as opened:
        yield opened


async def ask(tagtog: Tagtog, **query: Any) -> tuple[aiohttp.ClientResponse, bytes]:
    headers = {"Authorization": aiohttp.encode_basic_auth(LOGIN["username"], LOGIN["password"])}
    params = {"owner": OWNER, "project": PROJECT, **query}
    async with aiohttp.request("GET", tagtog.url + DOCUMENTS, params=params, headers=headers) as response:
        return response, await response.read()


async def found(tagtog: Tagtog, **query: Any) -> dict[str, Any]:
    response, _ = await ask(tagtog, **query)
    answer = await response.json()
    assert isinstance(answer, dict)
    return answer


async def test_a_search_has_pages_of_fifty_from_nought_and_ends_with_minus_one(tagtog: Tagtog) -> None:
    for number in range(51):
        tagtog.save(f"d{number}", ann(anncomplete=number == 50))
    first, last = [await found(tagtog, search="*", page=page) for page in (0, 1)]
    assert first["pages"] == {"current": 0, "previous": -1, "next": 1, "numPages": 2, "pageSize": 50}
    assert last["pages"] == {"current": 1, "previous": 0, "next": -1, "numPages": 2, "pageSize": 50}
    assert (first["totalFound"], first["search"], len(first["docs"])) == (51, "*", 50)
    assert last["docs"] == [
        {
            "id": "d50",
            "filename": "d50.txt",
            "header": "News",
            "created": "2026-01-01T12:00:00.000Z",
            "updated": "2026-01-01T12:00:00.000Z",
            "anncomplete": True,
            "members_anncomplete": [],
            "members_assigned": [],
            "folder": "pool",
        }
    ]


async def test_a_search_by_time_finds_what_was_changed_since(tagtog: Tagtog) -> None:
    tagtog.save("d1", ann())
    assert (await found(tagtog, search="updated:[2026-01-01T12:00:00.000Z TO NOW]"))["totalFound"] == 1
    assert (await found(tagtog, search="updated:[2026-01-01T12:00:00.001Z TO NOW]"))["totalFound"] == 0


async def test_a_member_without_a_version_of_their_own_gets_the_default_one_with_a_warning(tagtog: Tagtog) -> None:
    tagtog.save("d1", ann(predicted(0, "Ada")))
    tagtog.save("d1", ann(by_hand(0, "Ada")), "dana")
    members = ("", "master", "dana", "lee")
    versions = {member: await ask(tagtog, ids="d1", output="ann.json", member=member) for member in members}
    assert {member: "Warning" in answer.headers for member, (answer, _) in versions.items()} == {
        "": False,
        "master": False,
        "dana": False,
        "lee": True,
    }
    bodies = {member: body for member, (_, body) in versions.items()}
    assert bodies["lee"] == bodies["master"] == bodies[""] != bodies["dana"]


async def test_strangers_and_other_projects_are_refused(tagtog: Tagtog) -> None:
    async with aiohttp.request("GET", tagtog.url + DOCUMENTS, params={"search": "*"}) as response:
        assert response.status == 401
    response, _ = await ask(tagtog, search="*", project="another")
    assert response.status == 404
