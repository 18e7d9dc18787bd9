"""Listeners on this machine that nobody may reach, a leash on every socket, and an egress proxy that takes note."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from tests.delivery.receivers import Receiver, receiving


@dataclass
class Canaries:
    """Receivers on one port of each of this machine's addresses."""

    port: int
    receivers: list[Receiver]

    @property
    def accepts(self) -> int:
        return sum(receiver.accepts for receiver in self.receivers)


@asynccontextmanager
async def canaries() -> AsyncIterator[Canaries]:
    """Listen on 127.0.0.1, 127.0.0.2 and, where this machine has IPv6, ::1."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(receiving())
        second = await stack.enter_async_context(receiving(host="127.0.0.2", port=first.port))
        listening = [first, second]
        with suppress(OSError):  # without IPv6 nobody can get there, and with it somebody may have the port already
            listening.append(await stack.enter_async_context(receiving(host="::1", port=first.port)))
        yield Canaries(first.port, listening)


@dataclass
class Leash:
    """Makes sockets that write down whom they are told to dial, and dial nobody outside of this machine."""

    dialled: list[str] = field(default_factory=list)

    def __call__(self, family: int, kind: int, protocol: int) -> socket.socket:
        leash = self

        class Leashed(socket.socket):
            def connect(self, address: Any) -> None:
                leash.dialled.append(address[0])
                if not ip_address(address[0]).is_loopback:
                    raise OSError(errno.ENETUNREACH, "Network is unreachable")
                super().connect(address)

        return Leashed(family, kind, protocol)


@dataclass
class Proxy:
    """An egress proxy: ``requests`` are the request lines that it got."""

    url: str = ""
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """Run a proxy that forwards nothing: it answers 204 itself, and says that it cannot connect to anyone."""
    proxy = Proxy()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0].decode()
        proxy.requests.append(line)
        status = b"502 Bad Gateway" if line.startswith("CONNECT ") else b"204 No Content"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with receiving(converse=converse) as listening:
        proxy.url = listening.url("")
        yield proxy
