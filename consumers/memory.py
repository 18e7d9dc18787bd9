"""The bus inside the process: no broker, same consumers, same promises.

A message is settled when ``publish`` returns: accepted, or parked in the store's dead letters. That is its confirm.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import SupportsFloat

from consumers.consumer import Taker
from consumers.families import UnroutedConsumer, consumers
from consumers.health import Board, BusUnavailable, Depth, Health, Survey
from consumers.parking import DeadLetterConsumer, refuse
from consumers.patience import Abandoned
from consumers.wire import Message
from delivery.gather import Gatherer
from delivery.intake import Intake
from delivery.ports import Surroundings
from delivery.store.engine import Store

#: Messages that may wait at a time; who publishes more waits before they are taken in.
_MOST_WAITING = 5000


class MemoryBus:
    """Hands messages straight to their consumers."""

    def __init__(self, intake: Intake, store: Store, around: Surroundings) -> None:
        self._around = around
        self._board = Board()
        self._parking = DeadLetterConsumer(store, around, self._board)
        self._consumers = consumers(intake, self._board)
        self._unrouted = UnroutedConsumer()
        self._takers: tuple[Taker, ...] = (*self._consumers, self._unrouted)
        self._desks: dict[str, Gatherer[Message, None]] = {}
        self._waiting: dict[str, int] = {}
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._stopping = asyncio.Event()

    async def publish(self, message: Message) -> None:
        """Hand a message in; it is settled when this returns.

        Raises:
            BusUnavailable: nobody consumes in this process, or it is about to stop; the message may have been taken.
        """
        taker = self._taker(message.routing_key)
        async with self._room:
            desk = self._desks.get(taker.name)
            if desk is None:
                raise BusUnavailable("The bus of this process is not running")
            self._waiting[taker.queue] += 1
            try:
                await desk.hand_in(message)
            except Abandoned as error:
                raise BusUnavailable("The process stopped while the database was away") from error
            finally:
                self._waiting[taker.queue] -= 1

    @asynccontextmanager
    async def running(self, *, consume: bool = True, grace_s: SupportsFloat = 15.0) -> AsyncIterator[None]:
        """Consume while the block is open; what was handed in before it is left is still settled."""
        self._stopping.clear()
        async with AsyncExitStack() as stack:
            for taker in self._takers if consume else ():
                desk = Gatherer[Message, None](partial(self._settle, taker))
                self._desks[taker.name] = await stack.enter_async_context(desk.running(grace_s=grace_s))
                self._waiting[taker.queue] = 0
                self._board.post(taker.name)
                self._board.clear("start", taker.name)
            try:
                yield
            finally:
                self._desks.clear()
                self._stopping.set()
        self._board.close()

    def health(self) -> Sequence[Health]:
        """How each consumer is."""
        return self._board.view()

    async def survey(self) -> Survey:
        """Say what waits. There is nothing that could differ from what it should be."""
        return Survey(tuple(Depth(queue, count, 1) for queue, count in self._waiting.items()), {})

    def _taker(self, routing_key: str) -> Taker:
        for consumer in self._consumers:
            if consumer.wants(routing_key):
                return consumer
        return self._unrouted

    async def _settle(self, taker: Taker, messages: Sequence[Message]) -> list[None]:
        verdicts = await taker.take(messages, self._stopping)
        refused = [
            refuse(message, taker.queue, verdict, self._around)
            for message, verdict in zip(messages, verdicts, strict=True)
            if verdict is not None
        ]
        if refused:
            await self._parking.park(refused, self._stopping, on_behalf_of=taker.name)
        return [None] * len(messages)
