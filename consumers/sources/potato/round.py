"""One poll of a Potato: every user's work, then whether all is done, then what adjudicators decided.

Marks: ``contact`` (first contact is over), ``swept`` (when all states were compared last), ``user`` (what is known of
each), ``state`` (what was said last of a user's item), ``batch``, ``decisions`` (how far they were read), ``decision``.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from consumers.sources.connector import Desk, Draft, MarkName, Step
from consumers.sources.names import key, sha12
from consumers.sources.potato.decisions import Decisions, is_over
from consumers.sources.potato.events import Scribe, Work
from consumers.sources.potato.history import (
    Acquaintance,
    Touch,
    learned,
    noted,
    noticed,
    recalled,
    settled,
    touched,
    without,
)
from consumers.sources.potato.lookups import Lookups
from consumers.sources.potato.remote import Potato
from consumers.sources.potato.state import present

Steps = AsyncGenerator[Step, None]

#: Items of a user that are published in one transaction.
_TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for what, in seconds, and whether first contact publishes."""

    settle_s: float
    sweep_s: float
    decisions_s: float
    backfill: bool


class Round:
    """A poll."""

    def __init__(self, potato: Potato, scribe: Scribe, pace: Pace, desk: Desk) -> None:
        self._potato = potato
        self._scribe = scribe
        self._pace = pace
        self._desk = desk
        self._met: dict[str, Acquaintance] = {}
        self._look = Lookups(potato, desk)
        self._decisions = Decisions(potato, scribe, self._look, desk, pace.decisions_s)

    async def steps(self) -> Steps:
        """Go round everything."""
        first = await self._desk.mark("contact") is None
        silent = first and not self._pace.backfill
        sweep = first or is_over(await self._desk.mark("swept"), self._pace.sweep_s, self._desk.now())
        for user in self._in_turn(await self._potato.users()):
            async for step in self._user(user, silent=silent, sweep=sweep):
                yield step
        async for step in self._batch(silent=silent, sweep=sweep):
            yield step
        async for step in self._decisions.steps(self._met, silent=silent, sweep=sweep):
            yield step
        if sweep:
            yield Step(marks={("contact", ""): True, ("swept", ""): self._desk.now().isoformat()})

    def _in_turn(self, users: Sequence[str]) -> Sequence[str]:
        """Those first of whom something was heard."""
        heard = {wake.subject for wake in self._desk.wakes}
        return sorted(users, key=lambda user: user not in heard)

    # -- a user's work -------------------------------------------------------------------------------------------------

    async def _user(self, user: str, *, silent: bool, sweep: bool) -> Steps:
        before = recalled(await self._desk.mark("user", key(user)))
        history = await self._potato.history(user)
        if history is None:  # gone since the list was made
            return
        news = learned(before or Acquaintance(), history, self._desk.now())
        if silent and before is None:
            yield await self._baseline(user, news.known)
            return
        met = news.known
        if sweep or news.short or before is None or met.epoch != before.epoch:
            met = noticed(met, await self._changed(user), self._desk.now())
        if news.short:
            met = await self._filled(user, met)
        self._met[user] = met
        if met != before:
            yield Step(marks={_of(user): noted(met)})
        async for step in self._settle(user, met):
            yield step

    async def _baseline(self, user: str, known: Acquaintance) -> Step:
        """Remember what is there, and say nothing of it."""
        self._met[user] = replace(known, touched={})
        states = await self._look.states(user)
        marks: dict[MarkName, Any] = {_of(user): noted(self._met[user])}
        for item, state in states.items():
            action = known.touched[item].action if item in known.touched else ""
            marks["state", key(user, item)] = _mark(present(state), 0, known.epoch, action)
        return Step(marks=marks)

    async def _changed(self, user: str) -> Sequence[str]:
        """Compare all of a user's states with what was said of them. What is not mentioned has not changed."""
        said = await self._look.said()
        states = await self._look.states(user)
        return [item for item, state in states.items() if _differs(said.get(key(user, item)), present(state))]

    async def _filled(self, user: str, met: Acquaintance) -> Acquaintance:
        """Ask for the last actions of each item that the history of the whole has no room for."""
        found = dict(met.touched)
        for item in [item for item, touch in met.touched.items() if not touch.action]:
            history = await self._potato.history(user, item)
            fresh = [action for action in history.actions if action.action_id not in met.seen] if history else ()
            found = touched(found, fresh, self._desk.now())
        return replace(met, touched=found)

    async def _settle(self, user: str, met: Acquaintance) -> Steps:
        """Publish what nobody has touched for a while, if it differs from what was said last."""
        due = settled(met, self._desk.now(), self._pace.settle_s)
        for begin in range(0, len(due), _TOGETHER):
            step, met = await self._said_of(user, met, due[begin : begin + _TOGETHER])
            self._met[user] = met
            yield step

    async def _said_of(self, user: str, met: Acquaintance, due: Sequence[str]) -> tuple[Step, Acquaintance]:
        said = await self._look.said()
        states = await self._look.states(user)
        events: list[Draft] = []
        marks: dict[MarkName, Any] = {}
        for item in due:
            mark, state = said.get(key(user, item)), present(states.get(item, {}))
            if item not in states or not _differs(mark, state):
                continue
            revision, touch = _next_revision(mark, state), _known_touch(met, item, mark)
            if revision:
                text = (await self._look.texts()).get(item)
                if text is None:  # taken out of the project
                    continue
                events.append(
                    self._scribe.annotation(Work(user, item, state, revision), touch, text, await self._look.types())
                )
            marks["state", key(user, item)] = _mark(state, revision, met.epoch, touch.action)
        left = without(met, due) if states else _put_off(met, due, self._desk.now())
        return Step(events, marks | {_of(user): noted(left)}), left

    # -- all is done ---------------------------------------------------------------------------------------------------

    async def _batch(self, *, silent: bool, sweep: bool) -> Steps:
        """Say once of a number of items that all are done, when everything that was done has been said."""
        mark = await self._desk.mark("batch") or {"looked": "", "done": 0}
        looked = sha12({user: [met.total, met.epoch] for user, met in self._met.items()})
        if not self._met or any(met.touched for met in self._met.values()) or (looked == mark["looked"] and not sweep):
            return
        total = await self._done()
        news = total not in {0, mark["done"]}
        events = [self._scribe.batch(total, self._desk.now())] if news and not silent else []
        yield Step(events, {("batch", ""): {"looked": looked, "done": total or mark["done"]}})

    async def _done(self) -> int:
        """How many items there are, if each has as many annotations as it is to have; else 0."""
        total = (await self._potato.overview()).overview.total_items
        if await self._potato.count("incomplete") or await self._potato.count("completed") != total:
            return 0
        return total


