"""What a new version of a document means, said as an event: a model's annotation, or a person's review. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from consumers.sources.connector import Draft
from consumers.sources.corrections import corrections
from consumers.sources.names import job_id, key, sha256
from consumers.sources.tagtog.ann import Ann, Document, Entry, annotations_of, confidence_of, since
from consumers.sources.tagtog.push import MASTER
from delivery.domain.sources import SourceId, Wake

Kind = Literal["annotation", "review"]

#: What tagtog says of a document that somebody saved by hand.
_BY_HAND = "updated/GUI"


@dataclass(frozen=True, slots=True)
class Look:
    """A version of a document to look at, because a search found it, or a webhook told of it, or both."""

    docid: str
    member: str
    found: Document | None = None
    wake: Wake | None = None

    @property
    def updated(self) -> str | None:
        """When it was changed, as tagtog writes it."""
        return self.found.updated if self.found else None

    @property
    def event(self) -> str | None:
        """What the webhook said, like ``updated/GUI``."""
        return self.wake.detail.get("event") if self.wake else None

    @property
    def at(self) -> datetime:
        """When it was changed, as far as that is known: the search knows better."""
        return next(one.at for one in (self.found, self.wake) if one is not None)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose events these are: a source and its project, and what the labels are called there."""

    source_id: SourceId
    project: str
    names: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """From one version of a document to another. ``before`` is None where no other is known.

    ``revision`` tells a version that came back from the one that it is like.
    """

    look: Look
    before: Ann | None
    after: Ann
    revision: int = 1

    @cached_property
    def new(self) -> Sequence[Entry]:
        """What is not as it was."""
        return since(self.before, self.after)

    @cached_property
    def gone(self) -> Sequence[Entry]:
        """How that was before."""
        return since(self.after, self.before)

    @cached_property
    def digest(self) -> str:
        """The digest of what is there now."""
        return sha256(self.after.canonical())

    def kind(self) -> Kind | None:
        """Whether it is a review, a model's annotation, or nothing to tell of.

        A search does not say who saved it: then it matters whether somebody confirmed it, and who made what is new,
        or, where nothing is, what is gone.
        """
        entries = self.new or self.gone
        confirmed = self.after.anncomplete and not (self.before and self.before.anncomplete)
        by_hand = self.look.event == _BY_HAND and (entries or self._differs)
        if confirmed or by_hand or any(one.confidence.human for _, one in entries):
            return "review"
        return "annotation" if entries else None

    @property
    def _differs(self) -> bool:
        """Whether anything at all is not as it was."""
        return self.before is not None and sha256(self.before.canonical()) != self.digest

    def reviewer(self) -> str:
        """Whoever has this version for their own, or signed what is new; else it is only known that it was changed."""
        if self.look.member != MASTER:
            return self.look.member
        return next((user for _, one in self.new for user in one.confidence.users), MASTER)


def annotation(subject: Subject, change: Change, text: str) -> Draft:
    """What models put in."""
    entries = _standing(change.after)
    data = {
        "job_id": job_of(subject.source_id, change),
        "text": text,
        "annotations": annotations_of(entries, subject.names),
        "confidence": confidence_of(entries, subject.names),
        "processing_ms": 0,  # nobody says
        "annotator": _annotator(change),
    }
    return _draft("annotation.completed", subject, change, data, "ann")


def review(subject: Subject, change: Change, text: str, job: str | None) -> Draft:
    """What a person made of it. ``job`` is the annotation that was published last for the document."""
    look, after = change.look, annotations_of(_standing(change.after), subject.names)
    before = annotations_of(_earlier(change), subject.names)
    found = corrections(before, after)
    data = {
        "job_id": job or job_of(subject.source_id, change),
        "review_id": job_id("tagtog", subject.source_id, look.docid, look.member, _short(change), change.revision),
        "text": text,
        "reviewer": {"id": change.reviewer()},
        "decision": "corrected" if found else "accepted",
        "before": before,
        "after": after,
        "corrections": found,
        "confirmed": change.after.anncomplete,
    }
    return _draft("review.submitted", subject, change, data, "rev")


def job_of(source_id: SourceId, change: Change) -> str:
    """The ``job_id`` of an annotation."""
    return job_id("tagtog", source_id, change.look.docid, _short(change), change.revision)


def _short(change: Change) -> str:
    """The digest as ids have it."""
    return change.digest[:12]


def _standing(ann: Ann) -> Sequence[Entry]:
    """The annotations that are not taken back."""
    return [(name, one) for name, one in ann.entries() if not one.confidence.taken_back]


def _earlier(change: Change) -> Sequence[Entry]:
    """What was there before; where that is not known, what models put in, be it taken back or not."""
    if change.before is not None:
        return _standing(change.before)
    return [(name, one) for name, one in change.after.entries() if one.confidence.models]


def _annotator(change: Change) -> dict[str, str]:
    models = {name for _, one in change.new for name in one.confidence.models}
    return {"type": "model"} | ({"id": models.pop()} if len(models) == 1 else {})


def _draft(kind: str, subject: Subject, change: Change, data: dict[str, Any], what: str) -> Draft:
    look = change.look
    known = {"external_event": look.event, "occurred_at": look.updated}
    source: dict[str, Any] = {"system": "tagtog", "source_id": subject.source_id, "external_id": look.docid}
    source |= {"revision": change.revision} | {name: value for name, value in known.items() if value is not None}
    name = key("tagtog", subject.source_id, what, look.docid, look.member, change.digest, change.revision)
    return Draft(kind, look.at, {**data, "project_id": subject.project, "source": source}, name)
