"""Annotation systems that are hostile, or in whose place somebody hostile answers: each is in trouble, and nobody else.

Whoever may connect a source chooses what is asked, and whoever answers there chooses what is read.
"""

import asyncio
import gzip
import json
import tracemalloc

import pytest
from pydantic import TypeAdapter

from consumers.sources import remote
from consumers.sources.remote import (
    AccessRefusedError,
    MalformedError,
    MisconfiguredError,
    Remote,
    SourceTroubleError,
    UnreachableError,
    expected,
)
from delivery.destinations.session import open_session
from delivery.domain.guard import EgressPolicy
from tests.delivery.receivers import LOOPBACK, Conversation, receiving

JSON = TypeAdapter(list[int])
PASSWORD = "correct-horse"


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PATIENCE_S", 0.5)


async def asked(converse: Conversation, policy: EgressPolicy = LOOPBACK) -> list[int]:
    """Ask somebody for a list of numbers, with a password in the query."""
    async with receiving(converse=converse) as server, open_session(policy) as session:
        answer = await Remote(session, server.url("")).get("numbers", params={"client_secret": PASSWORD})
        return expected(answer).read(JSON)


async def trouble(converse: Conversation, policy: EgressPolicy = LOOPBACK) -> SourceTroubleError:
    with pytest.raises(SourceTroubleError) as caught:
        await asked(converse, policy)
    assert PASSWORD not in str(caught.value), "what is wrong is shown to people and written into the log"
    return caught.value


def saying(answer: bytes, *, then: bytes = b"", for_ever: bool = False, every_s: float = 0) -> Conversation:
    """Read a request and answer it, and go on with something, once or until nobody listens any more."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        while True:
            writer.write(then)
            await writer.drain()
            if not for_ever:
                return
            await asyncio.sleep(every_s)

    return converse


def ok(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body])


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n["

CASES = {
    "hangs without a word": (saying(b"", for_ever=True, every_s=9), UnreachableError),
    "hangs up": (saying(b""), UnreachableError),
    "ends amid the head": (saying(b"HTTP/1.1 200 OK\r\nContent-"), UnreachableError),
    "ends amid the body": (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[1"), UnreachableError),
    "drips": (saying(ENDLESS, then=b" ", for_ever=True, every_s=0.02), UnreachableError),
    "drips its head": (saying(b"HTTP/1.1 200 OK\r\nX: ", then=b"x", for_ever=True, every_s=0.02), UnreachableError),
    "has a head without end": (saying(b"HTTP/1.1 200 OK\r\n", then=b"X: y\r\n" * 999, for_ever=True), UnreachableError),
    "speaks something else": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), UnreachableError),
    "has a status that is none": (saying(b"HTTP/1.1 9999 OK\r\n\r\n"), UnreachableError),
    "fails": (saying(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), UnreachableError),
    "is busy": (saying(b"HTTP/1.1 429 No\r\nRetry-After: inf\r\nContent-Length: 0\r\n\r\n"), UnreachableError),
    "refuses": (saying(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), AccessRefusedError),
    "is not there": (saying(b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\n<a/>"), MisconfiguredError),
    "repeats what it was asked": (
        saying(b"HTTP/1.1 400 No\r\nContent-Length: 29\r\n\r\n?client_secret=correct-horse!"),
        MisconfiguredError,
    ),
    "sends us elsewhere with it": (
        saying(b"HTTP/1.1 301 No\r\nLocation: /?client_secret=correct-horse\r\nContent-Length: 0\r\n\r\n"),
        MisconfiguredError,
    ),
    "sends us elsewhere": (
        saying(b"HTTP/1.1 302 No\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"),
        MisconfiguredError,
    ),
    "is a page": (saying(ok(b"<!doctype html>")), MalformedError),
    "is compressed, though nobody asked for it": (
        saying(ok(gzip.compress(b"[1]"), b"Content-Encoding: gzip")),
        MalformedError,
    ),
    "is not UTF-8": (saying(ok(b'["\xff"]')), MalformedError),
    "is nested without end": (saying(ok(b"[" * 200_000)), MalformedError),
    "has a number without end": (saying(ok(b"[" + b"9" * 10_000 + b"]")), MalformedError),
    "is something else": (saying(ok(json.dumps({"numbers": [PASSWORD]}).encode())), MalformedError),
    "is empty": (saying(ok(b"")), MalformedError),
}


@pytest.mark.parametrize("name", CASES)
async def test_whatever_a_system_answers_it_is_in_trouble_and_nothing_else(name: str) -> None:
    converse, kind = CASES[name]
    assert type(await trouble(converse)) is kind


async def test_a_refusal_is_quoted_where_it_cannot_repeat_a_secret() -> None:
    answer = saying(b"HTTP/1.1 404 No\r\nContent-Length: 15\r\n\r\nno such project")
    async with receiving(converse=answer) as server, open_session(LOOPBACK) as session:
        with pytest.raises(MisconfiguredError, match="GET /numbers answered 404: no such project"):
            expected(await Remote(session, server.url("")).get("numbers"))


async def test_what_should_be_there_is_read() -> None:
    assert await asked(saying(ok(b"[1, 2]"))) == [1, 2]


async def test_a_body_without_end_is_read_up_to_a_bound_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PATIENCE_S", 30)
    monkeypatch.setattr(remote, "_MOST_BYTES", 1024 * 1024)
    tracemalloc.start()
    try:
        found = await trouble(saying(ENDLESS, then=b" " * 65536, for_ever=True))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(found) is MalformedError
    assert "1,048,576 bytes" in str(found)
    assert peak < 8 * 1024 * 1024


async def test_a_private_address_is_not_called() -> None:
    called = asyncio.Event()

    async def converse(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        called.set()

    assert type(await trouble(converse, EgressPolicy())) is MisconfiguredError
    assert not called.is_set()


@pytest.fixture
async def nobody() -> str:
    """An address at which nobody is any more."""
    async with receiving() as gone:
        return gone.url("")


async def test_one_that_is_not_at_home_is_unreachable(nobody: str) -> None:
    async with open_session(LOOPBACK) as session:
        with pytest.raises(UnreachableError):
            await Remote(session, nobody).get("numbers")
