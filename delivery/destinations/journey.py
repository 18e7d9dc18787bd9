"""One request on its way: what is seen of it, and how it goes out on a connection that may have been kept."""

import asyncio
import select
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any

import aiohttp
from aiohttp.client import ClientRequest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from delivery.domain.model import Timings

#: Where the class of a status is in "HTTP/1.1 200 OK", and how many interim (1xx) answers are listened to.
_INTERIM = 9
_MOST_INTERIM = 32
_BLANK_LINE = b"\r\n\r\n"


class StaleConnectionError(Exception):
    """A kept connection turned out to be unusable before anything was sent on it."""


class Journey:
    """One request on its way: when it reached each step, in seconds of ``perf_counter``, and whom it reached."""

    __slots__ = ("address", "answered", "by_name", "connected", "dialled", "sent", "started", "transport")

    def __init__(self) -> None:
        self.by_name = False
        self.started = perf_counter()
        self.dialled: float | None = None
        self.connected: float | None = None
        self.sent: float | None = None
        self.answered: float | None = None
        self.address: str | None = None
        self.transport: asyncio.Transport | None = None

    @property
    def step(self) -> str:
        """What it was doing when it came to an end."""
        if self.sent is not None:
            return "waiting for the answer"
        if self.connected is not None:
            return "in the TLS handshake"
        return "connecting" if self.dialled is not None or not self.by_name else "looking up the name"

    def timings(self) -> Timings:
        """Say how long each step took so far. On a kept connection there was neither lookup, connect nor TLS."""
        now = perf_counter()
        dialled, connected, sent, answered = self.dialled, self.connected, self.sent, self.answered
        kept = sent is not None and dialled is None
        return Timings(
            total_ms=_ms(self.started, now),
            dns_ms=_ms(self.started, dialled or now) if self.by_name and not kept else None,
            connect_ms=_ms(dialled, connected or sent or now) if dialled else None,
            tls_ms=_ms(connected, sent or now) if connected else None,
            first_byte_ms=_ms(sent, answered) if sent and answered else None,
        )

    def dial(self, address: str) -> None:
        """Note that a connection to this address is tried; it may not be the first one."""
        self.address = address
        self.dialled = self.dialled or perf_counter()

    def begin_tls(self) -> None:
        """Note that TCP is done and TLS begins."""
        self.connected = self.connected or perf_counter()

    def set_off(self, transport: asyncio.Transport | None) -> None:
        """Note that there is a connection, and that the request goes out on it now."""
        self.transport = transport
        self.sent = perf_counter()
        peer = transport.get_extra_info("peername") if transport is not None else None
        if peer:
            self.address = str(peer[0])

    def arrive(self) -> None:
        """Note that the headers of the answer are in."""
        self.answered = perf_counter()

    def abandon(self) -> None:
        """Drop the connection now: a polite close waits for whatever a hostile receiver never does."""
        if self.transport is not None:
            self.transport.abort()


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 3)


#: The journey of the request that this task is making.
current: ContextVar[Journey | None] = ContextVar("journey", default=None)


@contextmanager
def travelling(journey: Journey) -> Iterator[None]:
    """Make the requests of this block write down their steps in the journey."""
    token = current.set(journey)
    try:
        yield
    finally:
        current.reset(token)


class Request(ClientRequest):
    """A request that looks at its connection once more before it sends, and tells its journey.

    A server may close a kept connection at any time, and aiohttp notices only when it next reads. What has been sent
    by then may or may not have been worked on: sending it again would be a second request that no log shows, and not
    sending it a failure that was none. So the socket itself is asked right before sending. If there is anything to
    read (the end, an alert, an answer that nobody asked for), nothing is sent and the caller takes another connection.
    What remains is an end that is still on its way to us; with ``KEEP_ALIVE`` so short that is as good as never, and
    it counts as the failure that it is.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send on this connection, which may have been kept."""
        journey = current.get()
        if journey is not None:
            if journey.dialled is None and _has_ended(conn):
                raise StaleConnectionError
            journey.set_off(conn.transport)
        _listen(conn)
        return await super().send(conn)


class _Ear(asyncio.Protocol):
    """Listens to a connection for aiohttp's protocol, and hands it the head of each answer by itself.

    aiohttp forgets a status line that it has read when what follows in the same bytes is broken: a chunk of no size,
    more bytes than announced, a body where none may be. The status has decided by then.
    """

    def __init__(self, inner: ResponseHandler) -> None:
        self._inner = inner
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]
        self.expect_answer()

    def expect_answer(self) -> None:
        """Get ready for the next head."""
        self._in_head = True
        self._first = self._last = b""
        self._interim = 0

    def data_received(self, data: bytes) -> None:
        """Pass everything on, cut after the blank line."""
        while data and self._in_head:
            self._first += data[: _INTERIM - len(self._first) + 1]
            end = (self._last + data).find(_BLANK_LINE)
            if end < 0:
                self._last = (self._last + data)[1 - len(_BLANK_LINE) :]
                break
            end += len(_BLANK_LINE) - len(self._last)
            self._inner.data_received(data[:end])
            data = data[end:]
            self._in_head = self._first[_INTERIM:] == b"1"  # 100 Continue, 103 Early Hints: another head follows
            self._first = self._last = b""
            self._interim += self._in_head
            if self._interim > _MOST_INTERIM and self._inner.transport is not None:
                self._inner.transport.pause_reading()  # it will run out of time without costing any more of ours
                return
        if data:
            self._inner.data_received(data)


def _has_ended(conn: Connection) -> bool:
    transport, protocol = conn.transport, conn.protocol
    if transport is None or transport.is_closing() or protocol is None or protocol.should_close:
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _listen(conn: Connection) -> None:
    transport, protocol = conn.transport, conn.protocol
    if transport is None or protocol is None:
        return
    ear = transport.get_protocol()
    if isinstance(ear, _Ear):
        ear.expect_answer()
    else:
        transport.set_protocol(_Ear(protocol))


async def request(session: aiohttp.ClientSession, method: str, url: URL, **how: Any) -> aiohttp.ClientResponse:
    """Send one request, following no redirect; return when the headers of its answer are in, and not yet its body."""
    while True:
        try:
            return await session.request(method, url, allow_redirects=False, **how)
        except StaleConnectionError:  # nothing was sent; each turn uses up one kept connection
            continue
