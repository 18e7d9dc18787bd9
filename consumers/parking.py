"""Keeping dead letters in the store, where people find them."""

import asyncio
from collections.abc import Sequence

from consumers import letters
from consumers.consumer import Rejection, Verdict
from consumers.families import DEAD_LETTERS_STORE
from consumers.health import Board
from consumers.patience import divided, outlast
from consumers.wire import Message
from delivery.ports import Surroundings
from delivery.store import dead_letters
from delivery.store.dead_letters import DeadLetter
from delivery.store.engine import Store
from delivery.telemetry import tell, warn


def refuse(message: Message, queue: str, rejection: Rejection, around: Surroundings) -> DeadLetter:
    """Say that a message was refused, and write its dead letter."""
    letter = letters.written(message, queue, rejection, around)
    _tell(letter)
    return letter


def _tell(letter: DeadLetter) -> None:
    tell("event.refused", code=letter.reason, queue=letter.queue, dead_letter_id=letter.id)


class DeadLetterConsumer:
    """Takes dead letters into the store: the same letter once, however often it comes."""

    name = "dead-letters"
    queue = DEAD_LETTERS_STORE
    prefetch = 200

    def __init__(self, store: Store, around: Surroundings, board: Board) -> None:
        self._store = store
        self._around = around
        self._board = board

    async def ready(self, until: asyncio.Event) -> None:
        """Wait for the database."""
        await outlast(lambda: self._insert(()), self._board, self.name, until)

    async def take(self, messages: Sequence[Message], until: asyncio.Event) -> Sequence[Verdict]:
        """Keep what the messages carry. Never rejects: where should a dead letter go?"""
        arrived = [letters.received(message, self._around) for message in messages]
        await self.park(arrived, until, on_behalf_of=self.name)
        for message, letter in zip(messages, arrived, strict=True):
            if letters.is_brokers_own(message):
                _tell(letter)
        return [None] * len(messages)

    async def park(self, parked: Sequence[DeadLetter], until: asyncio.Event, *, on_behalf_of: str) -> None:
        """Keep letters, for as long as it takes."""
        await outlast(lambda: divided(self._insert, parked, _unkept), self._board, on_behalf_of, until)

    async def _insert(self, parked: Sequence[DeadLetter]) -> list[None]:
        async with self._store.writing() as tx:
            if parked:
                await dead_letters.park(tx, parked)
        return [None] * len(parked)


def _unkept(error: Exception) -> None:
    """Give a letter up that the store cannot hold, although it was made to fit; brokers have it in their own queue."""
    warn("dead_letter.unkept", error=type(error).__name__)
