"""A Potato's facts as events. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from consumers.sources.connector import Draft
from consumers.sources.names import job_id, key, sha12
from consumers.sources.potato.answers import Decision
from consumers.sources.potato.history import Touch
from consumers.sources.potato.reviews import Votes, review
from consumers.sources.potato.state import Types, annotations, entries
from delivery.domain.sources import SourceId


@dataclass(frozen=True, slots=True)
class Work:
    """What a user has annotated on an item, for the ``revision``-th time that we say so."""

    user: str
    item: str
    state: Mapping[str, Any]
    revision: int


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes the events of a source. ``zone`` is that of the server's clock."""

    source_id: SourceId
    zone: tzinfo

    def annotation(self, work: Work, touch: Touch, text: str, types: Types) -> Draft:
        """Somebody has annotated an item. ``touch.action`` is what came last, or what stands in for it."""
        data = {
            "job_id": job_id("potato", self.source_id, work.item, work.user, work.revision),
            "text": text,
            "annotations": annotations(entries(work.state, types), types, text),
            "processing_ms": touch.ms,
            "annotator": {"id": work.user, "type": "human"},
            "source": self._source(work.item, touch.occurred_at) | {"revision": work.revision},
        }
        # the revision, because a state can come back without an action that tells the second time from the first
        what = (work.item, work.user, touch.action, sha12(work.state), work.revision)
        name = key("potato", self.source_id, "ann", *what)
        return Draft("annotation.completed", self._moment(touch.occurred_at) or touch.at, data, name)

    def batch(self, total: int, now: datetime) -> Draft:
        """Every item has its annotations."""
        name = job_id("potato", self.source_id, "round", total)
        data = {"job_id": name, "batch_id": name, "total": total, "succeeded": total, "failed": 0}
        data["source"] = {"system": "potato", "source_id": self.source_id}
        return Draft("batch.completed", now, data, key("potato", self.source_id, "batch", total))

    def review(self, decision: Decision, votes: Votes, types: Types, text: str, now: datetime) -> Draft:
        """An adjudicator has decided on an item."""
        item, at = decision.instance_id, decision.timestamp
        data = {
            "job_id": job_id("potato", self.source_id, item),
            "review_id": job_id("potato", self.source_id, item, at),
            "source": self._source(item, at),
        } | review(decision, votes, types, text)
        return Draft("review.submitted", self._moment(at) or now, data, key("potato", self.source_id, "rev", item, at))

    def _source(self, item: str, occurred_at: str) -> dict[str, Any]:
        told = {"system": "potato", "source_id": self.source_id, "external_id": item}
        return told | ({"occurred_at": occurred_at} if occurred_at else {})

    def _moment(self, text: str) -> datetime | None:
        """Read a time of the server's, which has no zone; None: it is no time."""
        try:
            read = datetime.fromisoformat(text)
            return (read if read.tzinfo else read.replace(tzinfo=self.zone)).astimezone(UTC)
        except (ValueError, OverflowError):  # its own text is in the event anyway
            return None
