"""What somebody annotated on an item, out of the flat map that Potato keeps it in. Pure."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_LABEL = re.compile(r"Label\(schema:(.*), name:(.*)\)", re.DOTALL)
_SPAN = re.compile(r"SpanAnnotation\(schema:(.*), name:(.*), start:(\d+), end:(\d+), id:(.*)\)", re.DOTALL)

#: The type of each schema of the project, by its name.
Types = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One label, or one span where there is a ``start``."""

    schema: str
    name: str
    value: Any
    start: int | None = None
    end: int = 0


def present(state: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is there only to say that it is not.

    >>> present({"Label(schema:a, name:b)": "b", "Label(schema:a, name:c)": False})
    {'Label(schema:a, name:b)': 'b'}
    """
    return {name: value for name, value in state.items() if value}


def entries(state: Mapping[str, Any], types: Types) -> list[Entry]:
    """Read the names of a state's entries.

    >>> entries({"Label(schema:mood, name:a, name:b)": "1"}, {"mood": "radio"})
    [Entry(schema='mood', name='a, name:b', value='1', start=None, end=0)]
    >>> entries({"SpanAnnotation(schema:who, name:PERSON, start:3, end:8, id:x)": "true"}, {})
    [Entry(schema='who', name='PERSON', value='true', start=3, end=8)]
    """
    found = (_entry(name, value, types) for name, value in present(state).items())
    return [entry for entry in found if entry is not None]


def _entry(name: str, value: Any, types: Types) -> Entry | None:
    if (span := _SPAN.fullmatch(name)) is not None:
        schema, label = _named(span[1], span[2], types)
        return Entry(schema, label, value, int(span[3]), int(span[4]))
    if (label_ := _LABEL.fullmatch(name)) is not None:
        return Entry(*_named(label_[1], label_[2], types), value)
    return None


def _named(schema: str, label: str, types: Types) -> tuple[str, str]:
    """Tell a schema's name from a label's: either may hold what stands between them."""
    whole = f"{schema}, name:{label}"
    for known in sorted(types, key=len, reverse=True):
        if whole.startswith(f"{known}, name:"):
            return known, whole.removeprefix(f"{known}, name:")
    return schema, label


def annotations(found: Iterable[Entry], types: Types, text: str) -> dict[str, Any]:
    """Make the values of an event: one for each schema that has any.

    >>> annotations([Entry("stars", "4", "4"), Entry("why", "text_box", "so")], {"stars": "likert", "why": "text"}, "")
    {'stars': 4, 'why': 'so'}
    """
    by_schema: dict[str, list[Entry]] = {}
    for entry in found:
        by_schema.setdefault(entry.schema, []).append(entry)
    return {schema: _value(of_it, types.get(schema, ""), text) for schema, of_it in sorted(by_schema.items())}


def _value(found: list[Entry], kind: str, text: str) -> Any:
    spans = [entry for entry in found if entry.start is not None]
    if spans:
        return spans_of(spans, text)
    if kind == "multiselect":
        return [entry.name for entry in found]
    values = [_READ.get(kind, _as_it_stands)(entry) for entry in found]
    return values[0] if len(values) == 1 else [str(value) for value in values]


def spans_of(found: Iterable[Entry], text: str) -> list[dict[str, Any]]:
    """Make spans in the order of the text. Their offsets are a browser's and may lie anywhere."""
    spans = sorted((entry.start or 0, entry.end, entry.name) for entry in found)
    return [{"text": text[start:end], "start": start, "end": end, "label": label} for start, end, label in spans]


def number(value: Any) -> Any:
    """Read a number where there is one.

    >>> number("73"), number("4.5"), number("1e999"), number("high")
    (73, 4.5, '1e999', 'high')
    """
    try:
        read = float(value)
    except (TypeError, ValueError, OverflowError):  # a word: it stands for itself
        return value
    if not math.isfinite(read):
        return value
    return int(read) if read.is_integer() and abs(read) < 2**53 else read


def _as_it_stands(entry: Entry) -> Any:
    return entry.value if isinstance(entry.value, (str, bool, int, float)) else str(entry.value)


#: How each type of schema says its value; of multiselect and span there are several entries.
_READ: Mapping[str, Callable[[Entry], Any]] = {
    "radio": lambda entry: entry.name,
    "likert": lambda entry: number(entry.name),
    "slider": lambda entry: number(entry.value),
    "number": lambda entry: number(entry.value),
    "text": lambda entry: str(entry.value),
}
