"""Erasing what is kept of a job or of a person, before its time.

What is erased is gone from the log as if it had been pruned: the event with its body, its deliveries whatever their
state, and their attempts. What is being sent this very moment is left for the next time; nothing is sent of the rest.
A step is a transaction of a handful of events, so nobody waits for it, and breaking off loses nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from delivery.domain.deeds import By, Deed
from delivery.domain.envelope import write_json
from delivery.domain.ids import new_id
from delivery.domain.people import people
from delivery.ports import Surroundings
from delivery.store import audit, erasures
from delivery.store.engine import Store, Transaction
from delivery.store.erasures import FIRST_EVENT, Share
from delivery.store.reach import Reach
from delivery.telemetry import tell

#: Events of one step: small enough to hold no lock for long.
_HANDFUL = 500

#: Steps of one call: so much that most need one call, and so little that it ends soon.
_STEPS = 20

_ROWS = ("events", "deliveries", "attempts", "dead_letters")


@dataclass(frozen=True, slots=True)
class Subject:
    """Of what to erase all that is kept: a job, or a person who annotated or reviewed."""

    kind: Literal["job", "person"]
    id: str

    @property
    def needle(self) -> bytes:
        """What a body that is meant must hold."""
        return write_json(self.id)


@dataclass(frozen=True, slots=True)
class Errand:
    """To erase what is kept of a subject, as far as the reach goes; without ``by``, only to count it."""

    reach: Reach
    subject: Subject
    by: By | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an erasure is: rows that are gone, or that would be. ``busy`` events are left, as they are being sent.

    ``id`` is what the audit trail calls it; ``cursor`` is where to go on, None: all was looked through.
    """

    id: str
    events: int = 0
    deliveries: int = 0
    attempts: int = 0
    dead_letters: int = 0
    busy: int = 0
    cursor: str | None = ""

    def with_share(self, share: Share) -> "Progress":
        """The same and some more events."""
        return replace(
            self,
            events=self.events + share.events,
            deliveries=self.deliveries + share.deliveries,
            attempts=self.attempts + share.attempts,
            busy=self.busy + share.busy,
        )


class Eraser:
    """Erases. ``longest_s`` is the longest that a request of a delivery that was cancelled can still be under way."""

    def __init__(self, store: Store, around: Surroundings, *, longest_s: float) -> None:
        self._store = store
        self._around = around
        self._longest = timedelta(seconds=longest_s)

    async def run(self, errand: Errand, *, after: str) -> Progress:
        """Erase some, or count it, and say where to go on."""
        now, luck = self._around.clock.now(), self._around.luck
        begun = progress = Progress(new_id("era", now, luck), cursor=after)
        for _ in range(_STEPS):
            async with self._store.reading() if errand.by is None else self._store.writing() as tx:
                before, progress = progress, await self._looked(tx, errand, progress)
                if errand.by is not None:
                    await self._note(tx, errand, errand.by, before, progress)
            if progress.cursor is None:
                break
        if errand.by is not None:
            tell("events.erased", account_id=errand.reach.account_id, **_gone(begun, progress))
        return progress

    async def _looked(self, tx: Transaction, errand: Errand, progress: Progress) -> Progress:
        """Look through the next handful: for operators the dead letters first, then the events."""
        reach, subject, after = errand.reach, errand.subject, progress.cursor or ""
        if reach.account_id is None and after < FIRST_EVENT:  # what nobody could use belongs to no account
            window = await erasures.letters_holding(tx, subject.needle, after=after, limit=_HANDFUL)
            meant = [letter_id for letter_id, body in window.bodies.items() if _may_be_about(body, subject)]
            gone = len(meant) if errand.by is None else await erasures.discard(tx, meant)
            return replace(progress, dead_letters=progress.dead_letters + gone, cursor=window.last or FIRST_EVENT)
        if subject.kind == "job":
            window = await erasures.of_job(tx, reach, subject.id, after=after, limit=_HANDFUL)
        else:
            window = await erasures.holding(tx, reach, subject.needle, after=after, limit=_HANDFUL)
        meant = [event_id for event_id, body in window.bodies.items() if _is_about(body, subject)]
        share = await self._share(tx, errand, meant)
        return replace(progress.with_share(share), cursor=window.last)

    async def _share(self, tx: Transaction, errand: Errand, ids: Sequence[str]) -> Share:
        if errand.by is None:
            return await erasures.count(tx, ids)
        return await erasures.erase(tx, ids, quiet_since=self._around.clock.now() - self._longest)

    async def _note(self, tx: Transaction, errand: Errand, by: By, before: Progress, after: Progress) -> None:
        """Write into the trail that something was erased; of a person, not of whom: that would be kept, then."""
        gone = _gone(before, after)
        if any(gone.values()):
            name = f"job {errand.subject.id}" if errand.subject.kind == "job" else "a person"
            deed = Deed("events.erased", errand.reach.account_id, after.id, name, after=gone)
            await audit.note(tx, by, deed, now=self._around.clock.now(), luck=self._around.luck)


def _gone(before: Progress, after: Progress) -> dict[str, int]:
    return {name: getattr(after, name) - getattr(before, name) for name in _ROWS}


def _may_be_about(letter: bytes, subject: Subject) -> bool:
    """Whether a dead letter that holds the subject's id is about it, as far as can be known of what nobody could use.

    >>> job = Subject("job", "j1")
    >>> _may_be_about(b'{"data": {"data": {"job_id": "j1"}}}', job), _may_be_about(b'{"job_id": "j1"', job)
    (True, True)
    >>> _may_be_about(b'{"data": {"job_id": "j2", "text": "j1"}}', job)
    False
    """
    try:
        level = json.loads(letter)
    except (ValueError, RecursionError):  # not JSON, which may be why it is here: whatever it is, it names the subject
        return True
    while isinstance(level, Mapping):  # an envelope, and that of a CloudEvent around it
        if subject.id in ({level.get("job_id")} if subject.kind == "job" else people(level)):
            return True
        level = level.get("data")
    return False


def _is_about(body: bytes, subject: Subject) -> bool:
    """Whether an event that was found is about the subject: of a person, that they are named as one."""
    if subject.kind == "job":
        return True
    envelope = json.loads(body)  # ours: what is stored was written by ``write_json``
    data = envelope.get("data")
    return isinstance(data, Mapping) and subject.id in people(data)
