"""The fake Potato is held to what a real 2.12.1 was asked and answered, from its first login to its first decision."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.potato import FakePotato, potato_at_work

_CONVERSATION = Path(__file__).parents[2] / "fixtures/potato/conversation.jsonl"

#: What every server makes anew.
_OWN = ("action_id", "timestamp", "metadata", "server_processing_time_ms")


def _known(told: Any) -> Any:
    """Leave out ids and times."""
    if isinstance(told, dict):
        return {name: _known(value) for name, value in told.items() if name not in _OWN}
    return [_known(one) for one in told] if isinstance(told, list) else told


def _part(ours: Any, theirs: Any) -> bool:
    """Whether an answer says nothing but what another one says, too."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(name in theirs and _part(value, theirs[name]) for name, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_part, ours, theirs))
    return bool(ours == theirs)


async def _asked(session: aiohttp.ClientSession, fake: FakePotato, turn: dict[str, Any]) -> tuple[int, Any]:
    headers = {"X-API-Key": turn["key"]} if turn["key"] else {}
    if turn["user"]:
        headers["Cookie"] = f"session={turn['user']}"
    sent = {"data" if turn["form"] else "json": turn["sent"]} if turn["sent"] else {}
    async with session.request(turn["method"], fake.url + turn["path"], headers=headers, **sent) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else None


async def test_it_answers_what_a_real_one_answered() -> None:
    async with potato_at_work() as fake, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for line in _CONVERSATION.read_text().splitlines():
            turn = json.loads(line)
            status, answer = await _asked(session, fake, turn)
            assert status == turn["status"], turn["name"]
            assert _part(_known(answer), _known(turn["answer"])), (turn["name"], answer, turn["answer"])


async def test_it_shows_no_more_than_a_hundred_actions_and_counts_all() -> None:
    async with (
        potato_at_work() as fake,
        aiohttp.ClientSession(headers={"X-API-Key": "potato-admin-key-for-tests"}) as s,
    ):
        for number in range(136):
            fake.annotates("annotator1", "item_001", {"sentiment:positive": str(number)})
        for number in range(3):
            fake.annotates("annotator2", "item_001", {"sentiment:positive": str(number)})
        for query, total, last in (
            ("", 139, "annotator2"),
            ("?user_id=annotator1", 136, "annotator1"),
            ("?user_id=annotator2", 3, "annotator2"),
        ):
            async with s.get(f"{fake.url}/admin/api/annotation_history{query}") as response:
                told = await response.json()
            assert (told["total_actions"], len(told["actions"])) == (total, min(total, 100))
            assert told["actions"][-1]["user_id"] == last


@pytest.mark.parametrize(("ours", "theirs"), [({"a": 1}, {}), ([1], [1, 2]), ({"a": [{"b": 1}]}, {"a": [{"b": 2}]})])
async def test_a_difference_is_seen(ours: Any, theirs: Any) -> None:
    assert not _part(ours, theirs)
