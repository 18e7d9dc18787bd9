"""Connections to the broker, and one name for everything that can go wrong with them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from yarl import URL

from consumers.rabbit import frames

#: A silent peer counts as gone when three were missed.
_HEARTBEAT_S = 15
_CONNECT_S = 10.0

#: How long the broker may think. Asking in vain closes the channel, so who asks has a channel of its own.
ANSWER_S = 15.0

frames.bear_strange_properties()

# Of every lost connection the client library tells in several voices; we tell it ourselves, once.
for library in ("aiormq", "aio_pika"):
    logging.getLogger(library).setLevel(logging.CRITICAL)


class BrokerFault(Exception):
    """The broker is away, or did not do what it was asked to."""


@contextmanager
def broker_faults(*but: type[Exception]) -> Iterator[None]:
    """Give what the client library raises its one name, ``but`` what the caller wants to see as it is."""
    try:
        yield
    except but:
        raise
    except asyncio.CancelledError as error:
        # The library cancels who waits on a connection that it closes; only a cancellation of this very task is one.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerFault("the connection was closed") from error
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise BrokerFault(f"{type(error).__name__}: {error}"[:300]) from error


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection for as long as the block."""
    with broker_faults():
        connection = await aio_pika.connect(
            _with_heartbeat(url), timeout=_CONNECT_S, client_properties={"connection_name": f"hookline {name}"}
        )
    try:
        yield connection
    finally:
        with broker_faults():
            await connection.close()


def _with_heartbeat(url: str) -> URL:
    address = URL(url)
    return address if "heartbeat" in address.query else address.update_query(heartbeat=_HEARTBEAT_S)
