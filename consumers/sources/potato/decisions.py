"""What a Potato's adjudicators have decided: asked for one by one with a login, else found in the archive."""

from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from consumers.sources.connector import Desk, Draft, MarkName, Step
from consumers.sources.names import key, sha12
from consumers.sources.potato.answers import Adjudication, Decision
from consumers.sources.potato.events import Scribe
from consumers.sources.potato.lookups import Lookups
from consumers.sources.potato.remote import Potato
from consumers.sources.potato.reviews import Votes
from consumers.sources.potato.state import Types, annotations, entries

_READ: MarkName = ("decisions", "")


class Decisions:
    """For one poll. ``decisions_s`` is how long to leave the archive alone."""

    def __init__(self, potato: Potato, scribe: Scribe, look: Lookups, desk: Desk, decisions_s: float) -> None:
        self._potato = potato
        self._scribe = scribe
        self._look = look
        self._desk = desk
        self._decisions_s = decisions_s

    async def steps(self, users: Collection[str], *, silent: bool, sweep: bool) -> AsyncGenerator[Step, None]:
        """Find decisions that are new or changed; ``users`` are those who annotate."""
        adjudication = await self._potato.adjudication()
        if not adjudication.enabled:
            return
        read = await self._desk.mark("decisions") or {"figures": "", "at": None}
        figures = sha12([adjudication.queue_stats.get(name) for name in ("completed", "adjudicator_stats")])
        if not self._is_worth_reading(read, figures, sweep=sweep):
            return
        said = await self._desk.marks("decision")
        count = 0
        async for decision in self._decided(said, sweep=sweep):
            count += 1
            digest = sha12(decision.model_dump(mode="json"))
            if said.get(key(decision.instance_id)) != digest:
                events = [] if silent else [await self._reviewed(decision, users)]
                yield Step(events, {("decision", key(decision.instance_id)): digest})
        whole = bool(count) or not _completed(adjudication)
        yield Step(marks={_READ: {"figures": figures if whole else "", "at": self._desk.now().isoformat()}})

    def _is_worth_reading(self, read: Mapping[str, Any], figures: str, *, sweep: bool) -> bool:
        if self._potato.has_adjudicator:
            return sweep or figures != read["figures"]
        return figures != read["figures"] and is_over(read["at"], self._decisions_s, self._desk.now())

    async def _decided(self, said: Mapping[str, Any], *, sweep: bool) -> AsyncGenerator[Decision, None]:
        """Find decisions: all of the archive; of the queue those that are new, or all if it is none of these."""
        if not self._potato.has_adjudicator:
            for decision in await self._potato.archived_decisions():
                yield decision
            return
        items = await self._potato.decided()
        new = [item for item in items if key(item) not in said]
        for item in new if new and not sweep else items:
            found = await self._potato.decision(item)
            if found is not None:
                yield found

    async def _reviewed(self, decision: Decision, users: Collection[str]) -> Draft:
        text = (await self._look.texts()).get(decision.instance_id, "")
        types = await self._look.types()
        votes = await self._votes(decision.instance_id, users, text, types)
        return self._scribe.review(decision, votes, types, text, self._desk.now())

    async def _votes(self, item: str, users: Collection[str], text: str, types: Types) -> Votes:
        """What everybody said of an item."""
        found = {
            user: annotations(entries((await self._look.states(user)).get(item, {}), types), types, text)
            for user in users
        }
        return {user: said for user, said in found.items() if said}


def is_over(since: Any, seconds: float, now: datetime) -> bool:
    """Whether so much time has passed since a moment that was noted, or none was.

    >>> is_over("2026-01-01T00:00:00+00:00", 60, datetime.fromisoformat("2026-01-01T00:01:00+00:00"))
    True
    """
    return since is None or now - datetime.fromisoformat(since) >= timedelta(seconds=seconds)


def _completed(adjudication: Adjudication) -> bool:
    return bool(adjudication.queue_stats.get("completed"))
