"""Section E where one answer is not enough: waits, redirects, reuse, chance, and receivers that call us back."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.delivery.receivers import OK, Receiver, free_port, receiving
from tests.hostile.answers import reset, with_length
from tests.hostile.cases import Case, cases_of, each
from tests.hostile.desk import Desk, open_desk
from tests.hostile.stories import REDIRECTS, RETRY_AFTER, STORIES, Wish

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path_factory.mktemp("service")) as opened:
        yield opened


def named(*labels: str) -> pytest.MarkDecorator:
    """The stories with these names."""
    return each([case for case in cases_of(STORIES) if case.label in labels])


def only_error(sent: Any) -> Any:
    (attempt,) = sent["attempts"]
    return attempt["error"]


# --- waits and redirects ----------------------------------------------------------------------------------------------


@each(cases_of(RETRY_AFTER))
async def test_a_wish_to_wait_lengthens_the_wait_and_never_shortens_it(desk: Desk, case: Case[Wish]) -> None:
    status, value, least, most = case.given
    answer = with_length(b"", b"Retry-After: " + value.encode(), status=b"%d X" % status)
    async with receiving(answer) as receiver:
        (sent,) = await desk.send_to(receiver.url())
    assert (only_error(sent)["class"], sent["status"]) == (case.expected, "pending")
    wait = datetime.fromisoformat(sent["next_attempt_at"]) - datetime.fromisoformat(sent["created_at"])
    assert least <= wait.total_seconds() <= most


@each(cases_of(REDIRECTS))
async def test_a_redirect_is_a_failure_and_nobody_goes_there(desk: Desk, case: Case[int]) -> None:
    async with receiving() as elsewhere:
        moved = with_length(b"", b"Location: " + elsewhere.url().encode(), status=b"%d X" % case.given)
        async with receiving(moved) as receiver:
            (sent,) = await desk.send_to(receiver.url())
    assert only_error(sent)["class"] == case.expected
    assert (len(receiver.requests), elsewhere.accepts) == (1, 0)


# --- nobody there -----------------------------------------------------------------------------------------------------


@named("a full backlog")
async def test_a_receiver_that_never_accepts_ends_in_time(desk: Desk, case: Case[str]) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        (sent,) = await desk.send_to(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for one in crowd:
            one.close()
    assert only_error(sent)["class"] == case.expected
    assert case.says in only_error(sent)["message"]


@named("a port where nothing listens")
async def test_a_port_where_nothing_listens_is_told_apart(desk: Desk, case: Case[str]) -> None:
    (sent,) = await desk.send_to(f"http://127.0.0.1:{free_port()}/")
    assert only_error(sent)["class"] == case.expected
    assert case.says in only_error(sent)["message"]


# --- connections that are used again ----------------------------------------------------------------------------------


@named("for every path")
async def test_cookies_are_never_sent_back(desk: Desk, case: Case[str]) -> None:
    async with receiving(with_length(b"", b"Set-Cookie: session=other-tenant; Path=/")) as receiver:
        deliveries = await desk.send_to(receiver.url(), times=3)
    assert [sent["status"] for sent in deliveries] == [case.expected] * 3
    assert not any("cookie" in name.lower() for sent in receiver.headers for name in sent)


@named("50 rounds")
async def test_a_connection_that_is_closed_as_it_is_used_again_is_no_failure_and_no_second_request(
    desk: Desk, case: Case[str]
) -> None:
    receiver = Receiver()

    async def close_behind_the_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await receiver.take(reader):
            writer.write(OK)
            await writer.drain()
            if len(receiver.requests) % 2:  # in every other round, so that connections are kept in between
                with socket.fromfd(
                    writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
                ) as same:
                    same.shutdown(socket.SHUT_RDWR)
                return

    async with receiving(converse=close_behind_the_back) as serving:
        deliveries = await desk.send_to(serving.url(), times=50)
    assert [sent["status"] for sent in deliveries] == [case.expected] * 50
    assert [len(sent["attempts"]) for sent in deliveries] == [1] * 50
    assert len(receiver.requests) == 50


@named("and resets the rest")
async def test_what_is_answered_half_the_time_arrives_once_and_is_delivered_once(desk: Desk, case: Case[str]) -> None:
    receiver, coin = Receiver(), Random(33)
    said_yes: list[str] = []

    async def toss(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await receiver.take(reader):
            if coin.random() < 0.5:
                reset(writer)
                return
            said_yes.append(receiver.headers[-1]["X-Tagmatic-Delivery"])
            writer.write(OK)

    house, key = desk.door.house, desk.door.account.key
    async with receiving(converse=toss) as serving:
        webhook = await key.register(serving.url(), retry_schedule=[1] * 20)
        for number in range(20):
            await key.publish(job_id=f"coin-{number}")
        await house.quiet()
        for _ in range(25):
            await house.later(400)  # an endpoint that fails a few times in a row is probed more seldom
        found = [
            (await key.get(f"/api/deliveries/{sent['id']}")).body
            for sent in await key.deliveries(webhook_id=webhook["id"])
        ]
        await key.delete(f"/api/webhooks/{webhook['id']}")
    assert [sent["status"] for sent in found] == [case.expected] * 20
    assert sorted(said_yes) == sorted(sent["id"] for sent in found), "one success each"
    assert sum(len(sent["attempts"]) for sent in found) == len(receiver.requests)
    assert len(receiver.requests) > 20


# --- receivers that call us back --------------------------------------------------------------------------------------

Reaction = Callable[[dict[str, Any], str], Awaitable[None]]


async def reacting(desk: Desk, react: Reaction, publish: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Deliver to a receiver that does something with the API before it answers; its deliveries, and what it got."""
    key = desk.door.account.key
    got: list[str] = []
    webhooks: list[str] = []

    async def take(request: web.Request) -> web.Response:
        got.append(request.headers["X-Tagmatic-Delivery"])
        await react(await request.json(), webhooks[0])
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        webhooks.append((await key.register(f"http://127.0.0.1:{runner.addresses[0][1]}/hook"))["id"])
        await key.publish(**publish)
        await desk.door.house.quiet()
        found = await key.deliveries(webhook_id=webhooks[0])
        await key.delete(f"/api/webhooks/{webhooks[0]}")
    finally:
        await runner.cleanup()
    return found, got


