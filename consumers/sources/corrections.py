"""What a reviewer changed: the difference between two sets of annotations."""

from collections.abc import Mapping, Sequence
from typing import Any

Span = Mapping[str, Any]


def corrections(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the differences, one per label; of lists of spans, one per span.

    >>> corrections({"mood": "good", "old": 1}, {"mood": "bad", "new": True})
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'label': 'mood', 'op': 'changed', 'before': 'good', 'after': 'bad'},
     {'label': 'new', 'op': 'added', 'after': True},
     {'label': 'old', 'op': 'removed', 'before': 1}]
    >>> alice, whole = {"text": "Alice", "start": 41, "end": 46}, {"text": "Alice Johnson", "start": 41, "end": 54}
    >>> [(one["op"], one["before"]["end"], one["after"]["end"]) for one in
    ...  corrections({"person": [alice]}, {"person": [whole]})]
    [('changed', 46, 54)]
    """
    found = []
    for label in sorted(before.keys() | after.keys()):
        old, new = before.get(label), after.get(label)
        if _spans(old) and _spans(new):
            found += _of_spans(label, old or [], new or [])
        elif old != new:
            found.append(_difference(label, old, new))
    return found


def _spans(value: Any) -> bool:
    """Whether a value is a list of spans, or nothing, which is a list without any."""
    return value is None or (isinstance(value, list) and all(isinstance(one, dict) for one in value))


def _of_spans(label: str, before: Sequence[Span], after: Sequence[Span]) -> list[dict[str, Any]]:
    """Pair what was taken away with what was added where it lay: that was changed."""
    added = [span for span in after if span not in before]
    found = []
    for old in (span for span in before if span not in after):
        new = next((span for span in added if _overlap(old, span)), None)
        if new is not None:
            added.remove(new)
        found.append(_difference(label, old, new))
    return found + [_difference(label, None, span) for span in added]


def _overlap(one: Span, other: Span) -> bool:
    """Whether two spans have a character in common, in the same part of the text."""
    same_part = one.get("part") == other.get("part")
    return same_part and one["start"] < other["end"] and other["start"] < one["end"]


def _difference(label: str, old: Any, new: Any) -> dict[str, Any]:
    op = "added" if old is None else "removed" if new is None else "changed"
    told = {"before": old, "after": new}
    return {"label": label, "op": op} | {name: value for name, value in told.items() if value is not None}
