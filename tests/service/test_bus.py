"""The bus: operators see what feeds the service, and what is wrong with it, in words that say what to do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from consumers.wire import publication
from delivery.domain.catalogue import PUBLISHED
from tests.conformance.buses import channel_to
from tests.servers.process import free_port
from tests.service.house import PASSWORD, Account, House, open_house
from tests.support.polling import until
from tests.support.program import Program
from tests.support.samples import envelope

FAMILIES = ["annotation", "batch", "file", "drift", "review"]
QUEUES = [f"hookline.{family}" for family in FAMILIES]

#: What is about the broker is the same on each database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def asked(house: House) -> Any:
    """What an operator is told."""
    operator = await house.account("operator@example.com", operator=True)
    answer = await operator.key.get("/api/bus")
    assert answer.status == 200, answer.body
    return answer.body


async def page(house: House, *, operator: bool = True) -> Any:
    """What is seen in a browser."""
    who = await house.account("operator@example.com" if operator else "ada@example.com", operator=operator)
    typed = {"email": who.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", data=typed, headers={"Sec-Fetch-Site": "same-origin"})
    return await house.stranger.get("/bus")


def says(found: Any) -> dict[str, str]:
    return {problem["subject"]: problem["says"] for problem in found["problems"]}


# -- inside one process ------------------------------------------------------------------------------------------------


async def test_a_process_that_has_everything_shows_all_that_feeds_it(house: House, ada: Account) -> None:
    await ada.key.publish("batch.completed")
    await ada.key.publish("batch.failed")
    await house.runtime.bus.publish(publication(envelope("file.completed"), ada.id))
    await ada.user.post("/api/keys", {"name": "no publisher", "scopes": ["manage"]})
    await house.later()
    await house.runtime.auth.note_key_use()

    found = await asked(house)

    consumers = {consumer["name"]: consumer for consumer in found["consumers"]}
    assert list(consumers) == [*FAMILIES, "unrouted"]
    assert [consumer["up"] for consumer in consumers.values()] == [True] * 6
    assert sorted(event for consumer in consumers.values() for event in consumer["events"]) == sorted(PUBLISHED)
    accepted = {name: consumer["accepted"] for name, consumer in consumers.items() if consumer["accepted"]}
    assert accepted == {"batch": 2, "file": 1}
    assert (found["bus"]["kind"], found["bus"]["address"], found["bus"]["reachable"]) == (
        "in-process",
        "memory://",
        True,
    )
    assert {queue["queue"]: queue["consumers"] for queue in found["queues"]} == dict.fromkeys(
        [*QUEUES, "hookline.unrouted"], 1
    )
    assert found["http"] == {"keys": 2, "last_used_at": "2026-01-01T12:00:00.000Z"}
    assert found["problems"] == []
    assert "Nothing wants mending" in (await page(house)).body


async def test_what_was_accepted_is_that_of_the_last_hour(house: House, ada: Account) -> None:
    await ada.key.publish("batch.completed")
    await house.later(2 * 3600)
    assert not any(consumer["accepted"] for consumer in (await asked(house))["consumers"])


@on_sqlite
async def test_a_process_without_consumers_says_so(address: str) -> None:
    async with open_house(address, roles=("api",)) as house:
        found = await asked(house)
        shown = (await page(house)).body
    assert (found["consuming"], found["queues"], found["problems"]) == (False, [], [])
    assert [consumer["name"] for consumer in found["consumers"]] == FAMILIES
    assert {consumer["up"] for consumer in found["consumers"]} == {None}
    assert "This process does not consume" in shown


async def test_it_is_for_operators(house: House, ada: Account) -> None:
    assert (await ada.key.get("/api/bus")).code == "forbidden"
    shown = await page(house, operator=False)
    assert shown.status == 403
    assert 'href="/bus"' not in (await house.stranger.get("/")).body


async def test_a_consumer_in_trouble_is_told_with_the_reason(house: House) -> None:
    house.runtime.bus._board.trouble("database", "the database is <away>", "batch")  # type: ignore[attr-defined]
    found = await asked(house)
    [batch] = [consumer for consumer in found["consumers"] if consumer["name"] == "batch"]
    assert (batch["up"], batch["why"]) == (False, "the database is <away>")
    assert says(found) == {"consumer batch": "the database is <away>"}
    assert "the database is &lt;away&gt;" in (await page(house)).body


# -- on RabbitMQ -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def at_work(address: str, rabbit_url: str) -> AsyncIterator[House]:
    async with open_house(address, bus_url=rabbit_url) as house:
        await until(lambda: all(one.up for one in house.runtime.bus.health()), within_s=30)
        yield house


@on_sqlite
async def test_with_everything_at_work_on_rabbitmq_nothing_wants_mending(address: str, rabbit_url: str) -> None:
    async with at_work(address, rabbit_url) as house:
        found = await asked(house)
        shown = (await page(house)).body
    assert found["problems"] == []
    assert found["bus"]["kind"] == "rabbitmq"
    depths = {queue["queue"]: (queue["messages"], queue["consumers"]) for queue in found["queues"]}
    attended = [*QUEUES, "hookline.unrouted", "hookline.dead-letters.store"]
    assert depths == dict.fromkeys(attended, (0, 1)) | {"hookline.dead-letters": (0, 0)}
    assert [consumer["name"] for consumer in found["consumers"]] == [*FAMILIES, "unrouted", "dead-letters"]
    assert "by design" in shown


@on_sqlite
async def test_a_queue_that_was_deleted_and_one_that_nobody_empties_are_told(address: str, rabbit_url: str) -> None:
    async with at_work(address, rabbit_url) as house:
        ada = await house.account()
    async with open_house(address, roles=("api",), bus_url=rabbit_url) as house:
        await house.runtime.bus.publish(publication(envelope("file.completed"), ada.id))
        async with channel_to(rabbit_url) as channel:
            await channel.queue_delete("hookline.batch")
        found = await asked(house)
        shown = (await page(house)).body

    told = says(found)
    assert told["hookline.batch"].startswith("it is missing")
    assert told["hookline.file"] == "nobody consumes it, and 1 messages wait"
    assert "hookline.dead-letters" not in told
    mends = {problem["subject"]: problem["mend"] for problem in found["problems"]}
    assert "role worker" in mends["hookline.batch"]
    assert "hookline.batch: it is missing" in shown


@on_sqlite
async def test_a_queue_that_differs_is_told_with_its_consumer(address: str, rabbit_url: str) -> None:
    async with channel_to(rabbit_url) as channel:
        await channel.declare_queue("hookline.review", durable=True)
    async with open_house(address, bus_url=rabbit_url) as house:
        await until(lambda: sum(one.up for one in house.runtime.bus.health()) == 6, within_s=30)
        found = says(await asked(house))
    assert set(found) == {"hookline.review", "consumer review"}
    assert found["hookline.review"].startswith("it is there, and not as it should be")


# -- a broker that is away ---------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_broker_that_is_away_is_shown_as_such_and_without_its_password(address: str) -> None:
    url = f"amqp://hook:pass-word@127.0.0.1:{free_port()}/"
    async with open_house(address, bus_url=url) as house:
        await until(lambda: any(one.why for one in house.runtime.bus.health()))
        found = await asked(house)
        shown = await page(house)
    assert (found["bus"]["reachable"], found["queues"]) == (False, [])
    assert list(says(found)) == ["bus"], "one trouble is told once"
    assert "Check BUS_URL" in found["problems"][0]["mend"]
    assert shown.status == 200
    assert "Nobody knows, as long as the broker does not answer" in shown.body
    assert "pass-word" not in str(found) + shown.body


@asynccontextmanager
async def silent_broker() -> AsyncIterator[tuple[str, list[None]]]:
    """Somebody who takes connections and says nothing; gives the address, and an item for each connection."""
    taken: list[None] = []
    over = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(None)
        await over.wait()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/", taken
    finally:
        over.set()
        server.close()


@on_sqlite
async def test_a_broker_that_says_nothing_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.survey._PATIENCE_S", 0.3)
    async with silent_broker() as (url, _), open_house(address, roles=("api",), bus_url=url) as house:
        found = says(await asked(house))
    assert found == {"bus": "no answer: nothing came within 0.3 seconds"}


@on_sqlite
async def test_the_broker_is_asked_for_each_page_and_not_for_its_live_part(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.survey._PATIENCE_S", 0.3)
    async with silent_broker() as (url, taken), open_house(address, roles=("api",), bus_url=url) as house:
        assert (await page(house)).status == 200
        assert len(taken) == 1
        async with house.client.get("/bus/live", timeout=aiohttp.ClientTimeout(10)) as stream:
            assert b"event: part" in await stream.content.readuntil(b"\n\n")
            await house.account()
            await house.runtime.auth.note_key_use()
            assert b"event: part" in await stream.content.readuntil(b"\n\n"), "another key is a change"
        assert len(taken) == 1


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


async def test_the_commands_list_and_check(program: Program) -> None:
    async with program.serving():
        await program.bootstrap()
        assert "CONSUMER" not in (await program.run("sources", "list")).out
        await program.bootstrap("--operator")
        listed = await program.run("sources", "list")
        as_json = await program.run("sources", "list", "--json")
        checked = await program.run("sources", "check")
    lines = [line.split() for line in listed.out.splitlines()]
    assert ["batch", "ok", "hookline.batch", "0", "1", "0"] in lines
    assert "bus: in-process, memory://" in listed.out
    assert as_json.json["bus"]["bus"]["reachable"] is True
    assert (checked.code, checked.out, checked.err) == (0, "Nothing wants mending\n", "")


async def test_check_says_what_is_wrong_and_how_to_mend_it(program: Program) -> None:
    program.settings["BUS_URL"] = f"amqp://hook:pass-word@127.0.0.1:{free_port()}/"
    async with program.serving("--roles", "api"):
        await program.bootstrap("--operator")
        checked = await program.run("sources", "check")
        as_json = await program.run("sources", "check", "--json")
        listed = await program.run("sources", "list")
    assert (checked.code, checked.err) == (1, "Error: not in order: bus\n")
    assert "Check BUS_URL" in checked.out
    assert as_json.code == 1
    assert [problem["subject"] for problem in json.loads(as_json.out)] == ["bus"]
    assert ["batch", "elsewhere", "hookline.batch", "-", "-", "0"] in [line.split() for line in listed.out.splitlines()]
    assert "pass-word" not in checked.out + listed.out
