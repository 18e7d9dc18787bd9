"""What an adjudicator's decision changed of what the annotators said. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from consumers.sources.corrections import corrections
from consumers.sources.names import canonical
from consumers.sources.potato.answers import Decision
from consumers.sources.potato.state import Entry, Types, number, spans_of

#: Annotations by user.
Votes = Mapping[str, Mapping[str, Any]]

_ANNOTATOR = "annotator_"


def review(decision: Decision, votes: Votes, types: Types, text: str) -> dict[str, Any]:
    """Make the members of an event that a decision is the reason of, but its ids. An empty ``text`` is not known."""
    after = _after(decision, types, text)
    before = _before(decision, votes, decided=after.keys() | decision.source.keys())
    told = {
        "reviewer": {"id": decision.adjudicator_id},
        "decision": "accepted" if before == after else "corrected",
        "before": before,
        "after": after,
        "corrections": corrections(before, after),
        "comment": decision.notes or None,
        "time_spent_ms": max(0, round(decision.time_spent_ms or 0)),
        "metadata": {"annotations": {user: dict(said) for user, said in votes.items()}},
    }
    return told | ({"text": text} if text else {})


def _after(decision: Decision, types: Types, text: str) -> dict[str, Any]:
    found = {schema: _value(value, types.get(schema, "")) for schema, value in decision.label_decisions.items()}
    after = {schema: value for schema, value in found.items() if value is not None}
    spans: dict[str, list[Entry]] = {}
    for span in decision.span_decisions:
        schema = str(span.get("schema", ""))
        entry = Entry(schema, str(span.get("name", "")), "true", int(span.get("start", 0)), int(span.get("end", 0)))
        spans.setdefault(schema, []).append(entry)
    return after | {schema: spans_of(of_it, text) for schema, of_it in spans.items()}


def _value(value: Any, kind: str) -> Any:
    """Read what was decided: a value, several names, or names that are ticked or not; None: nothing.

    >>> _value({"a": "a", "b": False}, "multiselect"), _value("4", "likert"), _value([], "multiselect")
    (['a'], 4, None)
    """
    if isinstance(value, Mapping):
        value = [name for name, ticked in value.items() if ticked]
        if kind != "multiselect" and len(value) == 1:
            (value,) = value
    if isinstance(value, list):
        return [str(name) for name in value] or None
    return number(value) if kind in {"likert", "slider", "number"} else value


def _before(decision: Decision, votes: Votes, decided: set[str]) -> dict[str, Any]:
    """What the annotators said of what was decided: the most of them, or on a tie the one that was followed."""
    found = {}
    for schema in sorted(decided):
        said = {user: values[schema] for user, values in votes.items() if schema in values}
        winner = _majority(said) or decision.source.get(schema, "").removeprefix(_ANNOTATOR)
        if winner in said:
            found[schema] = said[winner]
    return found


def _majority(said: Mapping[str, Any]) -> str | None:
    """Return one of those who said what most did; None: nobody, or a tie.

    >>> _majority({"ann": "a", "bob": "b", "cy": "b"}), _majority({"ann": "a", "bob": "b"})
    ('bob', None)
    """
    counted = Counter(canonical(value) for value in said.values()).most_common(2)
    if not counted or (len(counted) > 1 and counted[0][1] == counted[1][1]):
        return None
    return next(user for user, value in said.items() if canonical(value) == counted[0][0])
