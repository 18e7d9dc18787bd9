"""Streams that outlive their connection: `deliveries --follow` and `listen`, over restarts of the service."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.client import open_api
from tests.service.house import Account, House
from tests.support.polling import until
from tests.support.program import Program, Running, json_lines
from tests.support.receiver import Receiver
from tests.support.samples import envelope

SECRET = "your-webhook-signing-secret"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


async def publish(program: Program, *jobs: str) -> None:
    events = json_lines([envelope(job_id=job) for job in jobs])
    assert (await program.run("publish", "-", stdin=events)).code == 0


def said(running: Running) -> Sequence[Any]:
    """What a command has said in JSON Lines; the last line may not be complete yet."""
    return [json.loads(line) for line in running.out.splitlines(keepends=True) if line.endswith("\n")]


def port_of(service: Running) -> str:
    return service.url.rpartition(":")[2]


# -- deliveries --follow -----------------------------------------------------------------------------------------------


async def test_the_log_is_followed_over_a_restart_without_gaps_and_repeats(
    program: Program, receiver: Receiver
) -> None:
    async with program.serving() as service:
        port = port_of(service)
        await program.bootstrap()
        await program.register(receiver.url)
        await publish(program, "before")
        async with program.running("deliveries", "--follow", "--json") as follower:

            def delivered() -> list[str]:
                return [one["job_id"] for one in said(follower) if one["status"] == "delivered"]

            await until(lambda: delivered() == ["before"])
            await publish(program, "while_connected")
            await until(lambda: len(delivered()) == 2)
            assert await service.end() == 0
            await until(lambda: "connecting again" in follower.err)
            async with program.serving(PORT=port):
                await publish(program, *(f"after_{number}" for number in range(120)))
                await until(lambda: len(delivered()) == 122)
                assert "Connected again, nothing is left out" in follower.err
                assert len(follower.err.splitlines()) == 2, "a cut is told once, and so is its end"
                assert await follower.end(signal.SIGINT) == 0

        states = [(one["id"], one["status"], one["attempts_made"], one["next_attempt_at"]) for one in said(follower)]
        assert len(set(states)) == len(states), "nothing twice"


async def test_following_shows_what_is_cancelled_and_only_what_the_filters_find(
    program: Program, receiver: Receiver
) -> None:
    receiver.answers(500)
    async with program.serving():
        await program.bootstrap()
        await program.register(receiver.url)
        await publish(program, "one")
        async with open_api(program.settings["URL"], program.settings["API_KEY"]) as api:

            async def failed_once() -> bool:
                return [one["attempts_made"] for one in (await api.get("/api/deliveries"))["items"]] == [1]

            await until(failed_once)
            (delivery,) = (await api.get("/api/deliveries"))["items"]
            async with program.running("deliveries", "--follow", "--status", "cancelled") as follower:
                await until(lambda: "TIME" in follower.out)
                await publish(program, "another")
                await api.post(f"/api/deliveries/{delivery['id']}/cancel")
                await until(lambda: delivery["id"] in follower.out)
                (row,) = [line.split() for line in follower.out.splitlines()[1:]]
                assert row[3] == "cancelled"


async def test_a_stream_begins_with_the_newest_and_goes_on_from_any_position(house: House, ada: Account) -> None:
    await ada.key.register("http://127.0.0.1:1/nobody")
    for job in ("a", "b", "c"):
        await ada.key.publish(job_id=job)
        await house.later(1)

    async def heard(count: int, headers: dict[str, str], **query: str) -> list[str]:
        found: list[str] = []
        asked = {**ada.key.headers, **headers}
        async with house.client.get("/api/deliveries/stream", headers=asked, params=query) as response:
            assert response.content_type == "text/event-stream"
            async for line in response.content:
                if line.startswith(b"data: "):
                    found.append(json.loads(line.removeprefix(b"data: "))["job_id"])
                if len(found) == count:
                    return found
        raise AssertionError(found)

    assert await heard(2, {}, last="2") == ["b", "c"]
    assert await heard(1, {}, last="1", job_id="a") == ["a"]
    before = house.clock.now().isoformat()
    house.clock.forward(3600)
    assert sorted(await heard(3, {"Last-Event-ID": before})) == ["a", "b", "c"], "an hour later, nothing is left out"
    refused = await ada.key.call("GET", "/api/deliveries/stream", headers={"Last-Event-ID": "yesterday"})
    assert (refused.status, refused.code) == (400, "invalid_cursor")


async def test_nobody_follows_anybody_elses_deliveries(house: House, ada: Account) -> None:
    bob = await house.account("bob@example.com")
    for account in (ada, bob):
        await account.key.register("http://127.0.0.1:1/nobody")
    async with house.client.get("/api/deliveries/stream", headers=ada.key.headers) as response:
        await response.content.readuntil(b"\n\n")
        await bob.key.publish(job_id="of_bob")
        await ada.key.publish(job_id="of_ada")
        async for line in response.content:
            if line.startswith(b"data: "):
                assert json.loads(line.removeprefix(b"data: "))["account_id"] == ada.id
                return
    raise AssertionError("the stream has ended")


async def test_a_key_that_is_not_good_is_no_reason_to_try_again(program: Program) -> None:
    async with program.serving():
        done = await program.run("deliveries", "--follow", API_KEY="tmk_wrong")
    assert (done.code, done.err) == (1, "Error: Invalid or revoked API key\n")


# -- listen ------------------------------------------------------------------------------------------------------------


async def test_listening_goes_on_over_a_restart_and_a_local_server_that_is_down(
    program: Program, receiver: Receiver
) -> None:
    async with program.serving() as service:
        port = port_of(service)
        await program.bootstrap()
        async with program.running("listen", "--forward", receiver.url, "--json") as listener:
            async with program.running("listen", "--forward", "http://127.0.0.1:1/", "--secret", SECRET) as unlucky:
                await until(lambda: "Listening" in unlucky.out)
                await publish(program, "one")
                await until(lambda: [one["job_id"] for one in said(listener)] == ["one"])
                await until(lambda: "no answer: " in unlucky.out)
                await publish(program, "two")
                await until(lambda: unlucky.out.count("no answer: ") == 2)
            assert await service.end() == 0
            await until(lambda: "connecting again" in listener.err)
            async with program.serving(PORT=port):
                await publish(program, "three")
                await until(lambda: len(said(listener)) == 3)
                assert await listener.end(signal.SIGINT) == 0

        heard = said(listener)
        assert [one["job_id"] for one in heard] == ["one", "two", "three"]
        assert {(one["verified"], one["answer"]) for one in heard} == {(True, 200)}
        assert all(one["answer_ms"] > 0 for one in heard)
        for one, call in zip(heard, receiver.calls, strict=True):
            assert call.body == one["body"].encode()
            assert one["headers"].items() <= dict(call.headers).items()


async def test_an_address_to_forward_to_that_is_none_is_wrong_usage(program: Program) -> None:
    done = await program.run("listen", "--forward", "localhost:3000", API_KEY="tmk_any")
    assert done.code == 2
    assert "http://127.0.0.1:3000/webhooks" in done.err