def _of(user: str) -> MarkName:
    return "user", key(user)


def _mark(state: Mapping[str, Any], revision: int, epoch: int, action: str) -> Mapping[str, Any]:
    return {"hash": sha12(state), "revision": revision, "epoch": epoch, "action": action}


def _differs(mark: Any, state: Mapping[str, Any]) -> bool:
    return bool(state) if mark is None else mark["hash"] != sha12(state)


def _next_revision(mark: Any, state: Mapping[str, Any]) -> int:
    """Number what is said of an item, from 1. That it is empty is only said where something was: else it stays 0."""
    before: int = mark["revision"] if mark else 0
    return before + 1 if state or before else 0


def _known_touch(met: Acquaintance, item: str, mark: Any) -> Touch:
    """What touched an item last; without any action of this epoch, the epoch stands in for it."""
    touch = met.touched[item]
    if touch.action:
        return touch
    earlier = mark["action"] if mark and mark["epoch"] == met.epoch else ""
    return replace(touch, action=earlier or f"epoch-{met.epoch}")


def _put_off(met: Acquaintance, due: Sequence[str], now: datetime) -> Acquaintance:
    """Where a user's states are all gone nothing is believed; they are asked for again later."""
    again = {item: replace(met.touched[item], at=now) for item in due}
    return replace(met, touched=dict(met.touched) | again)
