"""What annotators at Potato have said of an item, read from its flat state. Pure.

``{"Label(schema:sentiment, name:neutral)": "1"}`` becomes ``{"sentiment": "neutral"}``; what counts of an entry, its
name or its value, depends on the type of its schema (Potato 2.12.1).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumers.sources.corrections import corrections

_LABEL = re.compile(r"Label\(schema:(.*), name:(.*)\)", re.DOTALL)
_SPAN = re.compile(r"SpanAnnotation\(schema:(.*), name:(.*), start:(\d+), end:(\d+), id:(.*)\)", re.DOTALL)

#: What an entry means that was taken back.
_NOTHING = (None, False, "", "false")

#: Types whose entries say it in their names, and those that say it in their values.
_BY_NAME = ("radio", "likert")
_BY_NAMES = ("multiselect",)
_NUMBERS = ("slider", "number", "likert")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a state: a label's value, or a span."""

    schema: str
    name: str
    value: Any
    start: int | None = None
    end: int | None = None


#: The types of schemas, by their names.
Schemas = Mapping[str, str]


def entries_of(state: Mapping[str, Any], schemas: Schemas) -> list[Entry]:
    """Read a state, without what was taken back.

    >>> entries_of({"Label(schema:mood, name:good, name:very)": "1"}, {"mood": "radio"})[0].name
    'good, name:very'
    """
    found = [_entry(key, value, schemas) for key, value in state.items()]
    return [entry for entry in found if entry is not None and entry.value not in _NOTHING]


def _entry(key: str, value: Any, schemas: Schemas) -> Entry | None:
    if span := _SPAN.fullmatch(key):
        schema, name, start, end, _ = span.groups()
        return Entry(schema, name, value, int(start), int(end))
    for schema in schemas:  # a name may hold what looks like the end of a schema's
        prefix = f"Label(schema:{schema}, name:"
        if key.startswith(prefix) and key.endswith(")"):
            return Entry(schema, key[len(prefix) : -1], value)
    label = _LABEL.fullmatch(key)
    return Entry(label[1], label[2], value) if label else None


def annotations_of(entries: Iterable[Entry], schemas: Schemas, text: str) -> dict[str, Any]:
    """What an annotator said, by schema. ``text`` is what spans are cut from."""
    of_schema: dict[str, list[Entry]] = {}
    for entry in entries:
        of_schema.setdefault(entry.schema, []).append(entry)
    return {schema: _value(schemas.get(schema, ""), found, text) for schema, found in sorted(of_schema.items())}


def _value(kind: str, entries: Sequence[Entry], text: str) -> Any:
    """One schema's value.

    >>> _value("radio", [Entry("mood", "good", "1")], "")
    'good'
    >>> _value("multiselect", [Entry("tags", "b", "b"), Entry("tags", "a", "a")], "")
    ['a', 'b']
    >>> _value("slider", [Entry("force", "slider", "73")], "")
    73
    """
    if any(entry.start is not None for entry in entries):
        return spans(entries, text)
    if kind in _BY_NAMES:
        return sorted(entry.name for entry in entries)
    first = entries[0]
    said = first.name if kind in _BY_NAME else first.value
    if kind in _NUMBERS:
        return _number(said)
    if kind in _BY_NAME or kind == "text" or len(entries) == 1:
        return said
    return sorted(f"{entry.name}: {entry.value}" for entry in entries)


def spans(entries: Iterable[Entry], text: str) -> list[dict[str, Any]]:
    """Spans in the order of the text. Their offsets are a browser's, and are passed on as they are."""
    found = [
        {"text": text[entry.start : entry.end], "start": entry.start, "end": entry.end, "label": entry.name}
        for entry in entries
        if entry.start is not None and entry.end is not None
    ]
    return sorted(found, key=lambda span: (span["start"], span["end"], span["label"]))


def _number(said: Any) -> Any:
    """A number, where it is one.

    >>> _number("4"), _number("2.5"), _number("a lot"), _number("nan")
    (4, 2.5, 'a lot', 'nan')
    """
    if not re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", str(said)):
        return said
    return float(said) if "." in str(said) else int(said)


# --- adjudication -----------------------------------------------------------------------------------------------------


def before_of(said: Mapping[str, Mapping[str, Any]], favoured: Mapping[str, str]) -> dict[str, Any]:
    """What stood before a decision: per schema, what most annotators said.

    On a tie it is what the annotator said whom the decision names (``annotator_X``); else the schema is left out.

    >>> said = {"ada": {"mood": "good"}, "bob": {"mood": "bad"}, "eve": {"mood": "bad"}}
    >>> before_of(said, {})
    {'mood': 'bad'}
    >>> before_of({"ada": {"mood": "good"}, "bob": {"mood": "bad"}}, {"mood": "annotator_ada"})
    {'mood': 'good'}
    >>> before_of({"ada": {"mood": "good"}, "bob": {"mood": "bad"}}, {"mood": "adjudicator"})
    {}
    """
    before = {}
    for schema in sorted({schema for values in said.values() for schema in values}):
        answers = {user: values[schema] for user, values in said.items() if schema in values}
        counted = Counter(map(repr, answers.values())).most_common(2)
        if len(counted) == 1 or counted[0][1] > counted[1][1]:
            before[schema] = next(answer for answer in answers.values() if repr(answer) == counted[0][0])
        else:
            favourite = favoured.get(schema, "").removeprefix("annotator_")
            if favourite in answers:
                before[schema] = answers[favourite]
    return before


def review_of(said: Mapping[str, Mapping[str, Any]], after: Mapping[str, Any], sources: Mapping[str, str]) -> Any:
    """Members of a review: what stood before a decision, what stands after it, and the difference."""
    before = before_of(said, sources)
    changed = corrections(before, after)
    return {
        "decision": "corrected" if changed else "accepted",
        "before": before,
        "after": dict(after),
        "corrections": changed,
        "metadata": {"annotators": {user: dict(values) for user, values in said.items()}},
    }
