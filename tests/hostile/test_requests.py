"""Whatever comes in at the front door: it is answered or hung up on in good time, and nobody else has to wait."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from delivery.store import tables
from service.connections import Patience
from tests.hostile.requests import (
    BROKEN,
    EVENT,
    MISFRAMED,
    OTHER_TYPES,
    UNWANTED,
    Door,
    Said,
    front_door,
    read,
    request,
    sized,
)
from tests.service.house import Account, House, open_house
from tests.support.polling import until

HASTY = Patience(head=0.5, idle=30.0, answer=1.0, rest=0.5)

#: Words that only the inside of the service uses.
INTERNALS = (b"Traceback", b"aiohttp", b"Python", b".py", b"llhttp")


@pytest.fixture
async def house(sqlite_url: str) -> AsyncIterator[House]:
    async with open_house(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    """The front door of a service that is quick to lose patience."""
    async with front_door(house, HASTY) as opened:
        yield opened


@pytest.fixture
async def ada(house: House) -> Account:
    return await house.account()


async def events(house: House) -> int:
    async with house.runtime.store.reading() as tx:
        return int((await tx.execute(select(func.count()).select_from(tables.events))).scalar_one())


def verdict(said: Said) -> tuple[int, str]:
    """The last status and its code; every refusal has words, and none tells of the inside."""
    if not said.statuses:
        return 0, "hung up"
    assert said.status >= 400, said.raw[:500]
    assert set(said.body) <= {"error", "code", "field"}
    assert said.body["error"]
    assert b"Server: Hookline\r\n" in said.raw
    assert not [word for word in INTERNALS if word in said.raw]
    return said.status, said.body["code"]


async def assert_open(door: Door) -> None:
    """The next client is served as if nothing had been."""
    said = await door.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (said.status, said.body) == (200, {"status": "alive"})


# -- no requests -------------------------------------------------------------------------------------------------------


async def test_what_is_no_request_is_refused_in_the_words_of_the_api_and_hung_up_on(door: Door) -> None:
    said = {name: await door.say(raw) for name, raw in BROKEN.items()}
    assert {name: verdict(one) for name, one in said.items()} == dict.fromkeys(BROKEN, (400, "bad_request"))
    await assert_open(door)


async def test_a_body_that_is_framed_wrongly_is_refused_and_nothing_of_it_is_stored(
    house: House, door: Door, ada: Account
) -> None:
    said = {name: await door.say(request(*sent, key=ada.api_key)) for name, sent in MISFRAMED.items()}
    assert {name: verdict(one)[0] for name, one in said.items()} == dict.fromkeys(MISFRAMED, 400)
    assert await events(house) == 0
    await assert_open(door)


async def test_what_we_do_not_take_is_refused_and_nothing_of_it_is_stored(
    house: House, door: Door, ada: Account
) -> None:
    said = {
        name: await door.say(request(f"{sized(body)}\nConnection: close\n{head}", body, key=ada.api_key))
        for name, (head, body, _, _) in UNWANTED.items()
    }
    assert {name: verdict(one) for name, one in said.items()} == {
        name: tuple(row[2:]) for name, row in UNWANTED.items()
    }
    assert await events(house) == 0


async def test_what_says_that_it_is_no_json_is_refused(house: House, door: Door, ada: Account) -> None:
    raw = request(f"{sized(EVENT)}\nConnection: close", EVENT, key=ada.api_key)
    said = {
        other: await door.say(raw.replace(b"Content-Type: application/json", f"Content-Type: {other}".encode()))
        for other in OTHER_TYPES
    }
    assert {other: verdict(one)[0] for other, one in said.items()} == dict.fromkeys(OTHER_TYPES, 415)
    assert await events(house) == 0


async def test_a_gzip_bomb_is_not_even_opened(house: House, door: Door, ada: Account) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), mtime=0)
    assert (
        verdict(
            await door.say(request(f"{sized(bomb)}\nConnection: close\nContent-Encoding: gzip", bomb, key=ada.api_key))
        )[0]
        == 415
    )
    assert verdict(await door.say(request(f"{sized(bomb)}\nConnection: close", bomb, key=ada.api_key)))[0] == 400


async def test_behind_a_good_request_nonsense_changes_nothing_of_its_answer(
    house: House, door: Door, ada: Account
) -> None:
    async with door.connection() as (reader, writer):
        writer.write(request(sized(EVENT), EVENT, key=ada.api_key))
        good = await reader.readuntil(b"}")
        writer.write(b"\x00nonsense\r\n\r\n")
        bad = await asyncio.wait_for(reader.read(), 20)
    assert (read(good).statuses, read(bad).statuses) == ((202,), (400,))
    assert await events(house) == 1


async def test_what_is_smuggled_behind_a_body_is_a_request_of_its_own_with_no_key(
    house: House, door: Door, ada: Account
) -> None:
    hidden = b"GET /api/webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    said = await door.say(request(sized(EVENT), EVENT, key=ada.api_key) + hidden)
    assert said.statuses == (202, 401)


# -- no end ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beginning", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"G", b"\r\n"])
async def test_a_head_that_never_ends_is_given_up(door: Door, beginning: bytes) -> None:
    assert (
        verdict(await door.say(beginning, forever=b"X: y\r\n" if len(beginning) > 2 else b"", pause_s=0.05))[0] == 408
    )
    await assert_open(door)


async def test_after_an_answer_the_next_head_has_no_more_time(door: Door) -> None:
    good = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with door.connection() as (reader, writer):
        writer.write(good)
        await reader.readuntil(b"}")
        writer.write(good[:-2])
        assert read(await asyncio.wait_for(reader.read(), 20)).statuses == (408,)


async def test_who_says_nothing_is_hung_up_on(house: House) -> None:
    async with front_door(house, Patience(idle=0.3)) as door:
        assert (await door.say(b"")).raw == b""


@pytest.mark.parametrize("framing", ["Content-Length: 10000", "Transfer-Encoding: chunked"])
async def test_a_body_that_comes_too_slowly_is_given_up(
    house: House, door: Door, ada: Account, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.calls.PATIENCE_S", 0.5)
    piece = b"1\r\n \r\n" if "chunked" in framing else b" "
    said = await door.say(request(framing, key=ada.api_key), forever=piece, pause_s=0.02)
    assert verdict(said)[0] == 408
    assert await events(house) == 0


@pytest.mark.parametrize("path", ["/api/events", "/api/webhooks", "/api/auth/login"])
async def test_a_body_without_end_is_refused_once_it_is_too_large(door: Door, ada: Account, path: str) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    said = await door.say(request("Transfer-Encoding: chunked", key=ada.api_key, path=path), forever=chunk)
    assert verdict(said)[0] == 413
    await assert_open(door)


async def test_a_body_that_breaks_off_is_no_event(house: House, door: Door, ada: Account) -> None:
    async with door.connection() as (reader, writer):
        writer.write(request(f"Content-Length: {len(EVENT) + 1}", EVENT, key=ada.api_key))
        writer.write_eof()
        raw = await asyncio.wait_for(reader.read(), 20)
    assert not read(raw).statuses or read(raw).status == 400
    assert await events(house) == 0
    await assert_open(door)


async def test_who_does_not_read_the_answer_is_hung_up_on(house: House, ada: Account) -> None:
    for number in range(8):
        assert (await ada.key.publish(job_id=f"j{number}", metadata={"x": "x" * 200_000})).status == 202
    async with front_door(house, HASTY) as door:
        before = served()
        with socket.create_connection(("127.0.0.1", door.port)) as deaf:
            deaf.sendall(request("", key=ada.api_key, method="GET", path="/api/events") * 20)
            await until(lambda: served() == before + 1)
            await until(lambda: served() == before)
        await assert_open(door)


def served() -> int:
    """How many connections the service is looking after."""
    return sum("RequestHandler.start" in str(task.get_coro()) for task in asyncio.all_tasks())


# -- nobody else has to wait -------------------------------------------------------------------------------------------


async def test_five_hundred_who_only_sit_there_do_not_keep_anybody_waiting(house: House, ada: Account) -> None:
    beginnings = [b"", b"GET", request("Content-Length: 5000", b"{", key=ada.api_key), b"GET /healthz HTTP/1.1\r\nX: "]
    async with front_door(house, Patience()) as door:
        sitting = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", door.port) for _ in range(500)))
        for number, (_, writer) in enumerate(sitting):
            writer.write(beginnings[number % len(beginnings)])
        for number in range(10):
            body = EVENT.replace(b"ann_", b"n%d_" % number)
            said = await door.say(request(f"{sized(body)}\nConnection: close", body, key=ada.api_key))
            assert said.status == 202
        assert not [writer for _, writer in sitting if writer.is_closing()]
        for _, writer in sitting:
            writer.close()
    assert await events(house) == 10
