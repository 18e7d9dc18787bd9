"""Potato: annotators' states, compared again and again; its history and its webhooks only say where to look.

The history cannot be replayed into the state, and some changes leave no trace in it, so what is published is the
difference between two states of one annotator and one item, once nothing happened there for a while. Every few minutes
everything is compared.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from consumers.sources.connector import Desk, Draft, Heard, Push, Step
from consumers.sources.names import job_id, key, sha12
from consumers.sources.potato_api import History, PotatoApi, UserState
from consumers.sources.potato_push import read_push
from consumers.sources.potato_reviews import Reviews, in_utc
from consumers.sources.potato_state import Schemas, annotations_of, entries_of
from consumers.sources.system import Credentials, Interval, Place, Settings, System

#: As many ids of actions are remembered for each annotator: twice what the history shows.
_MOST_SEEN = 200
_MOST_SHOWN = 100


class PotatoSettings(Settings):
    """How to read one server, which is one project."""

    interval_s: Interval = 5
    timezone: str = Field("UTC", description="The server's time zone, like Europe/Berlin: Potato writes local times")
    settle_s: float = Field(30, ge=0, description="Seconds without a change after which an annotation is published")
    sweep_s: float = Field(600, ge=10, description="Seconds between two comparisons of everything")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError) as error:  # KeyError: no such zone
            raise ValueError("no such time zone; write it like Europe/Berlin") from error
        return name


class PotatoCredentials(Credentials):
    """The admin key; whatever else is given serves better."""

    api_key: str = Field(min_length=1, description="admin_api_key of Potato's configuration")
    webhook_secret: str | None = Field(None, description="The secret of Potato's own webhook to this source")
    adjudicator_email: str | None = Field(None, description="One of adjudicator_users, to read decisions at once")
    adjudicator_password: str | None = Field(None, description="Their password, where Potato requires one")


@dataclass(frozen=True, slots=True)
class _Annotator:
    """What is remembered of an annotator.

    ``touched`` are items at which something happened, and when that was noticed last; ``whole``: it may be any item.
    ``epoch`` counts the restarts that lost the history.
    """

    user: str
    total: int = 0
    seen: Sequence[str] = ()
    epoch: int = 0
    touched: Mapping[str, str] = field(default_factory=dict)
    whole: str | None = None

    def after(self, history: History, now: datetime) -> "_Annotator":
        """After another look at the history."""
        fresh = [action for action in history.actions if action.action_id not in self.seen]
        new = history.total_actions - self.total
        if new == 0:
            return self
        restarted = new < 0
        if not restarted:
            fresh = fresh[-min(new, _MOST_SHOWN) :]
        touched = {**self.touched, **{action.instance_id: now.isoformat() for action in fresh}}
        seen = [*self.seen, *(action.action_id for action in fresh)][-_MOST_SEEN:]
        whole = now.isoformat() if new > _MOST_SHOWN else self.whole
        return replace(
            self,
            total=history.total_actions,
            seen=seen,
            epoch=self.epoch + restarted,
            touched=touched,
            whole=whole,
        )

    def ripe(self, before: datetime) -> set[str]:
        """Items at which nothing has happened since a moment."""
        return {item for item, at in self.touched.items() if datetime.fromisoformat(at) <= before}


@dataclass(frozen=True, slots=True)
class _Published:
    """What was last said of one annotator and one item; ``rev`` 0 is what was there at first contact."""

    user: str
    item: str
    sha: str
    rev: int = 0


class Potato:
    """The connector."""

    def __init__(self, place: Place, settings: PotatoSettings, credentials: PotatoCredentials) -> None:
        self._source_id = place.source_id
        self._settings = settings
        self._secret = credentials.webhook_secret
        self._zone = ZoneInfo(settings.timezone)
        email = credentials.adjudicator_email
        adjudicator = (email, credentials.adjudicator_password or "") if email else None
        self._api = PotatoApi(place, credentials.api_key, adjudicator)
        self._schemas: Schemas | None = None
        self._everything: Sequence[_Published] | None = None

    async def check(self) -> str:
        """Say what the project is called, and how large it is."""
        found = await self._api.overview()
        counts = found.overview
        return f"{found.config.annotation_task_name}: {counts.total_items} items, {counts.total_users} annotators"

    def hear(self, push: Push, now: datetime) -> Sequence[Heard]:
        """Believe one of Potato's webhooks, if it bears the source's signature; it says who is at work."""
        return read_push(push, self._secret, now)

    async def poll(self, desk: Desk) -> AsyncGenerator[Step, None]:
        """A step for each annotator at whom something happened, for the end of a round, and for each decision."""
        swept_at = await desk.mark("swept")
        silent = swept_at is None and not self._settings.backfill
        sweep = swept_at is None or _passed(desk.now(), swept_at, self._settings.sweep_s)
        known = {mark["user"]: _Annotator(**mark) for mark in (await desk.marks("annotator")).values()}
        for user in await self._api.users():
            annotator = known.get(user, _Annotator(user))
            async for step in self._of_annotator(desk, annotator, sweep=sweep, settled=silent):
                yield _told(step, silent=silent)
        yield _told(await self._of_round(desk), silent=silent)
        reviews = Reviews(self._source_id, self._api, self._zone, self._schemas_once)
        async for step in reviews.poll(desk, sweep=sweep):
            yield _told(step, silent=silent)
        if sweep:
            yield Step(marks={("swept", ""): desk.now().isoformat()})

    # -- annotations ---------------------------------------------------------------------------------------------------

    async def _of_annotator(
        self, desk: Desk, before: _Annotator, *, sweep: bool, settled: bool
    ) -> AsyncGenerator[Step, None]:
        """One step, or none. With ``settled`` everything counts as quiet; with a ``sweep`` everything is compared."""
        now = desk.now()
        after = before.after(await self._api.history(before.user), now)
        quiet_since = now if settled else now - timedelta(seconds=self._settings.settle_s)
        ripe = after.ripe(quiet_since)
        whole = sweep or (after.whole is not None and datetime.fromisoformat(after.whole) <= quiet_since)
        if not ripe and not whole:
            if after != before:
                yield Step(marks={("annotator", key(before.user)): asdict(after)})
            return
        state = await self._api.state(before.user)
        in_motion = after.touched.keys() - ripe
        published = await self._published(desk, before.user, None if whole else ripe)
        items = ((state.annotations.by_instance.keys() | published.keys()) if whole else ripe) - in_motion
        looked = replace(
            after,
            touched={item: at for item, at in after.touched.items() if item in in_motion},
            whole=None if whole else after.whole,
        )
        events: list[Draft] = []
        marks: dict[tuple[str, str], Any] = {("annotator", key(before.user)): asdict(looked)}
        for item in sorted(items):
            draft, mark = await self._of_item(now, looked, item, state, published.get(item))
            events += [draft] if draft else []
            marks |= {("state", key(before.user, item)): asdict(mark)} if mark else {}
        if events or len(marks) > 1 or looked != before:
            yield Step(events, marks)

    async def _published(self, desk: Desk, user: str, items: set[str] | None) -> Mapping[str, _Published]:
        """What was last said of an annotator's items; None: of all of them."""
        if items is None:
            if self._everything is None:
                self._everything = [_Published(**mark) for mark in (await desk.marks("state")).values()]
            return {one.item: one for one in self._everything if one.user == user}
        found = {item: await desk.mark("state", key(user, item)) for item in items}
        return {item: _Published(**mark) for item, mark in found.items() if mark is not None}

    async def _of_item(
        self, now: datetime, annotator: _Annotator, item: str, state: UserState, before: _Published | None
    ) -> tuple[Draft | None, _Published | None]:
        """Compare one item with what was last said of it; None: nothing to say, nothing to remember."""
        schemas = await self._schemas_once()
        entries = entries_of(state.annotations.by_instance.get(item, {}), schemas)
        text = state.texts.get(item, "")
        annotations = annotations_of(entries, schemas, text)
        sha = sha12(annotations)
        if before is not None and before.sha == sha:
            return None, None
        if not annotations and (before is None or before.rev == 0):
            return None, _Published(annotator.user, item, sha) if before else None
        mark = _Published(annotator.user, item, sha, rev=(before.rev if before else 0) + 1)
        return await self._draft(now, annotator, mark, annotations, text), mark

    async def _draft(
        self, now: datetime, annotator: _Annotator, mark: _Published, annotations: Mapping[str, Any], text: str
    ) -> Draft:
        user, item, source_id = mark.user, mark.item, self._source_id
        actions = (await self._api.history(user, item)).actions
        last = actions[-1] if actions else None
        source: dict[str, Any] = {"system": "potato", "source_id": source_id, "external_id": item, "revision": mark.rev}
        if last:
            source["occurred_at"] = last.timestamp
        data = {
            "job_id": job_id("potato", source_id, item, user, mark.rev),
            "text": text,
            "annotations": annotations,
            "processing_ms": round(sum(action.server_processing_time_ms for action in actions)),
            "annotator": {"id": user, "type": "human"},
            "source": source,
        }
        # without a history the same state may come back: then its revision tells it from itself
        step = last.action_id if last else f"epoch-{annotator.epoch}.{mark.rev}"
        name = key("potato", source_id, "ann", item, user, step, mark.sha)
        return Draft("annotation.completed", (last and in_utc(last.timestamp, self._zone)) or now, data, name)

    async def _schemas_once(self) -> Schemas:
        if self._schemas is None:
            self._schemas = await self._api.schemas()
        return self._schemas

    # -- rounds --------------------------------------------------------------------------------------------------------

    async def _of_round(self, desk: Desk) -> Step:
        """Everything has its annotators: a round is complete. With more items it is another one."""
        total = (await self._api.overview()).overview.total_items
        if total == 0 or await desk.mark("round") == total or await self._api.incomplete():
            return Step()
        name = job_id("potato", self._source_id, "round", total)
        source = {"system": "potato", "source_id": self._source_id, "external_id": f"round:{total}"}
        data = {"job_id": name, "batch_id": name, "total": total, "succeeded": total, "failed": 0, "source": source}
        draft = Draft("batch.completed", desk.now(), data, key("potato", self._source_id, "batch", total))
        return Step([draft], {("round", ""): total})


def _passed(now: datetime, since: str, seconds: float) -> bool:
    return now - datetime.fromisoformat(since) >= timedelta(seconds=seconds)


def _told(step: Step, *, silent: bool) -> Step:
    """The step, or just what is to be remembered of it: what was there at first contact is revision 0."""
    if not silent:
        return step
    marks = {name: mark | {"rev": 0} if name[0] == "state" else mark for name, mark in step.marks.items()}
    return Step(marks=marks)


POTATO = System("potato", "Potato", PotatoSettings, PotatoCredentials, Potato)
