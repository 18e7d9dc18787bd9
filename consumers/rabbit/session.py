"""One consumer on one channel, from ``basic.consume`` to the end of the channel."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage

from consumers import letters
from consumers.consumer import Taker
from consumers.families import DEAD
from consumers.health import Board
from consumers.parking import refuse
from consumers.patience import Abandoned, called_off, pauses
from consumers.rabbit import frames
from consumers.rabbit.link import ANSWER_S, BrokerFault, broker_faults
from consumers.rabbit.publisher import Publisher
from delivery.ports import Surroundings
from delivery.store.dead_letters import DeadLetter

_MOST_IN_BATCH = 500
_MOST_BYTES_IN_BATCH = 8 * 1024 * 1024
_LINGER_S = 0.005

#: Before the broker takes back what is not acknowledged (30 minutes) we give it back, and wait holding nothing: each
#: return counts as a delivery, so that a long outage of the database would bury what we hold.
_LONGEST_HOLD_S = 600.0


class Session:
    """Takes what is delivered by the batch, and acknowledges a batch when all of it is settled.

    Deliveries only gather in a buffer; one loop settles them in the order in which they came, so that one
    acknowledgement covers a batch and all before it. Nothing is acknowledged on another channel than it came by.
    """

    def __init__(self, taker: Taker, publisher: Publisher, around: Surroundings, board: Board) -> None:
        self.taker = taker
        self._publisher = publisher
        self._around = around
        self._board = board
        self._in_hand: deque[DeliveredMessage] = deque()
        self._arrived = asyncio.Event()
        self._over = asyncio.Event()
        self._lost: str | None = None
        self._waiting = False
        self.delivered = 0

    @property
    def idle(self) -> bool:
        """Whether it consumes and holds nothing. ``delivered`` is how many messages it ever had."""
        return self._waiting and not self._in_hand

    def finish(self) -> None:
        """Ask it to settle what is in hand and then to end."""
        self._over.set()
        self._arrived.set()

    def lose(self, why: str) -> None:
        """Tell it that the broker has forgotten it: what is in hand will be delivered again, to somebody."""
        self._lost = self._lost or why
        self.finish()

    async def run(self, connection: AbstractConnection) -> None:
        """Consume until told to finish.

        Raises:
            BrokerFault: the channel or the consumer was lost.
        """
        try:
            await self.taker.ready(self._over)
        except Abandoned:
            return
        with broker_faults():
            opened = connection.channel(publisher_confirms=False)
            await opened.initialize()
        try:
            await self._consume(await opened.get_underlay_channel())
        finally:
            with contextlib.suppress(BrokerFault), broker_faults():  # a lost channel is closed already
                await opened.close()

    async def _consume(self, channel: AbstractChannel) -> None:
        tag = await self._begin(channel)
        try:
            while not self._over.is_set():
                await self._settle(channel, await self._batch())
            if self._lost is None:
                with broker_faults():
                    await channel.basic_cancel(tag, timeout=ANSWER_S)
            while self._in_hand and self._lost is None:
                await self._settle(channel, await self._batch())
        except Abandoned:  # the database is away: the broker still has what is not settled
            return
        if self._lost is not None:
            raise BrokerFault(self._lost)

    async def _begin(self, channel: AbstractChannel) -> str:
        channel.on_consumer_cancel_callbacks.add(lambda _: self.lose("the broker cancelled the consumer"))
        channel.closing.add_done_callback(lambda _: self.lose("the channel was closed"))
        with broker_faults():
            await channel.basic_qos(prefetch_count=self.taker.prefetch, timeout=ANSWER_S)
            begun = await channel.basic_consume(self.taker.queue, self._on_delivery, timeout=ANSWER_S)
        for aspect in ("start", "broker"):
            self._board.clear(aspect, self.taker.name)
        return begun.consumer_tag or ""

    async def _on_delivery(self, delivered: DeliveredMessage) -> None:
        self.delivered += 1
        self._in_hand.append(delivered)
        self._arrived.set()

    async def _batch(self) -> Sequence[DeliveredMessage]:
        """Wait for messages, and a moment longer for the others that come with them."""
        self._waiting = True
        await self._arrived.wait()
        self._waiting = False
        if len(self._in_hand) < _MOST_IN_BATCH and not self._over.is_set():
            await asyncio.sleep(_LINGER_S)
        batch: list[DeliveredMessage] = []
        size = 0
        while self._in_hand and len(batch) < _MOST_IN_BATCH and size < _MOST_BYTES_IN_BATCH:
            batch.append(self._in_hand.popleft())
            size += len(batch[-1].body)
        if not self._in_hand and not self._over.is_set():
            self._arrived.clear()
        return batch

    async def _settle(self, channel: AbstractChannel, batch: Sequence[DeliveredMessage]) -> None:
        if not batch or self._lost is not None:
            return
        messages = [frames.message(delivered) for delivered in batch]
        giving_up = asyncio.get_running_loop().call_later(_LONGEST_HOLD_S, self.lose, "messages were held for too long")
        try:
            verdicts = await self.taker.take(messages, self._over)
        finally:
            giving_up.cancel()
        refused = [
            refuse(message, self.taker.queue, verdict, self._around)
            for message, verdict in zip(messages, verdicts, strict=True)
            if verdict is not None
        ]
        if refused:
            await self._bury(refused)
        if self._lost is None:
            with broker_faults():
                await channel.basic_ack(batch[-1].delivery_tag or 0, multiple=True)

    async def _bury(self, refused: Sequence[DeadLetter]) -> None:
        """Hand dead letters to the broker, for as long as it takes; only then are their messages acknowledged."""
        posted = [letters.posted(letter) for letter in refused]
        for pause in pauses():
            try:
                await self._publisher.send(DEAD, posted)
            except BrokerFault as fault:
                self._board.trouble("dead letters", str(fault), self.taker.name)
            else:
                self._board.clear("dead letters", self.taker.name)
                return
            if await called_off(self._over, pause):
                raise Abandoned
