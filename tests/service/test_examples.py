"""The examples of the API's description: every route has one, and each is answered as it says."""

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest

from consumers.wire import Message
from service.api.curl import command
from service.api.docs import page
from service.api.examples import EXAMPLES
from service.api.openapi import describe
from service.api.specimens import CALLER, EMAIL, SOURCE_URL, URL
from service.app import API, OPERATIONS
from tests.fakes.potato import FakePotato, potato_at_work
from tests.service.house import Account, House, open_house
from tests.support.clock import ManualClock
from tests.support.likeness import Likeness
from tests.support.polling import until
from tests.support.receiver import Call, Receiver, Reply

ROUTES = {f"{route.method} {route.path}": route for route in (*OPERATIONS, *API)}
DOCUMENT = json.loads(json.dumps(describe(tuple(ROUTES.values()))))

_PATIENCE_S = 30


def operation(name: str) -> Any:
    return DOCUMENT["paths"][ROUTES[name].path][ROUTES[name].method.lower()]


def line(name: str) -> str:
    return command(ROUTES[name].method, ROUTES[name].path, operation(name))


def test_every_route_has_an_example_and_every_example_a_route() -> None:
    assert set(EXAMPLES) == set(ROUTES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid_by_the_description_that_it_stands_in(name: str) -> None:
    shown, success = operation(name), operation(name)["responses"][str(ROUTES[name].status)]
    assert EXAMPLES[name].given.keys() == {one["name"] for one in shown["parameters"] if "example" in one}
    for parameter in shown["parameters"]:
        assert "example" in parameter or not parameter["required"]
        if "example" in parameter:
            jsonschema_rs.validate(parameter["schema"], parameter["example"])
    for content in shown.get("requestBody", {}).get("content", {}).values():
        valid(content["schema"], content.get("example", {}))
    for content in success.get("content", {}).values():
        valid(content["schema"], content["examples"]["answer"]["value"])


def valid(schema: Any, value: Any) -> None:
    jsonschema_rs.validate(schema | {"components": DOCUMENT["components"]}, value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_for_people_shows_each_as_a_line_to_copy(name: str) -> None:
    assert escape(line(name)) in page(DOCUMENT)


# -- each is answered as it says ---------------------------------------------------------------------------------------


@pytest.fixture
async def house(address: str) -> AsyncIterator[House]:
    """The service, just before the examples' first second; they have no more to do with each other than their order."""
    async with open_house(address, clock=ManualClock(datetime(2024, 3, 14, 10, 23, 46, tzinfo=UTC))) as opened:
        yield opened


@pytest.fixture
async def ada(house: House) -> Account:
    return await house.account(EMAIL)


@pytest.fixture
async def potato() -> AsyncIterator[FakePotato]:
    """An annotation tool to connect."""
    async with potato_at_work() as opened:
        yield opened


def answers(call: Call) -> Reply:
    """The customer's receiver cannot take batches today."""
    refused = call.headers["X-Tagmatic-Event"].startswith("batch.")
    return Reply(503 if refused else 200, {"Server": "yourapp"})


@dataclass(frozen=True)
class Cast:
    """Who takes part in the story, and what stands for what is printed."""

    house: House
    ada: Account
    operator: Account
    likeness: Likeness

    async def spoilt_messages_come(self) -> None:
        """Two that the bus cannot use, one after the other."""
        for number, body in enumerate((b'{"no": "ev"}', b"half an ev"), start=1):
            message = Message(body, "annotation.completed", {"account-id": self.ada.id}, "application/json")
            await self.house.runtime.bus.publish(message)
            await until(partial(self.dead_letters_are, number))
            self.house.clock.forward(1)

    async def dead_letters_are(self, number: int) -> bool:
        return len((await self.operator.key.get("/api/dead-letters")).body["items"]) == number

    async def statistics_are_added_up(self) -> None:
        await self.house.runtime.statistics.fold()

    async def a_review_comes(self) -> None:
        assert (await self.ada.key.publish("review.submitted")).status == 202

    async def time_passes(self) -> None:
        self.house.clock.forward(1)
        await self.house.runtime.sweep.run()
        await self.house.quiet()

    @asynccontextmanager
    async def asking(self, name: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the line of an example in a shell, as somebody who copied it."""
        asked = self.likeness.translated(line(name)).replace("curl ", f"exec curl -sS {shlex.join(options)} ", 1)
        key = (self.operator if ROUTES[name].need == "operate" else self.ada).api_key
        url = str(self.house.client.make_url("")).rstrip("/")
        environment = os.environ | {"HOOKLINE_URL": url, "HOOKLINE_API_KEY": key, "TOKEN": self.ada.token}
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", asked, env=environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


#: What else happens: before the example is asked, and once its stream has begun.
BEFORE = {"GET /api/stats": Cast.statistics_are_added_up, "GET /api/dead-letters": Cast.spoilt_messages_come}
MEANWHILE = {"GET /api/listen": Cast.a_review_comes}


async def test_each_example_in_turn_is_answered_as_it_says(
    house: House, ada: Account, operator: Account, receiver: Receiver, potato: FakePotato
) -> None:
    receiver.judges(answers)
    caller = f"bootstrap …{ada.api_key[-4:]}"
    stands_for = {
        URL: receiver.url,
        SOURCE_URL: f"{potato.url}/",
        CALLER: caller,
        "yourapp.com": urlsplit(receiver.url).netloc,
        "203.0.113.7": "127.0.0.1",
    }
    cast = Cast(house, ada, operator, Likeness(stands_for))
    for name in EXAMPLES:
        await BEFORE.get(name, Cast.time_passes)(cast)
        await (hears if ROUTES[name].media == "text/event-stream" else gets)(cast, name)


async def gets(cast: Cast, name: str) -> None:
    """Hold the whole answer against the example's."""
    async with cast.asking(name, "-w", "\n%{http_code}") as process:
        answer, _, status = (await process.communicate())[0].decode().rpartition("\n")
    assert int(status) == ROUTES[name].status, f"{name}: {answer}"
    example = EXAMPLES[name]
    is_json = answer and ROUTES[name].media == "application/json"
    given = json.loads(answer) if is_json else answer or None
    cast.likeness.expect(example.answer, given, partly=example.shortened, at=name)


async def hears(cast: Cast, name: str) -> None:
    """Hold the first message with the example's members against it."""
    async with cast.asking(name) as process:
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"id: ")
        await MEANWHILE.get(name, Cast.time_passes)(cast)
        async for said in process.stdout:
            message = json.loads(said.removeprefix(b"data: ")) if said.startswith(b"data: ") else {}
            if message.keys() == EXAMPLES[name].answer.keys():
                cast.likeness.expect(EXAMPLES[name].answer, message, at=name)
                return
    pytest.fail(f"{name} ended without a message like it")
