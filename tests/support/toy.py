"""An annotation system that is as simple as one can be, to see how sources are driven whatever their system is.

It has numbered facts. Its connector asks for those after the last one that it has seen, and says each as an event.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from pydantic import TypeAdapter

from consumers.sources import systems
from consumers.sources.connector import Desk, Draft, Heard, Push, Step, Unauthorised
from consumers.sources.names import key
from consumers.sources.remote import Remote, expected
from consumers.sources.system import Credentials, Interval, Place, Settings, System
from delivery.domain.catalogue import PUBLISHED

KEY = "key-of-the-toy"

_FACTS = TypeAdapter(list[dict[str, Any]])


class ToySettings(Settings):
    """As every source has them, and a project."""

    whereabouts = ("project",)

    interval_s: Interval = 10
    project: str = "first"


class ToyCredentials(Credentials):
    """A key."""

    key: str


class ToyConnector:
    """A step for each fact."""

    def __init__(self, place: Place, settings: ToySettings, credentials: ToyCredentials) -> None:
        self._place = place
        self._key = credentials.key
        self._remote = Remote(place.session, place.url, headers={"X-Key": credentials.key})

    async def check(self) -> str:
        """Say how many facts there are."""
        return f"{len(await self._facts(0))} facts"

    async def poll(self, desk: Desk) -> AsyncGenerator[Step, None]:
        """Ask for what is new, and then once more for each of it."""
        for fact in await self._facts(await desk.mark("seen") or 0):
            expected(await self._remote.get("facts", str(fact["number"])))
            data = dict(PUBLISHED["annotation.completed"].example["data"]) | fact["data"]
            draft = Draft("annotation.completed", desk.now(), data, key("toy", self._place.source_id, fact["number"]))
            yield Step([draft], {("seen", ""): fact["number"]})

    def hear(self, push: Push, _now: datetime) -> Sequence[Heard]:
        """Believe whoever has the key."""
        if push.headers.get("x-key") != self._key:
            raise Unauthorised("The header X-Key is missing, or another one")
        return [Heard(push.body.decode(), {"said": push.body.decode()})]

    async def _facts(self, after: int) -> list[dict[str, Any]]:
        answer = await self._remote.get("facts", params={"after": after})
        return expected(answer).read(_FACTS)


TOY = System("toy", "Toy", ToySettings, ToyCredentials, ToyConnector)


@dataclass
class Toy:
    """The system itself.

    ``answer`` is what it says instead of anything; ``door`` keeps requests for facts waiting, from ``guarded`` on.
    """

    url: str = ""
    facts: list[dict[str, Any]] = field(default_factory=list)
    answer: web.Response | None = None
    door: asyncio.Event = field(default_factory=asyncio.Event)
    guarded: int = 1
    asked: int = 0
    waiting: int = 0
    most_waiting: int = 0

    def happens(self, **data: Any) -> None:
        """Let something happen."""
        number = len(self.facts) + 1
        self.facts.append({"number": number, "data": {"job_id": f"job-{number}"} | data})

    async def list(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.headers["X-Key"] != KEY:
            return web.Response(status=401)
        if self.answer is not None:
            given, headers = (
                self.answer,
                {name: self.answer.headers[name] for name in ("Retry-After",) if name in self.answer.headers},
            )
            return web.Response(status=given.status, body=given.body, headers=headers)
        after = int(request.query["after"])
        return web.json_response([fact for fact in self.facts if fact["number"] > after])

    async def show(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        if number < self.guarded:
            return web.json_response(self.facts[number - 1])
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            await self.door.wait()
        finally:
            self.waiting -= 1
        return web.json_response(self.facts[number - 1])


@pytest.fixture
async def toy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Toy]:
    """A toy at work, and known as a system."""
    monkeypatch.setitem(systems.SYSTEMS, "toy", TOY)
    async with at_work() as toy:
        yield toy


@asynccontextmanager
async def at_work() -> AsyncIterator[Toy]:
    toy = Toy()
    toy.door.set()
    app = web.Application()
    app.router.add_get("/facts", toy.list)
    app.router.add_get("/facts/{number}", toy.show)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    toy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield toy
    finally:
        toy.door.set()
        await runner.cleanup()
