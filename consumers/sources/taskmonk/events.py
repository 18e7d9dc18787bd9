"""What happens in TaskMonk, said as events. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from consumers.sources.connector import Draft
from consumers.sources.names import job_id, key
from delivery.domain.sources import SourceId

Reason = Literal["upload_failed", "stalled", "not_found", "cancelled"]

_WORDS: dict[Reason, str] = {
    "upload_failed": "The upload job is no longer there",
    "stalled": "The upload made no progress for too long",
    "not_found": "The batch is no longer there",
    "cancelled": "The batch was cancelled",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose events these are: a source, and its project at TaskMonk."""

    source_id: SourceId
    project_id: str

    def draft(self, kind: str, now: datetime, data: dict[str, Any], external_id: str, *name: str) -> Draft:
        """Make an event of it, about what TaskMonk calls ``external_id``."""
        source = {"system": "taskmonk", "source_id": self.source_id, "external_id": external_id}
        whole = {**data, "project_id": self.project_id, "source": source}
        return Draft(kind, now, whole, key("taskmonk", self.project_id, *name))


@dataclass(frozen=True, slots=True)
class Job:
    """An upload or an export that is under way."""

    job: str
    batch: str | None = None
    kind: Literal["import", "export"] = "import"
    name: str | None = None
    format: Literal["csv", "excel", "unknown"] = "unknown"
    file_url: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """A batch as far as it came. ``first`` until it grows after its end: then it is another batch of its own."""

    batch: str
    completed: int
    total: int
    first: bool = True

    @property
    def batch_id(self) -> str:
        """What it is called.

        >>> Round("b-7", 20, 20).batch_id, Round("b-7", 25, 25, first=False).batch_id
        ('b-7', 'b-7:25')
        """
        return job_id(self.batch) if self.first else job_id(self.batch, self.total)


def completed(subject: Subject, now: datetime, one: Round) -> Draft:
    """Everything in a batch is done; nobody counts failures there."""
    name = one.batch_id
    data = {"job_id": name, "batch_id": name, "total": one.total, "succeeded": one.total, "failed": 0}
    return subject.draft("batch.completed", now, data, one.batch, "batch", name, "end")


def failed(subject: Subject, now: datetime, one: Round, reason: Reason) -> Draft:
    """A batch will not be done any more."""
    name = one.batch_id
    data = {
        "job_id": name,
        "batch_id": name,
        "total": one.total,
        "succeeded": one.completed,
        "failed": one.total - one.completed,
        "reason": reason,
        "errors": [{"error": _WORDS[reason], "code": reason}],
    }
    return subject.draft("batch.failed", now, data, one.batch, "batch", name, "end")


def file_completed(subject: Subject, now: datetime, job: Job, total: int) -> Draft:
    """An upload or an export is over."""
    file = {"name": job.name, "format": job.format, "rows_total": total, "rows_succeeded": total, "rows_failed": 0}
    data: dict[str, Any] = {"job_id": job_id(job.job), "direction": job.kind, "file": file}
    if job.batch is not None:
        data["batch_id"] = job_id(job.batch)
    if job.kind == "export":
        data["download_url"] = job.file_url
    return subject.draft("file.completed", now, data, job.job, "out" if job.kind == "export" else "job", job.job)
