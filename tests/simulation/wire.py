"""The way to the receivers: what aiohttp's session is to the real ``WebhookDestination``, over no network.

Everything up to here is the real thing, headers and signatures included; from here on every request is written down.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import aiohttp
from yarl import URL

from delivery.ports import Clock
from tests.simulation.loop import Life


@dataclass(frozen=True)
class Reply:
    """What a receiver answers, and after how many seconds. Status None: it never does; 0: it closes the connection."""

    status: int | None
    after_s: float = 0.01
    headers: Mapping[str, str] | None = None


@dataclass(eq=False)
class Call:
    """One request, as the wire saw it. Moments are the loop's, but for ``clock``: what its sender's watch showed.

    ``arrived``: the receiver has it; ``ended``: its sender knows how it went. ``could_verify``: the receiver's secret
    was one of the endpoint's valid ones at that moment.
    """

    sender: Life
    task: "asyncio.Task[Any] | None"
    url: str
    headers: Mapping[str, str]
    body: bytes
    began: float
    clock: datetime
    arrived: float | None = None
    ended: float | None = None
    reply: Reply | None = None
    could_verify: bool = False

    @property
    def delivery_id(self) -> str:
        return self.headers["X-Tagmatic-Delivery"]

    @property
    def number(self) -> int:
        return int(self.headers["X-Tagmatic-Attempt"])

    @property
    def delivered(self) -> bool:
        """Whether its sender has seen a 2xx."""
        return self.ended is not None and self.reply is not None and (self.reply.status or 0) // 100 == 2


#: Who lives at a URL: takes a call, or is not there at all.
Door = Callable[[Call], Reply | None]


class Wire:
    """One process's way out. ``on_call`` sees each request before it leaves."""

    def __init__(self, life: Life, clock: Clock, luck: Random, door: Door, on_call: Callable[[Call], None]) -> None:
        self._life = life
        self._clock = clock
        self._luck = luck
        self._door = door
        self._on_call = on_call

    async def request(
        self,
        method: str,
        url: URL,
        *,
        data: bytes,
        headers: Mapping[str, str],
        allow_redirects: bool,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> "Response":
        """Make a request, as aiohttp would."""
        assert (method, allow_redirects) == ("POST", False)
        loop = asyncio.get_running_loop()
        call = Call(self._life, asyncio.current_task(), str(url), dict(headers), data, loop.time(), self._clock.now())
        self._on_call(call)
        try:
            async with asyncio.timeout(timeout.total):
                return await self._exchange(call)
        finally:
            call.ended = loop.time()

    async def _exchange(self, call: Call) -> "Response":
        await self._life.point()
        await asyncio.sleep(self._luck.expovariate(100))
        reply = self._door(call)
        if reply is None:
            raise ConnectionRefusedError
        call.arrived, call.reply = asyncio.get_running_loop().time(), reply
        await self._life.point()
        if reply.status is None:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(reply.after_s)
        await self._life.point()
        if reply.status == 0:
            raise aiohttp.ServerDisconnectedError
        return Response(reply)


class Response:
    """An answer whose body came along with its headers."""

    connection = None

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.raw_headers: Sequence[tuple[bytes, bytes]] = tuple(
            (name.encode(), value.encode()) for name, value in (reply.headers or {}).items()
        )
        self.content = _Content()


class _Content:
    def is_eof(self) -> bool:
        return True

    def exception(self) -> None:
        return None

    def read_nowait(self) -> bytes:
        return b"ok"
