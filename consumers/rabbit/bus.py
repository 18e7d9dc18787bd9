"""The bus on RabbitMQ, put together: who consumes, and how it comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import SupportsFloat

from aio_pika.abc import AbstractConnection

from consumers.consumer import Taker
from consumers.families import UnroutedConsumer, consumers
from consumers.health import Board, BusUnavailable, Health, Survey
from consumers.parking import DeadLetterConsumer
from consumers.patience import called_off, pauses
from consumers.rabbit import topology
from consumers.rabbit.link import BrokerFault, connected
from consumers.rabbit.publisher import Publisher
from consumers.rabbit.session import Session
from consumers.wire import Message
from delivery.intake import Intake
from delivery.ports import Surroundings
from delivery.store.engine import Store
from delivery.telemetry import warn

#: How often the topology and the broker's view of our consumers are looked at.
_WATCH_S = 15.0

#: Between two sessions of a consumer that lost its channel.
_PAUSE_S = 0.5


class RabbitBus:
    """Publishes to the broker, and consumes its queues for as long as the block ``running`` is open."""

    def __init__(self, url: str, intake: Intake, store: Store, around: Surroundings) -> None:
        self._url = url
        self._around = around
        self._board = Board()
        self._publisher = Publisher(url)
        self._takers: tuple[Taker, ...] = (
            *consumers(intake, self._board),
            UnroutedConsumer(),
            DeadLetterConsumer(store, around, self._board),
        )
        self._sessions: list[Session] = []
        self._stopping = asyncio.Event()

    async def publish(self, message: Message) -> None:
        """Publish; the broker has the message on disk when this returns.

        Raises:
            BusUnavailable: the broker did not confirm it in time.
        """
        await self._publisher.publish(message)

    @asynccontextmanager
    async def running(self, *, consume: bool = True, grace_s: SupportsFloat = 15.0) -> AsyncIterator[None]:
        """Keep the bus open. The broker need not be there; it is waited for, at the start and at any time.

        What is not settled within ``grace_s`` of the end is delivered again.
        """
        self._stopping.clear()
        consuming = asyncio.create_task(self._consume()) if consume else None
        try:
            yield
        finally:
            self._stopping.set()
            for session in self._sessions:
                session.finish()
            if consuming is not None:
                if not self._sessions:
                    consuming.cancel()
                await asyncio.wait({consuming}, timeout=float(grace_s))
                consuming.cancel()
                await asyncio.gather(consuming, return_exceptions=True)
            await self._publisher.close()
            self._board.close()

    def health(self) -> Sequence[Health]:
        """How each consumer is."""
        return self._board.view()

    async def survey(self) -> Survey:
        """Look at the broker, changing nothing.

        Raises:
            BusUnavailable: the broker is away.
        """
        try:
            async with connected(self._url, "survey") as connection:
                return await topology.inspect(connection)
        except BrokerFault as fault:
            raise BusUnavailable(str(fault)) from fault

    async def _consume(self) -> None:
        """Consume over one connection after the other."""
        for taker in self._takers:
            self._board.post(taker.name)
        waits = pauses()
        while not self._stopping.is_set():
            try:
                async with connected(self._url, "consuming") as connection:
                    waits = pauses()
                    await self._serve(connection)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end consumption for ever, either
                why = f"no connection to the broker: {_told(error)}"
                self._board.trouble("broker", why, *(taker.name for taker in self._takers))
            await called_off(self._stopping, next(waits))

    async def _serve(self, connection: AbstractConnection) -> None:
        """Let everybody consume over one connection, until it is lost or the end is near."""
        connection.close_callbacks.add(self._on_lost)
        self._judge(await topology.declare(connection))
        watching = asyncio.create_task(self._watch(connection))
        try:
            await asyncio.gather(*(self._attend(connection, taker) for taker in self._takers))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _on_lost(self, *_: object) -> None:
        if not self._stopping.is_set():
            self._board.trouble("broker", "the connection was lost", *(taker.name for taker in self._takers))

    async def _attend(self, connection: AbstractConnection, taker: Taker) -> None:
        """Let one consume, over one channel after the other."""
        while connection.connected.is_set() and not self._stopping.is_set():
            session = Session(taker, self._publisher, self._around, self._board)
            self._sessions.append(session)
            try:
                await session.run(connection)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end a consumer for ever, either
                await self._mend(connection, taker, _told(error))
            finally:
                self._sessions.remove(session)

    async def _mend(self, connection: AbstractConnection, taker: Taker, why: str) -> None:
        """Prepare for a new session; where the connection is lost, there is nothing to prepare."""
        if not connection.connected.is_set() or await called_off(self._stopping, _PAUSE_S):
            return
        self._board.trouble("broker", why, taker.name)
        with contextlib.suppress(BrokerFault):  # the session that comes next will meet it again
            self._judge(await topology.declare(connection))

    async def _watch(self, connection: AbstractConnection) -> None:
        """Find what got lost without a word: a queue, an exchange, a binding, a consumer."""
        passed_by: dict[Session, int] = {}
        while not await called_off(self._stopping, _WATCH_S):
            idle = [session for session in self._sessions if session.idle]
            try:
                # Asked before they are made again: of a queue that is there anew the broker may go on telling how many
                # consumers the old one had.
                missing = await topology.missing(connection)
                survey = await topology.declare(connection)
            except BrokerFault as fault:  # the next look may do better, and who consumes over this connection meets it
                warn("bus.unwatched", error=str(fault))
                continue
            self._judge(survey)
            forgotten = missing | {depth.queue for depth in survey.depths if not depth.consumers}
            full = {depth.queue for depth in survey.depths if depth.messages}
            for session in idle:
                if session.taker.queue in forgotten:
                    session.lose("the broker had forgotten the consumer")
                elif session.taker.queue in full and passed_by.get(session) == session.delivered:
                    # it had nothing to do since the last look, and got nothing, though there was something then, too
                    session.lose("messages wait in the queue and none is delivered")
            passed_by = {session: session.delivered for session in idle if session.taker.queue in full}

    def _judge(self, survey: Survey) -> None:
        """Note what differs on the broker, with those whom it concerns. They go on with what there is."""
        queues = {taker.queue for taker in self._takers}
        for taker in self._takers:
            found = [
                f"{name}: {problem}"
                for name, problem in survey.problems.items()
                if name == taker.queue or name not in queues
            ]
            if found:
                self._board.trouble("topology", "; ".join(found), taker.name)
            else:
                self._board.clear("topology", taker.name)


def _told(error: Exception) -> str:
    """Say what happened; a mistake of ours is also told with its place."""
    if isinstance(error, BrokerFault):
        return str(error)
    warn("consumer.failed", error=type(error).__name__, exc_info=error)
    return f"internal error: {type(error).__name__}"
