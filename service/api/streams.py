"""Streams of server-sent events, which go on until whoever listens, their key or the service goes."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from aiohttp import web

from delivery.domain.errors import InvalidInput
from delivery.store.engine import is_database_fault
from service.api.calls import CREDENTIALS, Call
from service.api.shapes import Shape, in_utc, rfc3339
from service.api.tails import Tail
from service.credentials import Unauthorised
from service.platform import PlatformAway

T = TypeVar("T")

#: Set when the application begins to shut down.
CLOSING = web.AppKey("closing", asyncio.Event)

#: Seconds between two looks into the store, and looks between two signs of life on a silent stream.
_PAUSE_S = 0.5
_LOOKS_PER_SIGN = 30


def position_of(call: Call[Any]) -> datetime | None:
    """Where the listener's last stream was cut, if they say so: browsers and programs do, in this header.

    Raises:
        InvalidInput: ``invalid_cursor``; it is nothing that a stream of ours said.
    """
    text = call.request.headers.get("Last-Event-ID")
    if not text:
        return None
    try:
        return in_utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise InvalidInput("invalid_cursor", "Last-Event-ID is not a position in this stream") from error


async def stream(call: Call[Any], tail: Tail[T], say: Callable[[T], Shape | None], *first: Shape) -> web.StreamResponse:
    """Say the first messages, and then what is new; ``say`` gives None for what is passed over.

    Every message has the position as its id: who comes back with it in ``Last-Event-ID`` misses nothing.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(call.request)
    try:
        await _write(response, tail.position)
        for message in first:
            await _write(response, tail.position, message)
        await _go_on(call, response, tail, say)
    except ConnectionError:  # the listener went away, as listeners do
        pass
    return response


async def _go_on(
    call: Call[Any], response: web.StreamResponse, tail: Tail[T], say: Callable[[T], Shape | None]
) -> None:
    looks, more = 0, False
    while await another_look(call, 0 if more else _PAUSE_S):
        looks += 1
        position = tail.position
        news = await tail.look()
        more = news.more
        for message in filter(None, map(say, news.rows)):
            await _write(response, position, message)
        if looks % _LOOKS_PER_SIGN == 0:
            await _write(response, tail.position)


async def _write(response: web.StreamResponse, position: datetime, message: Shape | None = None) -> None:
    """Write a message, or only the position, which is a sign of life as well."""
    data = b"data: " + message.model_dump_json().encode() + b"\n" if message else b""
    await response.write(f"id: {rfc3339(position)}\n".encode() + data + b"\n")


async def another_look(call: Call[Any], pause_s: float = _PAUSE_S) -> bool:
    """Wait a little; False when the service shuts down, the listener is gone, or their key is no longer good."""
    try:
        async with asyncio.timeout(pause_s):
            await call.request.app[CLOSING].wait()
    except TimeoutError:  # nothing but the pause is over
        transport = call.request.transport
        return transport is not None and not transport.is_closing() and await _still_known(call)
    return False


async def _still_known(call: Call[Any]) -> bool:
    try:
        await call.runtime.auth.identify(call.request[CREDENTIALS])
    except Unauthorised:  # revoked or expired meanwhile
        return False
    except PlatformAway:  # nor can this be known while the platform is away
        return True
    except Exception as error:
        # whether the key is still good cannot be known while the database is away, and nothing is sent meanwhile
        if not is_database_fault(error):
            raise
    return True