@named("deletes its own webhook", "rotates its own secret", "asks for a retry of the very delivery")
async def test_a_receiver_may_change_what_is_just_being_delivered(desk: Desk, case: Case[str]) -> None:
    key = desk.door.account.key
    asked: list[int] = []

    async def react(_: dict[str, Any], webhook: str) -> None:
        if case.given == "delete":
            asked.append((await key.delete(f"/api/webhooks/{webhook}")).status)
        elif case.given == "rotate":
            asked.append((await key.post(f"/api/webhooks/{webhook}/rotate")).status)
        elif len(asked) < 2:
            (sent,) = await key.deliveries(webhook_id=webhook)
            asked.append((await key.post(f"/api/deliveries/{sent['id']}/retry")).status)

    found, got = await reacting(desk, react, {"job_id": f"change-{case.given}"})
    assert [sent["status"] for sent in found] == [case.expected]
    assert all(status < 300 or status == 409 for status in asked), asked
    assert found[0]["attempts_made"] == len(got)


@named("publishes what it was sent")
async def test_an_echo_ends_at_once_because_the_event_is_a_duplicate(desk: Desk, case: Case[str]) -> None:
    key = desk.door.account.key
    answers: list[Any] = []

    async def react(envelope: dict[str, Any], _: str) -> None:
        answers.append((await key.post("/api/events", envelope)).body)

    found, got = await reacting(desk, react, {"job_id": "echo"})
    assert [sent["status"] for sent in found] == [case.expected]
    assert [(answer["duplicate"], answer["deliveries"]) for answer in answers] == [(True, 0)]
    assert len(got) == 1


@named("publishes something new each time")
async def test_a_loop_of_events_does_not_stop_what_else_there_is(desk: Desk, case: Case[str]) -> None:
    key = desk.door.account.key
    rounds = 25

    async def react(envelope: dict[str, Any], _: str) -> None:
        number = int(envelope["data"]["job_id"].rpartition("-")[2])
        if number < rounds:
            envelope["data"]["job_id"] = f"loop-{number + 1}"
            assert (await key.post("/api/events", json.loads(json.dumps(envelope)))).status == 202

    before = len(desk.healthy.requests)
    found, got = await reacting(desk, react, {"job_id": "loop-1"})
    assert [sent["status"] for sent in found] == [case.expected] * rounds
    assert len(got) == rounds
    assert len(desk.healthy.requests) == before + rounds
