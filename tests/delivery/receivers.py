"""Receivers of deliveries, good and bad, on loopback, and what it takes to send to them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from ssl import SSLContext
from typing import Any

from delivery.destinations.session import open_session, tls_context
from delivery.destinations.webhook import WebhookDestination
from delivery.domain.guard import EgressPolicy
from delivery.domain.model import AccountId, DeliveryId, Endpoint, EndpointId, EventId, Outcome, Parcel
from delivery.ports import Shipment

LOOPBACK = EgressPolicy((IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")))
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "your-webhook-signing-secret"
BODY = b'{"event":"annotation.completed","timestamp":"2024-03-14T10:23:45.000Z","data":{"job_id":"ann_1"}}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A server that counts who connects and keeps what it is sent."""

    port: int = 0
    accepts: int = 0
    requests: list[bytes] = field(default_factory=list)

    def url(self, path: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def headers(self) -> list[dict[str, str]]:
        """The headers of each request, as they were on the wire."""
        heads = [request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:] for request in self.requests]
        return [dict(line.split(": ", 1) for line in head) for head in heads]

    async def take(self, reader: asyncio.StreamReader) -> bool:
        """Read one request to its end and keep it; False when there is none any more."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.requests.append(head + await reader.readexactly(length))
        return True

    def answering(self, *answers: bytes) -> Conversation:
        """Talk like a well-behaved server: one answer after the other, the last one for ever."""
        left = list(answers)

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await self.take(reader):
                writer.write(left.pop(0) if len(left) > 1 else left[0])

        return converse


@asynccontextmanager
async def receiving(
    *answers: bytes,
    converse: Conversation | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: SSLContext | None = None,
) -> AsyncIterator[Receiver]:
    """Run a receiver: with fixed answers, or holding any conversation; it hangs up where the conversation ends."""
    receiver = Receiver()
    talk = converse or receiver.answering(*(answers or (OK,)))
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.accepts += 1
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # it hung up, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(accept, host, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def saying(*pieces: bytes, forever: bytes | None = None, pause: float = 0) -> Conversation:
    """Read whatever comes, say some things, and either hang up or say the last thing again and again (b"": nothing)."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        while forever is not None:
            writer.write(forever)
            await writer.drain()
            await asyncio.sleep(pause)

    return converse


def shipment(url: str, *, body: bytes = BODY, secrets: Sequence[str] = (SECRET,), **changes: Any) -> Shipment:
    headers: Mapping[str, str] = changes.pop("headers", {})
    endpoint = Endpoint(
        EndpointId("wh_1"), AccountId("acc_1"), url, ("*",), (), created_at=AT, updated_at=AT, headers=headers
    )
    parcel = Parcel(
        delivery_id=DeliveryId("dlv_1"),
        account_id=AccountId("acc_1"),
        endpoint_id=endpoint.id,
        origin=endpoint.origin,
        tempo=endpoint.tempo,
        event_id=EventId("evt_1"),
        event_type="annotation.completed",
        job_id="ann_1",
        body=body,
        traceparent=changes.pop("traceparent", None),
        standing="pending",
        attempts_made=0,
        retries_used=0,
        next_attempt_at=None,
        asked=None,
        lease="lease",
        leased_until=AT + timedelta(minutes=1),
        created_at=AT,
    )
    return Shipment(parcel, endpoint, secrets, number=changes.pop("number", 1), trigger="first", at=AT)


@cache
def _trusting_the_system() -> SSLContext:
    """Reading all authorities of the system takes longer than most of these tests."""
    return tls_context()


@asynccontextmanager
async def destination(
    policy: EgressPolicy = LOOPBACK, *, patience: float = 5.0, brand: str = "Tagmatic", **session: Any
) -> AsyncIterator[WebhookDestination]:
    """Open a destination with a session of its own. ``patience`` is the time limit of an attempt."""
    async with open_session(policy, **{"ssl_context": _trusting_the_system()} | session) as opened:
        yield WebhookDestination(opened, policy, brand=brand, attempt_timeout=patience, body_patience=0.3)


async def send(url: str, policy: EgressPolicy = LOOPBACK, *, patience: float = 5.0, **session: Any) -> Outcome:
    """Make one attempt with a session of its own."""
    async with destination(policy, patience=patience, **session) as webhooks:
        return await webhooks.send(shipment(url))


def failed(outcome: Outcome) -> tuple[str, str]:
    """The class and the words of a failure."""
    assert outcome.failure is not None, outcome.answer
    return outcome.failure.error, outcome.failure.message


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
