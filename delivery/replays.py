"""Sending once more what a filter finds: in the background, paced, each delivery once.

A step is one transaction: it counts what became of what was asked for before, asks for the next deliveries behind the
cursor, and moves the cursor. So a process may be killed at any moment, and any number of them may be at it. The sending
itself is the sweep's, as for every other attempt.
"""

from dataclasses import replace

from delivery.domain.deeds import By, Deed, What
from delivery.domain.errors import Conflict, NotFound
from delivery.domain.ids import new_id
from delivery.ports import Surroundings
from delivery.store import audit, replay_parts, replays
from delivery.store.engine import Store, Transaction
from delivery.store.log import DeliveryFilter
from delivery.store.reach import Reach
from delivery.store.replay_parts import FIRST, Key, Part
from delivery.store.replays import Counts, Preview, Replay
from delivery.telemetry import tell

#: How many deliveries to one endpoint are asked for and not sent yet: between these, twice as many as it took since the
#: last look. So what an endpoint gets for the first time waits behind some seconds of replay, however slow it is.
_FEWEST, _MOST = 50, 500


class Replays:
    """Starts replays, stops them, and moves them on."""

    def __init__(self, store: Store, around: Surroundings) -> None:
        self._store = store
        self._around = around

    async def start(self, reach: Reach, which: DeliveryFilter, *, by: By) -> tuple[Replay, Preview]:
        """Begin a replay of what the filter finds now; nothing is sent before the next step."""
        now = self._around.clock.now()
        async with self._store.writing() as tx:
            found = await replays.preview(tx, reach, which)
            replay = Replay(
                id=new_id("rpl", now, self._around.luck),
                account_id=reach.account_id,
                filter=which,
                by_error=found.by_error,
                state="running" if found.matched else "finished",
                created_by=by.id,
                created_at=now,
                finished_at=None if found.matched else now,
                counts=Counts(found.matched),
            )
            await replays.add(tx, replay, found.by_endpoint)
            deed = _deed("replay.started", replay, matched=found.matched)
            await audit.note(tx, by, deed, now=now, luck=self._around.luck)
        tell("replay.started", replay_id=replay.id, account_id=replay.account_id, matched=found.matched)
        return replay, found

    async def stop(self, reach: Reach, replay_id: str, *, by: By) -> Replay:
        """Ask for no more; what was asked for and is not being sent yet is withdrawn by the next step.

        Raises:
            NotFound: there is no such replay.
            Conflict: it has come to its end.
        """
        async with self._store.writing() as tx:
            stopped = await replays.stop(tx, reach, replay_id)
            replay = await replays.find(tx, reach, replay_id)
            if replay is None:
                raise NotFound("replay")
            if not stopped:
                raise Conflict("conflict", f"The replay has already ended: {replay.state}")
            deed = _deed("replay.stopped", replay, asked=replay.counts.asked)
            await audit.note(tx, by, deed, now=self._around.clock.now(), luck=self._around.luck)
        tell("replay.stopped", replay_id=replay.id, account_id=replay.account_id)
        return replay

    async def run(self) -> None:
        """Move every replay on by as much as there is room for."""
        async with self._store.reading() as tx:
            if not await replays.any_open(tx):
                return
        place: Key | None = FIRST
        while place is not None:
            place = await self._step(place)
        async with self._store.writing() as tx:
            closed = await replays.finish(tx, self._around.clock.now())
        for replay_id in closed:
            tell("replay.finished", replay_id=replay_id)

    async def _step(self, after: Key) -> Key | None:
        async with self._store.writing() as tx:
            part = await replay_parts.lock_next(tx, after)
            if part is None:
                return None
            await replay_parts.save(tx, await self._moved_on(tx, part))
        return part.key

    async def _moved_on(self, tx: Transaction, part: Part) -> Part:
        if part.stopped:
            await replay_parts.withdraw(tx, part)
        outstanding = part.counts.outstanding
        part = replace(part, counts=await replay_parts.tally(tx, part))
        sent = outstanding - part.counts.outstanding
        if not part.stopped and not part.walked:
            part = await self._walked_on(tx, part, room(part.counts.outstanding, sent))
        return replace(part, ended=(part.stopped or part.walked) and part.counts.outstanding == 0)

    async def _walked_on(self, tx: Transaction, part: Part, limit: int) -> Part:
        """Ask for the next deliveries; where there is nowhere to send them, pass over all that are left."""
        if not part.reachable:
            return replace(part, walked=True, counts=replace(part.counts, disabled=part.counts.left))
        if limit == 0:
            return part
        ids = await replay_parts.ahead(tx, part, limit=limit)
        asked = await replay_parts.ask(tx, part, ids, self._around.clock.now()) if ids else 0
        passed_over = part.counts.in_progress + len(ids) - asked
        counts = replace(part.counts, asked=part.counts.asked + asked, in_progress=passed_over)
        if len(ids) == limit:
            return replace(part, cursor=ids[-1], counts=counts)
        return replace(part, walked=True, counts=replace(counts, changed=counts.left))


def _deed(what: What, replay: Replay, **counts: int) -> Deed:
    asked = ", ".join(f"{name} {value}" for name, value in replays.as_json(replay.filter).items())
    return Deed(what, replay.account_id, replay.id, asked, after=counts)


def room(outstanding: int, sent: int) -> int:
    """How many more to ask for, where this many are still to be sent and this many were since the last look.

    >>> room(0, 0), room(50, 0), room(0, 50), room(400, 1000)
    (50, 0, 100, 100)
    """
    return max(0, min(_MOST, max(_FEWEST, 2 * sent)) - outstanding)
