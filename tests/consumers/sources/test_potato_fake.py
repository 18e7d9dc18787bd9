"""The Potato that our tests ask answers as the captured one did: whatever it says, that one said, too."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.fakes.potato import COOKIE, Potato, open_potato

CAPTURED = Path(__file__).parents[2] / "fixtures/potato"
ITEMS = [json.loads(line) for line in (CAPTURED / "items.jsonl").read_text().splitlines()]

#: What each run makes anew.
_MADE_ANEW = {"action_id", "timestamp", "metadata", "server_processing_time_ms", "client_timestamp"}


def as_captured(potato: Potato) -> None:
    """Let people do what was done on the real one."""
    potato.given(**{item["id"]: item["text"] for item in ITEMS})
    potato.sign_in("annotator1", "annotator2")
    potato.choose("annotator1", "item_001", "positive")
    potato.choose("annotator1", "item_001", "negative")
    potato.choose("annotator1", "item_002", "neutral")
    potato.mark("annotator1", "item_002", "LOCATION", 21, 29)
    potato.mark("annotator1", "item_002", "PERSON", 43, 56)
    potato.choose("annotator1", "item_003", "negative")
    potato.choose("annotator2", "item_001", "positive")
    potato.choose("annotator2", "item_002", "neutral")
    potato.adjudicates = True


DECIDED = ("76_", "77_", "78_")


@pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURED.glob("*.json") if path.name[0] in "0378"))
async def test_it_says_what_the_real_one_said(name: str) -> None:
    captured = json.loads((CAPTURED / f"{name}.json").read_text())
    asked = captured["request"]
    async with open_potato() as potato, aiohttp.ClientSession() as session:
        as_captured(potato)
        if name.startswith(DECIDED):
            filed = json.loads((CAPTURED / "decisions.json").read_text())["decisions"][0]
            potato.decide("item_001", filed["label_decisions"], **filed)
        url = URL(potato.url + str(URL(asked["url"]).relative()))
        headers = asked["headers"] | ({"Cookie": COOKIE} if name.startswith(DECIDED) else {})
        async with session.request(
            asked["method"], url, headers=headers, data=asked["body"], allow_redirects=False
        ) as response:
            said = await response.text()
            body: Any = json.loads(said) if response.content_type == "application/json" else {"_text": said}
    assert response.status == captured["status"]
    expect(body, captured["body"], name)


def expect(said: Any, captured: Any, at: str) -> None:
    """Fail unless all that was said is in what was captured; that says more."""
    match said, captured:
        case dict(), dict():
            assert said.keys() <= captured.keys(), at
            for member in said.keys() - _MADE_ANEW:
                expect(said[member], captured[member], f"{at}.{member}")
        case list(), list() if said and isinstance(said[0], dict):
            by_id = "id" if "id" in said[0] else ""  # items of an annotator come in an order of their own
            assert len(said) == len(captured), at
            ordered = [sorted(part, key=lambda one: str(one.get(by_id, ""))) for part in (said, captured)]
            for number, (ours, theirs) in enumerate(zip(*ordered, strict=True)):
                expect(ours, theirs, f"{at}.{number}")
        case str(), str() if at.endswith("_text"):
            assert captured.startswith(said), at
        case _:
            assert said == captured, at
