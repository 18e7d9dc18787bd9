"""TaskMonk: batches and upload jobs, asked for again and again, because it never speaks by itself.

A batch says how many of its tasks are done and never whether one failed; it can grow after it was complete, and is
then another round, a batch of its own. Jobs cannot be listed: a batch may name its upload job, others are told of in
the settings. What is there at first contact has ended before, and is nothing new.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from consumers.sources.connector import Desk, Heard, Push, Step
from consumers.sources.remote import MalformedError
from consumers.sources.system import Credentials, Interval, Place, Settings, System
from consumers.sources.taskmonk import events
from consumers.sources.taskmonk.api import Gone, Progress, TaskMonkApi
from consumers.sources.taskmonk.events import Job, Reason, Round, Subject
from delivery.domain.errors import InvalidInput

#: Polls in a row in which a batch or a job has to be gone before it is given up.
_GONE_AFTER = 3

#: How often batches are looked at that have ended.
_EVERYTHING_AFTER = timedelta(minutes=10)


class ToldJob(BaseModel):
    """A job that was started elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str = Field(min_length=1, max_length=100, description="The id that TaskMonk answered when it was started")
    batch: str | None = Field(None, description="The batch that it belongs to")
    kind: Literal["import", "export"] = "import"
    name: str | None = Field(None, description="What the file is called")
    format: Literal["csv", "excel", "unknown"] = "unknown"
    file_url: str | None = Field(None, description="Of an export: where the file will be")


class TaskMonkSettings(Settings):
    """A project."""

    whereabouts = ("project_id",)

    project_id: str = Field(min_length=1, max_length=100, description="The project's id, as in its address")
    interval_s: Interval = 30
    token_request: Literal["query", "form"] = Field("query", description="Where the request for a token has its values")
    stall_s: float = Field(86_400, ge=60, description="Seconds without progress after which an upload has failed")
    jobs: tuple[ToldJob, ...] = Field((), max_length=100, description="Jobs to watch that no batch names by itself")


