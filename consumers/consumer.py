"""A consumer: takes messages by the batch and says what became of each."""

import asyncio
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from consumers.health import Board
from consumers.patience import divided, outlast
from consumers.wire import Message, submission
from delivery.domain.catalogue import PUBLISHED, Family
from delivery.domain.envelope import Submission
from delivery.domain.errors import InvalidEvent
from delivery.fanout import Receipt
from delivery.intake import Intake, Offer, Refused
from delivery.store.engine import is_poison
from delivery.telemetry import warn

#: Translating this much takes a few milliseconds; then others get their turn.
_BREATH_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that can never be used. ``reason`` is an error code, ``detail`` is for people."""

    reason: str
    detail: str


#: What became of a message: None is taken, be it as new or as a duplicate.
Verdict = Rejection | None


class Taker(Protocol):
    """Who sits at the end of a queue."""

    @property
    def name(self) -> str:
        """The word for it in health, metrics and logs."""
        ...

    @property
    def queue(self) -> str:
        """What it takes from."""
        ...

    @property
    def prefetch(self) -> int:
        """How many messages it may hold at a time."""
        ...

    async def ready(self, until: asyncio.Event) -> None:
        """Wait until messages can be settled.

        Raises:
            Abandoned: ``until`` was set before.
        """
        ...

    async def take(self, messages: Sequence[Message], until: asyncio.Event) -> Sequence[Verdict]:
        """Settle messages: when this returns, what was taken is committed.

        Raises:
            Abandoned: the database was away, and ``until`` was set; nothing is settled.
        """
        ...


class Consumer:
    """Takes one family of events in. The families are its subclasses."""

    family: ClassVar[Family]
    binding: ClassVar[str]
    prefetch: ClassVar[int]

    def __init__(self, intake: Intake, board: Board) -> None:
        self._intake = intake
        self._board = board
        self._types = {kind.name for kind in PUBLISHED.values() if kind.family == self.family}

    @property
    def name(self) -> str:
        """As the family."""
        return self.family

    @property
    def queue(self) -> str:
        """As the contract has it."""
        return f"hookline.{self.family}"

    @classmethod
    def wants(cls, routing_key: str) -> bool:
        """Whether the binding sends messages with this routing key here, as a topic exchange sees it.

        >>> from consumers.families import BatchConsumer
        >>> [key for key in ("batch", "batch.failed.late", "batches.failed") if BatchConsumer.wants(key)]
        ['batch', 'batch.failed.late']
        """
        stem = cls.binding.removesuffix(".#")
        return routing_key == stem or (stem != cls.binding and routing_key.startswith(f"{stem}."))

    async def ready(self, until: asyncio.Event) -> None:
        """Wait for the database: who can accept nothing can accept something."""
        await outlast(lambda: self._intake.accept(()), self._board, self.name, until)

    async def take(self, messages: Sequence[Message], until: asyncio.Event) -> Sequence[Verdict]:
        """Accept what can be used, all in one transaction."""
        read = await self._read(messages)
        usable = [submission for submission in read if isinstance(submission, Submission)]
        if not usable:
            return [None if isinstance(one, Submission) else one for one in read]
        accepted = await outlast(lambda: divided(self._accept, usable, _spoilt), self._board, self.name, until)
        verdicts = iter(accepted)
        return [next(verdicts) if isinstance(one, Submission) else one for one in read]

    async def _read(self, messages: Sequence[Message]) -> list[Submission | Rejection]:
        read, since_breath = [], 0
        for message in messages:
            read.append(self._translated(message))
            since_breath += len(message.body)
            if since_breath > _BREATH_BYTES:
                await asyncio.sleep(0)
                since_breath = 0
        return read

    def _translated(self, message: Message) -> Submission | Rejection:
        try:
            event = submission(message)
        except InvalidEvent as error:  # for ever: nobody can mend what was sent
            return Rejection(error.code, error.message)
        except Exception as error:  # noqa: BLE001 - a mistake of ours with one message must stop no other
            return _spoilt(error)
        if event.type not in self._types:
            return Rejection("invalid_event_type", f"{event.type} does not come by {self.queue}")
        return event

    async def _accept(self, submissions: Sequence[Submission]) -> list[Verdict]:
        [reply] = await self._intake.accept([Offer(submissions)])
        if isinstance(reply, Refused):
            return [_verdict(reply)] * len(submissions)
        return [_verdict(result) for result in reply]


def _verdict(result: Receipt | Refused) -> Verdict:
    return Rejection(result.error.code, result.error.message) if isinstance(result, Refused) else None


def _spoilt(error: Exception) -> Rejection:
    """Judge a message that the store cannot hold, or that some fault of ours cannot digest: it must stop no other."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    warn("event.undigested", error=type(error).__name__, at=f"{at.name}:{at.lineno}")  # its text may quote the payload
    if is_poison(error):
        return Rejection("unstorable", "The database refuses what the message holds")
    return Rejection("internal_error", f"Accepting the message failed: {type(error).__name__}")
