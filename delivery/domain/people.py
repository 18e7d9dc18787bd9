"""Whom an event names. Pure."""

from collections.abc import Mapping
from typing import Any

_ROLES = ("annotator", "reviewer")


def people(data: Mapping[str, Any]) -> set[str]:
    """The ids of the people whose work an event tells of: who annotated, who reviewed, and between whom was decided.

    ``metadata.annotations`` is by annotator, as our own connectors publish what adjudicators decided between.

    >>> sorted(people({"reviewer": {"id": "eve"}, "metadata": {"annotations": {"ada": {}, "bob": {}}}}))
    ['ada', 'bob', 'eve']
    >>> people({"annotator": "no object", "metadata": []})
    set()
    """
    named = {_member(data.get(role), "id") for role in _ROLES}
    voices = _member(data.get("metadata"), "annotations")
    return {one for one in named if isinstance(one, str)} | ({*voices} if isinstance(voices, Mapping) else set())


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