class TaskMonkCredentials(Credentials):
    """Of a client that may read the project."""

    client_id: str = Field(min_length=1, description="The client's id")
    client_secret: str = Field(min_length=1, description="The client's secret")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a batch or a job. ``ended`` is the total with which it came to its last end."""

    completed: int = 0
    total: int = 0
    moved_at: str = ""
    gone: int = 0
    ended: int | None = None

    def at(self, now: datetime, found: Progress) -> "_Seen":
        """After a look at how far it is."""
        same = (self.completed, self.total) == (found.completed, found.total)
        moved_at = self.moved_at if same and self.moved_at else now.isoformat()
        return _Seen(found.completed, found.total, moved_at, 0, self.ended)

    def missed(self) -> "_Seen":
        """After it was not there once more."""
        return replace(self, gone=self.gone + 1)

    def over(self) -> "_Seen":
        """At its end."""
        return replace(self, ended=self.total)

    def as_mark(self) -> dict[str, Any]:
        """What is written down."""
        return asdict(self)


class TaskMonk:
    """The connector."""

    def __init__(self, place: Place, settings: TaskMonkSettings, credentials: TaskMonkCredentials) -> None:
        self._settings = settings
        self._subject = Subject(place.source_id, settings.project_id)
        self._api = TaskMonkApi(
            place,
            settings.project_id,
            (credentials.client_id, credentials.client_secret),
            token_in=settings.token_request,
        )

    async def check(self) -> str:
        """Count the project's batches."""
        return f"project {self._settings.project_id}: {len(await self._api.batches())} batches"

    def hear(self, _push: Push, _now: datetime) -> Sequence[Heard]:
        """Refuse: TaskMonk sends nothing."""
        raise InvalidInput("invalid_payload", "TaskMonk sends nothing; its sources are polled")

    async def poll(self, desk: Desk) -> AsyncGenerator[Step, None]:
        """A step for each batch and each job that is not over. One that nobody understands holds up no other.

        What was there at first contact is no news, but what was seen then and has ended since is.
        """
        silent = await desk.mark("begun") is None and not self._settings.backfill
        everything = await self._is_time_for_everything(desk)
        jobs = {told.job: Job(**told.model_dump()) for told in self._settings.jobs}
        troubles: list[MalformedError] = []
        known = _seen(await desk.marks("batch"))
        for batch in await self._worth_a_look(known, everything=everything):
            try:
                found = await self._api.batch(batch)
            except MalformedError as error:
                troubles.append(error)
                continue
            if isinstance(found, Progress) and found.job_id is not None:
                jobs.setdefault(found.job_id, Job(found.job_id, batch))
            step = self._of_batch(desk.now(), batch, known.get(batch, _Seen()), found)
            yield _told(step, silent=silent and batch not in known)
        known = _seen(await desk.marks("job"))
        for name in [name for name in jobs if known.get(name, _Seen()).ended is None]:
            try:
                found = await self._api.job(name)
            except MalformedError as error:
                troubles.append(error)
                continue
            step = self._of_job(desk.now(), jobs[name], known.get(name, _Seen()), found)
            yield _told(step, silent=silent and name not in known)
        if everything:
            yield Step(marks={("begun", ""): desk.now().isoformat()})
        if troubles:
            raise troubles[0]

    async def _worth_a_look(self, known: Mapping[str, _Seen], *, everything: bool) -> Sequence[str]:
        """The batches that have not ended, listed or not, and now and then those that have."""
        listed = await self._api.batches()
        unfinished = [batch for batch, seen in known.items() if seen.ended is None]
        wanted = [batch for batch in listed if everything or batch not in known or batch in unfinished]
        return list(dict.fromkeys([*wanted, *unfinished]))

    async def _is_time_for_everything(self, desk: Desk) -> bool:
        """Whether to look at batches that have ended, too: they may have grown, but seldom do."""
        before = await desk.mark("begun")
        return before is None or desk.now() - datetime.fromisoformat(before) >= _EVERYTHING_AFTER

    def _of_batch(self, now: datetime, batch: str, seen: _Seen, found: Progress | Gone) -> Step:
        name = ("batch", batch)
        if isinstance(found, Gone):
            missed = seen.missed()
            if missed.gone < _GONE_AFTER or seen.ended is not None:
                return Step(marks={name: missed.as_mark()})
            return self._failed(now, batch, missed, "not_found")
        after = seen.at(now, found)
        if found.cancelled and seen.ended is None:
            return self._failed(now, batch, after, "cancelled")
        if found.complete and found.total != seen.ended:
            draft = events.completed(self._subject, now, _round(batch, after))
            return Step([draft], {name: after.over().as_mark()})
        return Step(marks={name: after.as_mark()} if after != seen else {})

    def _of_job(self, now: datetime, job: Job, seen: _Seen, found: Progress | Gone) -> Step:
        name = ("job", job.job)
        if isinstance(found, Gone):
            missed = seen.missed()
            if missed.gone < _GONE_AFTER:
                return Step(marks={name: missed.as_mark()})
            return self._given_up(now, job, missed, "upload_failed")
        after = seen.at(now, found)
        if found.complete:
            whole = replace(job, file_url=found.file_url or job.file_url)
            draft = events.file_completed(self._subject, now, whole, found.total)
            return Step([draft], {name: after.over().as_mark()})
        if now - datetime.fromisoformat(after.moved_at) > timedelta(seconds=self._settings.stall_s):
            return self._given_up(now, job, after, "stalled")
        return Step(marks={name: after.as_mark()} if after != seen else {})

    def _failed(self, now: datetime, batch: str, seen: _Seen, reason: Reason) -> Step:
        draft = events.failed(self._subject, now, _round(batch, seen), reason)
        return Step([draft], {("batch", batch): seen.over().as_mark()})

    def _given_up(self, now: datetime, job: Job, seen: _Seen, reason: Reason) -> Step:
        """Give a job up: an upload takes its batch with it, or itself where nobody knows the batch."""
        end = {("job", job.job): seen.over().as_mark()}
        if job.kind == "export":
            return Step(marks=end)
        batch = job.batch or job.job
        draft = events.failed(self._subject, now, Round(batch, seen.completed, seen.total), reason)
        return Step([draft], end | {("batch", batch): seen.over().as_mark()})


def _seen(marks: Mapping[str, Any]) -> Mapping[str, _Seen]:
    return {name: _Seen(**mark) for name, mark in marks.items()}


def _round(batch: str, seen: _Seen) -> Round:
    return Round(batch, seen.completed, seen.total, first=seen.ended is None)


def _told(step: Step, *, silent: bool) -> Step:
    """The step, or just what is to be remembered of it."""
    return Step(marks=step.marks) if silent else step


TASKMONK = System("taskmonk", "TaskMonk", TaskMonkSettings, TaskMonkCredentials, TaskMonk)
