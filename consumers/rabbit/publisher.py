"""Publishing: persistent, confirmed, and told where nobody would get it."""

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aio_pika.abc import AbstractChannel

from consumers.families import EVENTS
from consumers.health import BusUnavailable
from consumers.patience import pauses
from consumers.rabbit import topology
from consumers.rabbit.frames import outgoing
from consumers.rabbit.link import BrokerFault, broker_faults, connected
from consumers.wire import Message

#: How long a publisher is kept waiting for its confirm, over as many connections as it takes.
_PATIENCE_S = 30.0

#: How long one try may take; with no more than so many at a time it takes that long only if the broker is stuck.
_CONFIRM_S = 10.0
_MOST_UNCONFIRMED = 500


class Publisher:
    """A connection that only publishes: a broker that slows publishers down must not hold back acknowledgements.

    Opened at the first publication, and again after every fault.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: tuple[AbstractChannel, AsyncExitStack] | None = None
        self._opening: asyncio.Task[AbstractChannel] | None = None
        self._places = asyncio.Semaphore(_MOST_UNCONFIRMED)

    async def publish(self, message: Message) -> None:
        """Publish an event, again and again under the same message id until it is confirmed.

        Raises:
            BusUnavailable: the time is over. The last try may still have reached the broker.
        """
        fault: BrokerFault | None = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for pause in pauses():
                    try:
                        async with self._places:
                            await self.send(EVENTS, [message])
                    except BrokerFault as error:
                        fault = error
                    else:
                        return
                    await asyncio.sleep(pause)
        except TimeoutError as error:
            why = f"The broker did not confirm the message in {_PATIENCE_S:.0f} s: {fault or 'too many are waiting'}"
            raise BusUnavailable(why) from fault or error

    async def send(self, exchange: str, messages: Sequence[Message]) -> None:
        """Publish messages, once.

        Raises:
            BrokerFault: at least one was not confirmed, and nobody can tell which ones did arrive.
        """
        channel = await self._channel()
        try:
            with broker_faults():
                target = await channel.get_exchange(exchange, ensure=False)
                sending = (
                    target.publish(outgoing(message), message.routing_key, timeout=_CONFIRM_S) for message in messages
                )
                for sent in await asyncio.gather(*sending, return_exceptions=True):
                    if isinstance(sent, BaseException):
                        raise sent
        except BrokerFault:
            await self._discard(channel)
            raise

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._open is not None:
            await self._discard(self._open[0])

    async def _channel(self) -> AbstractChannel:
        """The open channel; who needs one while none is open waits for the same attempt as everybody else."""
        if self._open is not None and not self._open[0].is_closed:
            return self._open[0]
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._reopen())
        return await asyncio.shield(self._opening)

    async def _reopen(self) -> AbstractChannel:
        if self._open is not None:
            await self._discard(self._open[0])
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(connected(self._url, "publishing"))
            await topology.declare(connection)
            channel = connection.channel(on_return_raises=True)
            with broker_faults():
                await channel.initialize()
            self._open = channel, stack.pop_all()
        return channel

    async def _discard(self, channel: AbstractChannel) -> None:
        """Close the connection of this channel, unless somebody has done so already."""
        if self._open is not None and self._open[0] is channel:
            _, stack = self._open
            self._open = None
            with contextlib.suppress(BrokerFault):  # it is being given up anyway
                await stack.aclose()
