"""Potato's adjudication: what an adjudicator decided of an item, and what its annotators had said before."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from consumers.sources.connector import Desk, Draft, Step
from consumers.sources.names import job_id, key
from consumers.sources.potato_api import Decision, PotatoApi
from consumers.sources.potato_state import Entry, Schemas, annotations_of, entries_of, review_of, spans
from delivery.domain.sources import SourceId

#: How often the server is made to pack an archive, where there is no adjudicator to ask as.
_ARCHIVE_EVERY = timedelta(minutes=5)


class Reviews:
    """Finds decisions that are new or were changed."""

    def __init__(
        self,
        source_id: SourceId,
        api: PotatoApi,
        zone: ZoneInfo,
        schemas: Callable[[], Awaitable[Schemas]],
    ) -> None:
        self._source_id = source_id
        self._api = api
        self._zone = zone
        self._schemas = schemas

    async def poll(self, desk: Desk, *, sweep: bool) -> AsyncGenerator[Step, None]:
        """A step for each decision. They are read when another item was decided, and with a ``sweep``."""
        found = await self._api.adjudication()
        if not found.enabled or found.queue_stats is None:
            return
        completed, last = found.queue_stats.completed, await desk.mark("adjudication") or {}
        if completed == last.get("completed") and not (sweep and completed):
            return
        if not self._api.can_adjudicate and not _is_time(desk.now(), last.get("read_at")):
            return
        known = await desk.marks("decision")
        said: Mapping[str, Mapping[str, Any]] | None = None
        texts: dict[str, str] = {}
        for decision in await self._api.decisions():
            name = key(decision.instance_id)
            if known.get(name) == decision.timestamp:
                continue
            if said is None:
                said = await self._everything_said(texts)
            draft = self._draft(desk.now(), decision, said.get(decision.instance_id, {}), texts)
            yield Step([draft], {("decision", name): decision.timestamp})
        yield Step(marks={("adjudication", ""): {"completed": completed, "read_at": desk.now().isoformat()}})

    async def _everything_said(self, texts: dict[str, str]) -> Mapping[str, Mapping[str, Any]]:
        """What each annotator said of each item, by item and annotator; their texts are put into ``texts``."""
        schemas = await self._schemas()
        said: dict[str, dict[str, Any]] = {}
        for user in await self._api.users():
            state = await self._api.state(user)
            texts.update(state.texts)
            for item, entries in state.annotations.by_instance.items():
                values = annotations_of(entries_of(entries, schemas), schemas, texts.get(item, ""))
                if values:
                    said.setdefault(item, {})[user] = values
        return said

    def _draft(self, now: datetime, decision: Decision, said: Mapping[str, Any], texts: Mapping[str, str]) -> Draft:
        item, text = decision.instance_id, texts.get(decision.instance_id, "")
        others = {user: values for user, values in said.items() if user != decision.adjudicator_id}
        sources = {schema: word for schema, word in decision.source.items() if isinstance(word, str)}
        after = decided(decision, text)
        source = {"system": "potato", "source_id": self._source_id, "external_id": item}
        data: dict[str, Any] = {
            "job_id": job_id("potato", self._source_id, item),
            "review_id": job_id("potato", self._source_id, item, decision.timestamp.replace(":", ".")),
            "reviewer": {"id": decision.adjudicator_id},
            **review_of(others, after, sources),
            "comment": decision.notes or None,
            "source": source | {"occurred_at": decision.timestamp},
        }
        if text:
            data["text"] = text
        if decision.time_spent_ms is not None and decision.time_spent_ms >= 0:
            data["time_spent_ms"] = decision.time_spent_ms
        name = key("potato", self._source_id, "rev", item, decision.timestamp)
        return Draft("review.submitted", in_utc(decision.timestamp, self._zone) or now, data, name)


def decided(decision: Decision, text: str) -> dict[str, Any]:
    """What stands after a decision, in the shape of annotations.

    >>> from consumers.sources.potato_api import Decision
    >>> one = Decision(instance_id="i", adjudicator_id="a", timestamp="t", label_decisions={"mood": "good"},
    ...     span_decisions=[{"schema": "names", "name": "PERSON", "start": 0, "end": 5}])
    >>> decided(one, "Alice came")
    {'mood': 'good', 'names': [{'text': 'Alice', 'start': 0, 'end': 5, 'label': 'PERSON'}]}
    """
    after = {schema: _value(value) for schema, value in decision.label_decisions.items()}
    entries: dict[str, list[Entry]] = {}
    for span in decision.span_decisions:
        schema, name = str(span.get("schema", "")), str(span.get("name", ""))
        start, end = span.get("start"), span.get("end")
        if isinstance(start, int) and isinstance(end, int):
            entries.setdefault(schema, []).append(Entry(schema, name, True, start, end))
    return {**after, **{schema: spans(found, text) for schema, found in entries.items()}}


def _value(value: Any) -> Any:
    """A decided value: that of a single label, or the names of several.

    >>> _value("good"), _value({"good": "1"}), _value({"a": "a", "b": False, "c": "c"}), _value(["a", "b"])
    ('good', 'good', ['a', 'c'], ['a', 'b'])
    """
    if isinstance(value, Mapping):
        names = sorted(str(name) for name, chosen in value.items() if chosen)
        return names[0] if len(names) == 1 else names or None
    return value or None if isinstance(value, list) else value


def _is_time(now: datetime, read_at: str | None) -> bool:
    return read_at is None or now - datetime.fromisoformat(read_at) >= _ARCHIVE_EVERY


def in_utc(text: str, zone: ZoneInfo) -> datetime | None:
    """A local time that Potato wrote; None: it is none.

    >>> in_utc("2026-07-01T12:00:00.304037", ZoneInfo("Europe/Berlin"))
    datetime.datetime(2026, 7, 1, 10, 0, 0, 304037, tzinfo=datetime.timezone.utc)
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):  # its own text is in the event anyway
        return None
