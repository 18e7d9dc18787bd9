"""Bytes that clients send instead of a request: tables of named cases, and somebody who sends them as they are."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.app import build_app
from service.connections import USUAL, Patience
from service.front import Front, listen
from tests.service.house import House
from tests.support.samples import envelope

_PATIENCE_S = 20.0

EVENT = json.dumps(envelope()).encode()


@dataclass(frozen=True)
class Said:
    """What came back before the service hung up: the last status, all statuses, and the last answer's JSON."""

    statuses: tuple[int, ...]
    body: Any
    raw: bytes

    @property
    def status(self) -> int:
        return self.statuses[-1] if self.statuses else 0


@dataclass(frozen=True)
class Door:
    """The service's front door, for those who do not speak HTTP."""

    port: int

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect, and hang up when the block is left."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def say(self, raw: bytes, *, forever: bytes = b"", pause_s: float = 0.0) -> Said:
        """Say this, and then the other thing again and again, until the service hangs up."""
        async with self.connection() as (reader, writer):
            talking = asyncio.create_task(_talk(writer, raw, forever, pause_s))
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    return read(await _listen(reader))
            finally:
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)


async def _talk(writer: asyncio.StreamWriter, raw: bytes, forever: bytes, pause_s: float) -> None:
    writer.write(raw)
    await writer.drain()
    while forever:
        await asyncio.sleep(pause_s)
        writer.write(forever)
        await writer.drain()


async def _listen(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    while True:
        try:
            more = await reader.read(65536)
        except ConnectionError:  # hung up on while we were talking
            return heard
        if not more:
            return heard
        heard += more


def read(raw: bytes) -> Said:
    """Take apart what came back."""
    statuses: list[int] = []
    body: Any = None
    rest = raw
    while rest.startswith(b"HTTP/1."):
        head, _, rest = rest.partition(b"\r\n\r\n")
        statuses.append(int(head.split(b" ", 2)[1]))
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(headers.get(b"content-length", 0))
        text, rest = rest[:length], rest[length:]
        if headers.get(b"content-type", b"").startswith(b"application/json"):
            body = json.loads(text)
    return Said(tuple(statuses), body, raw)


@asynccontextmanager
async def front_door(house: House, patience: Patience = USUAL) -> AsyncIterator[Door]:
    """Open the house's front door, as `serve` does."""
    with listen("127.0.0.1", 0) as listener:
        async with Front(listener, patience).showing(build_app(house.runtime)):
            yield Door(listener.getsockname()[1])


def request(head: str, body: bytes = b"", *, key: str = "", method: str = "POST", path: str = "/api/events") -> bytes:
    """A request with these header lines beside the usual ones."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"X-API-Key: {key}"]
    return "\r\n".join([*lines, *head.splitlines(), "", ""]).encode("utf-8", "surrogateescape") + body


def sized(body: bytes) -> str:
    """The usual framing of a body."""
    return f"Content-Length: {len(body)}"


#: What is no request at all, or none that may be answered. All are refused, and the connection is closed.
BROKEN: Mapping[str, bytes] = {
    "nonsense": b"\x00\x01\x02 nonsense\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "an SMTP greeting": b"EHLO example.com\r\n\r\n",
    "an SSH banner": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTTP/2 without TLS": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "a method of 10 kB": b"G" * 10_000 + b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method with a colon": b"GE:T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of 100 kB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in the path": b"GET /health\x00z HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 1 MB": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "a header name of 100 kB": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a" * 100_000 + b": x\r\n\r\n",
    "a thousand headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a header name with a space": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n",
    "an empty header name": b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "a NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "a bare line feed in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
    "a bare return in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\rY: b\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a length below zero": b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length with a plus": b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    "a length that is no number": b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n{}",
    "a length of 40 digits": b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "two lengths": b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a length and chunks": (
        b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "chunks that are not last": (
        b"POST /api/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"
    ),
    "an encoding that nobody knows": b"POST /api/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
}

#: Bodies that are framed wrongly, by a publisher with a key: the head of the request and what follows it.
MISFRAMED: Mapping[str, tuple[str, bytes]] = {
    "a chunk of no size": ("Transfer-Encoding: chunked", b"nonsense\r\n\r\n"),
    "a chunk of a size below zero": ("Transfer-Encoding: chunked", b"-1\r\n{}\r\n0\r\n\r\n"),
    "a chunk of 2^70 bytes": ("Transfer-Encoding: chunked", b"400000000000000000\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than it says": ("Transfer-Encoding: chunked", b"1\r\n" + EVENT + b"\r\n0\r\n\r\n"),
    "a chunk extension of 1 MB": (
        "Connection: close\nTransfer-Encoding: chunked",
        b"2;" + b"x" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n",
    ),
    "a length that is too short": (f"Content-Length: {len(EVENT) - 5}", EVENT + b"\r\n\r\n"),
}

#: What may go before or around a body: the service answers each with a status of the client's own making.
UNWANTED: Mapping[str, tuple[str, bytes, int, str]] = {
    "gzip": ("Content-Encoding: gzip", EVENT, 415, "unsupported_media_type"),
    "gzip in gzip": ("Content-Encoding: gzip, gzip", EVENT, 415, "unsupported_media_type"),
    "deflate": ("Content-Encoding: deflate", EVENT, 415, "unsupported_media_type"),
    "Brotli": ("Content-Encoding: br", EVENT, 415, "unsupported_media_type"),
    "Zstandard": ("Content-Encoding: zstd", EVENT, 415, "unsupported_media_type"),
    "an encoding of 8 kB": (f"Content-Encoding: {'x' * 8000}", EVENT, 415, "unsupported_media_type"),
    "an expectation that nobody has": ("Expect: a miracle", EVENT, 417, "expectation_failed"),
}

#: Content types other than JSON in UTF-8.
OTHER_TYPES = (
    "text/plain",
    "text/html",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/octet-stream",
    "application/jsonp",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    "application/json; charset=nonsense",
    "nonsense",
    "/",
)
