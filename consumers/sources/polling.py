"""Polling: every source in its turn, one poll of it at a time over all processes.

A source that is due is leased, asked, and put away until it is due again. Each step of a poll is one transaction: the
events, what the connector wants to remember, and the proof that the source is still leased to this poll. So a process
that was killed, or had its source taken from it, publishes nothing that is not remembered, and nothing twice.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, SupportsFloat

from consumers.consumer import Rejection
from consumers.parking import refuse
from consumers.sources.connector import Draft, Step
from consumers.sources.registry import Sources, state_of
from consumers.sources.remote import MalformedError, SourceTroubleError, UnreachableError
from consumers.wire import Message
from delivery.domain.envelope import Submission, compose, submit
from delivery.domain.errors import InvalidEvent
from delivery.domain.sources import STANDSTILL, Source, SourceState, Wake
from delivery.intake import Intake, Offer
from delivery.ports import Clock, Surroundings
from delivery.store import dead_letters
from delivery.store import sources as rows
from delivery.store.dead_letters import DeadLetter
from delivery.store.engine import Store, Transaction, is_database_fault
from delivery.telemetry import tell, warn

#: Sources that this process polls at a time.
_ABREAST = 8

#: How long a poll may take, in seconds, and how long it is believed to go on without a word.
_LONGEST_S = 600.0
_LEASE = timedelta(seconds=60)

#: How long letting go of sources may take at the end, in seconds. If it takes longer, their leases run out.
_FAREWELL_S = 1.0

#: The wait after a failure doubles up to this, in seconds.
_LONGEST_WAIT_S = 600.0

#: How many answers in a row may be unusable before the source counts as broken: one may be a proxy's page of errors.
_BROKEN_AFTER = 3

#: How much of the interval is left to chance, either way, so that sources do not march in step.
_JITTER = 0.1


class LeaseLostError(Exception):
    """The source was changed, or taken by another process: what this poll found is not to be written."""


class Polling:
    """Polls sources. Safe to run in any number of processes at once."""

    def __init__(self, store: Store, intake: Intake, sources: Sources, around: Surroundings) -> None:
        self._store = store
        self._intake = intake
        self._sources = sources
        self._around = around
        self._open = False
        self._polls: dict[asyncio.Task[None], str] = {}

    @asynccontextmanager
    async def running(self, *, grace_s: SupportsFloat) -> AsyncIterator["Polling"]:
        """Poll while the block is open. At the end, what is under way has ``grace_s``, asked then, to end."""
        self._open = True
        try:
            yield self
        finally:
            self._open = False
            if self._polls:
                await asyncio.wait(self._polls, timeout=float(grace_s))
            if self._polls:
                await self._abandon(dict(self._polls))

    async def _abandon(self, polls: Mapping[asyncio.Task[None], str]) -> None:
        """Break polls off, and let others have their sources at once."""
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
        try:
            async with asyncio.timeout(_FAREWELL_S), self._store.writing() as tx:
                await rows.release(tx, set(polls.values()))
        except Exception as error:
            if not is_database_fault(error):
                raise
            warn("sources.unreleased", error=str(error))  # their leases run out by themselves

    async def run(self) -> None:
        """Begin with the sources that are due, and say that those under way still are."""
        now = self._around.clock.now()
        free = _ABREAST - len(self._polls) if self._open else 0
        lease = f"{self._around.luck.getrandbits(128):032x}"
        async with self._store.writing() as tx:
            if self._polls:
                await rows.renew(tx, set(self._polls.values()), now + _LEASE)
            if not free:
                return
            taken = await rows.claim(tx, now=now, until=now + _LEASE, lease=lease, limit=free)
        for source in taken:
            poll = asyncio.create_task(self._poll(source, lease))
            self._polls[poll] = lease
            poll.add_done_callback(self._polls.pop)

    async def quiet(self) -> None:
        """Wait until every poll under way has ended."""
        while self._polls:
            await asyncio.wait(self._polls)

    # -- one poll ------------------------------------------------------------------------------------------------------

    async def _poll(self, source: Source, lease: str) -> None:
        try:
            trouble = await self._troubled(source, lease)
            if trouble is not None:
                await self._put_away(source, lease, trouble)
        except LeaseLostError:  # whoever has it now finds the same, or knows better
            tell("source.relinquished", source_id=source.id)
        except Exception as error:  # noqa: BLE001 - one source's trouble is no other's: its lease will run out
            warn("source.dropped", source_id=source.id, error=repr(error))

    async def _troubled(self, source: Source, lease: str) -> SourceTroubleError | None:
        """Poll a source; return what is wrong with it."""
        try:
            await self._asked(source, lease)
        except SourceTroubleError as trouble:
            return trouble
        except Exception as error:
            if isinstance(error, LeaseLostError) or is_database_fault(error):
                raise
            # a mistake of ours with what it answered: seldom asked, and shown, it does least harm
            warn("source.undigested", source_id=source.id, error=repr(error))
            return MalformedError(f"Hookline cannot work with what it answered ({type(error).__name__})")
        return None

    async def _asked(self, source: Source, lease: str) -> None:
        async with self._store.reading() as tx:
            wakes = await rows.wakes(tx, source.id)
        desk = _Desk(self._store, source, wakes, self._around.clock)
        events = 0
        limit = asyncio.timeout(_LONGEST_S)
        try:
            async with limit, aclosing(self._sources.connector(source).poll(desk)) as steps:
                async for step in steps:
                    await self._commit(source, lease, step)
                    events += len(step.events)
        except TimeoutError as error:
            if not limit.expired():  # the database's
                raise
            raise UnreachableError(f"A poll took longer than {_LONGEST_S:g} seconds") from error
        await self._finish(source, lease, wakes)
        tell("source.polled", source_id=source.id, system=source.system, result="ok", events=events)

    async def _commit(self, source: Source, lease: str, step: Step) -> None:
        """Commit a step: its events, its marks, and what is known of the source from it."""
        now = self._around.clock.now()
        submissions, letters = self._translated(source, step.events)

        async def first(tx: Transaction) -> None:
            await _hold(tx, source, lease, {"leased_until": now + _LEASE})
            await rows.write_marks(tx, source.id, step.marks)
            if step.events:
                await rows.count(tx, source.id, len(submissions), [letter.reason for letter in letters], now)
            if letters:
                await dead_letters.park(tx, letters)

        await self._intake.accept([Offer(submissions)] if submissions else [], first=first)

    def _translated(self, source: Source, drafts: Sequence[Draft]) -> tuple[list[Submission], list[DeadLetter]]:
        """Make submissions of drafts. What breaks the rules of an event becomes a dead letter, and stops no other."""
        submissions, letters = [], []
        for draft in drafts:
            envelope = compose(draft.type, draft.at, draft.data)
            try:
                submissions.append(submit(envelope, source.account_id, external_id=draft.key))
            except InvalidEvent as error:
                letters.append(self._refused(source, draft, envelope, error))
        return submissions, letters

    def _refused(self, source: Source, draft: Draft, envelope: Mapping[str, Any], error: InvalidEvent) -> DeadLetter:
        body = json.dumps(envelope).encode()  # whatever is in it
        message = Message(body, draft.type, {"account-id": source.account_id}, "application/json", draft.key)
        rejection = Rejection(error.code, error.message)
        return refuse(message, f"source {source.id}", rejection, self._around)

    # -- its end -------------------------------------------------------------------------------------------------------

    async def _finish(self, source: Source, lease: str, seen: Sequence[Wake]) -> None:
        now = self._around.clock.now()
        due = now + timedelta(seconds=_interval_s(source) * (1 + _JITTER * (2 * self._around.luck.random() - 1)))
        changes: dict[str, Any] = {"state": "ok", "trouble": None, "failures": 0, "polled_at": now}
        changes["due_at"] = rows.next_due(source, due, now)
        async with self._store.writing() as tx:
            await _hold(tx, source, lease, changes | {"lease": None, "leased_until": None})
            await rows.heed(tx, source.id, seen)
            await rows.poll_again(tx, source.id, now)

    async def _put_away(self, source: Source, lease: str, trouble: SourceTroubleError) -> None:
        now = self._around.clock.now()
        failures = source.failures + 1
        state = _after(trouble, failures)
        due = None if state in STANDSTILL else now + _wait(_interval_s(source), failures, trouble)
        changes: dict[str, Any] = {"state": state, "trouble": str(trouble), "failures": failures, "polled_at": now}
        changes["due_at"] = rows.next_due(source, due, now)
        async with self._store.writing() as tx:
            await _hold(tx, source, lease, changes | {"lease": None, "leased_until": None})
        tell("source.polled", source_id=source.id, system=source.system, result=state, why=str(trouble))


def _after(trouble: SourceTroubleError, failures: int) -> SourceState:
    """The state that a trouble puts a source into; what cannot be understood once or twice may be a passing fault."""
    state = state_of(trouble)
    return "failing" if state == "broken" and failures < _BROKEN_AFTER else state


def _interval_s(source: Source) -> float:
    return float(source.settings["interval_s"])


def _wait(interval_s: float, failures: int, trouble: SourceTroubleError) -> timedelta:
    """How long to leave a source alone that fails.

    >>> [_wait(5, failures, MalformedError("")).total_seconds() for failures in (1, 2, 3, 8, 9)]
    [5.0, 10.0, 20.0, 600.0, 600.0]
    >>> _wait(5, 1, UnreachableError("", after_s=90)).total_seconds()
    90.0
    """
    usual = min(interval_s * 2 ** min(failures - 1, 16), max(_LONGEST_WAIT_S, interval_s))
    asked = trouble.after_s if isinstance(trouble, UnreachableError) else 0
    return timedelta(seconds=max(usual, min(asked, 24 * 3600)))


async def _hold(tx: Transaction, source: Source, lease: str, changes: Mapping[str, Any]) -> None:
    """Write changes if the source is still this poll's, and keep everybody else from it until the transaction ends."""
    if not await rows.note(tx, source, lease, changes):
        raise LeaseLostError


class _Desk:
    """What a connector finds when it polls; its marks are those of the last step that was committed."""

    def __init__(self, store: Store, source: Source, wakes: Sequence[Wake], clock: Clock) -> None:
        self.wakes = wakes
        self._store = store
        self._source_id = source.id
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    async def mark(self, kind: str, key: str = "") -> Any:
        async with self._store.reading() as tx:
            return await rows.mark(tx, self._source_id, kind, key)

    async def marks(self, kind: str) -> Mapping[str, Any]:
        async with self._store.reading() as tx:
            return await rows.marks(tx, self._source_id, kind)
