"""Following a stream of the service for longer than any connection lasts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click

from service.client import ApiError

if TYPE_CHECKING:
    from service.client import Api

_PAUSE_S = 1.0


async def lasting(api: "Api", path: str, headers: Mapping[str, str], **query: str | int | None) -> AsyncIterator[Any]:
    """What a stream says, over as many connections as it takes; cuts and how they end are told on standard error.

    The first connection has to succeed, and a later one may only fail for reasons that pass. After a cut some messages
    may come once more, and none is left out. ``headers`` are read anew for each connection.
    """
    position, cut = None, False
    while True:
        try:
            resumed = {**headers, "Last-Event-ID": position} if position else headers
            async for message in api.stream(path, resumed, **query):
                if cut:
                    click.echo("Connected again, nothing is left out", err=True)
                    cut = False
                position = message.position
                if message.says is not None:
                    yield message.says
            why = "The service has ended the stream"
        except ApiError as error:
            if position is None or not _passes(error):
                raise
            why = str(error)
        if not cut:
            click.echo(f"{why}; connecting again until it succeeds", err=True)
            cut = True
        await asyncio.sleep(_PAUSE_S)


def _passes(error: ApiError) -> bool:
    """Whether it may be better the next time: nobody answered, or nobody who could."""
    return error.status == 0 or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
