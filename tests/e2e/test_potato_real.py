"""The same against a real Potato, where one is installed: ``pip install potato-annotation==2.12.1`` elsewhere.

Its program is looked for on the PATH, or named by POTATO.
"""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.potato import ITEMS, KEY
from tests.support.samples import BY
from tests.support.world import World

PROGRAM = os.environ.get("POTATO") or shutil.which("potato")

pytestmark = [
    pytest.mark.potato,
    pytest.mark.skipif(PROGRAM is None, reason="no real Potato here: neither on the PATH nor named by POTATO"),
]

CONFIG: dict[str, Any] = {
    "server_name": "Hookline",
    "annotation_task_name": "Hookline Potato Fixture",
    "task_dir": ".",
    "output_annotation_dir": "annotation_output/",
    "output_annotation_format": "jsonl",
    "data_files": ["data/items.json"],
    "item_properties": {"id_key": "id", "text_key": "text"},
    "require_password": False,
    "admin_api_key": KEY,
    "user_config": {"allow_all_users": True, "users": []},
    "num_annotators_per_item": 2,
    "max_annotations_per_item": 2,
    "assignment_strategy": "fixed_order",
    "annotation_schemes": [
        {
            "annotation_type": "radio",
            "name": "sentiment",
            "description": "Tone",
            "labels": ["positive", "neutral", "negative"],
        },
        {"annotation_type": "span", "name": "entities", "description": "Names", "labels": ["PERSON", "LOCATION"]},
    ],
    "adjudication": {
        "enabled": True,
        "adjudicator_users": ["adjudicator"],
        "min_annotations": 2,
        "agreement_threshold": 0.75,
        "show_all_items": True,
    },
}


@dataclass
class RealPotato:
    """A server with a project of its own."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it, from its answer to the first question to its end."""
        assert PROGRAM is not None
        said = (self.folder / "log").open("ab")
        how = ("start", "config.yaml", "-p", str(self.port), "--host", "127.0.0.1")
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *how, cwd=self.folder, stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            await self._answers()
            yield
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself, and its log says why
                process.terminate()
            await process.wait()
            said.close()

    async def _answers(self) -> None:
        async with asyncio.timeout(60), aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/admin/health") as response:
                        if response.ok:
                            return
                await asyncio.sleep(0.2)

    @asynccontextmanager
    async def person(self, name: str) -> AsyncIterator["Person"]:
        """Somebody who is logged in, and has been given items."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(self.url, cookie_jar=jar) as session:
            await session.post("/auth", data={"email": name, "pass": ""})
            yield Person(session)


@dataclass
class Person:
    """A browser."""

    session: aiohttp.ClientSession

    async def begins(self) -> None:
        async with self.session.get("/annotate") as response:
            assert response.ok

    async def saves(self, item: str, labels: dict[str, Any], spans: list[dict[str, Any]] | None = None) -> None:
        body = {"instance_id": item, "annotations": labels, "span_annotations": spans or []}
        async with self.session.post("/updateinstance", json=body) as response:
            assert (await response.json())["status"] == "success"

    async def decides(self, item: str, **decision: Any) -> None:
        body = {"instance_id": item, "span_decisions": [], "source": {}, "confidence": "high"} | decision
        async with self.session.post("/adjudicate/api/submit", json=body) as response:
            assert response.ok, await response.text()


@pytest.fixture
async def real(tmp_path: Path) -> RealPotato:
    (tmp_path / "data").mkdir()
    lines = (json.dumps({"id": item, "text": text}) for item, text in ITEMS.items())
    (tmp_path / "data/items.json").write_text("".join(f"{line}\n" for line in lines))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG | {"port": port}))  # JSON is YAML
    return RealPotato(tmp_path, port)


async def told(world: World, kind: str) -> list[Any]:
    return [body["data"] for body in await world.bodies() if body["event"] == kind]


async def settles(world: World) -> None:
    await world.polled(6)
    await world.polled(31)


async def test_the_whole_way(world: World, real: RealPotato) -> None:
    span = {"schema": "entities", "name": "LOCATION", "title": "LOCATION", "start": 19, "end": 27, "value": "true"}
    async with real.running(), real.person("ann@example.org") as ann, real.person("bob") as bob:
        source = await world.connect("potato", real.url, {"api_key": KEY})
        await world.polled()
        await ann.begins()
        await ann.saves("item_002", {"sentiment:neutral": "1"}, [span])
        await settles(world)
        (first,) = await told(world, "annotation.completed")
        assert first["annotations"] == {
            "sentiment": "neutral",
            "entities": [{"text": "New York", "start": 19, "end": 27, "label": "LOCATION"}],
        }
        await ann.saves("item_002", {}, [span | {"value": None}])  # no action
        await world.polled(600)
        await world.polled(31)
        assert [data["annotations"] for data in await told(world, "annotation.completed")][1:] == [
            {"sentiment": "neutral"}
        ]
        for number in range(130):
            await ann.saves("item_001", {f"sentiment:{('positive', 'negative')[number % 2]}": "1"})
        await ann.saves("item_003", {"sentiment:positive": "1"})
        await settles(world)
        assert len(await told(world, "annotation.completed")) == 4
        await bob.begins()
        for item in ITEMS:
            await bob.saves(item, {"sentiment:positive": "1"})
        await settles(world)
        assert len(await told(world, "annotation.completed")) == 7
        assert [data["total"] for data in await told(world, "batch.completed")] == [3]
        async with real.person("adjudicator") as adjudicator:
            await adjudicator.decides(
                "item_001", label_decisions={"sentiment": "positive"}, source={"sentiment": "annotator_bob"}
            )
        await world.polled(301)
        (review,) = await told(world, "review.submitted")
        assert (review["before"], review["after"]) == ({"sentiment": "positive"}, {"sentiment": "positive"})
        async with real.person("adjudicator") as adjudicator:
            await adjudicator.decides("item_001", label_decisions={"sentiment": "neutral"}, time_spent_ms=10)
        await world.sources.change(
            world.reach, source.id, {"credentials": {"api_key": KEY, "adjudicator": "adjudicator"}}, by=BY
        )
        await world.polled(6)
        assert len(await told(world, "review.submitted")) == 2
        assert "3 items" in (await world.sources.check(world.reach, source.id)).says


async def test_it_is_started_again_in_the_middle(world: World, real: RealPotato) -> None:
    async with real.running(), real.person("ann") as ann:
        source = await world.connect("potato", real.url, {"api_key": KEY})
        await world.polled()
        await ann.begins()
        await ann.saves("item_001", {"sentiment:positive": "1"})
        await world.polled(6)
    await world.polled(31)
    assert (await world.source(source)).state == "failing"
    async with real.running(), real.person("ann") as ann:
        await world.polled(60)
        await ann.begins()
        await ann.saves("item_001", {"sentiment:negative": "1"})
        await settles(world)
    values = [data["annotations"]["sentiment"] for data in await told(world, "annotation.completed")]
    assert values == ["positive", "negative"]
