"""Does this endpoint want this event, and why (not)?"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from delivery.domain.catalogue import OPERATIONAL
from delivery.domain.errors import InvalidInput
from delivery.domain.model import Endpoint

_PATH = re.compile(r"^data(\.[A-Za-z0-9_-]{1,64}){1,8}\Z")
_MOST_CONDITIONS = 20
_SCALARS = (str, int, float, bool, type(None))
_LARGEST_INTEGER = 2**53


def subscribes(patterns: Collection[str], event_type: str) -> bool:
    """True where one of the patterns names the type, its family, or everything.

    ``*`` means the events of the platform: what Hookline tells about itself is subscribed to by name.

    >>> subscribes(["batch.*"], "batch.failed"), subscribes(["batch.*"], "file.completed"), subscribes(["*"], "x.y")
    (True, False, True)
    >>> subscribes(["*"], "delivery.failed"), subscribes(["delivery.failed"], "delivery.failed")
    (False, True)
    """
    if event_type in OPERATIONAL:
        return event_type in patterns
    family = event_type.partition(".")[0] + ".*"
    return any(pattern in (event_type, family, "*") for pattern in patterns)


def accept_filter(conditions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the form of a content filter: ``{"data.project_id": "proj_a", "data.decision": ["corrected", …]}``.

    Every path must hold one of its values.
    """
    if not 1 <= len(conditions) <= _MOST_CONDITIONS:
        raise InvalidInput("invalid_filter", f"A filter has 1 to {_MOST_CONDITIONS} conditions", field="filter")
    for path, wanted in conditions.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if not _PATH.match(path):
            raise InvalidInput("invalid_filter", f'{path!r} is no path such as "data.project_id"', field="filter")
        if not values or not all(_comparable(value) for value in values):
            raise InvalidInput(
                "invalid_filter", f"{path!r} wants a string, number, boolean or null, or a list of them", field="filter"
            )
    return conditions


def _comparable(value: Any) -> bool:
    """Whether every program reads the value alike: integers only as far as a double is exact."""
    return isinstance(value, _SCALARS) and not (isinstance(value, int) and abs(value) > _LARGEST_INTEGER)


def passes(conditions: Mapping[str, Any] | None, envelope: Mapping[str, Any]) -> bool:
    """True where the event fulfils every condition; a missing member is equal to nothing, not even to null.

    >>> passes({"data.project_id": ["a", "b"]}, {"data": {"project_id": "b"}})
    True
    >>> passes({"data.flag": True}, {"data": {"flag": 1}})
    False
    """
    return all(_holds(path.split("."), wanted, envelope) for path, wanted in (conditions or {}).items())


def _holds(path: list[str], wanted: Any, value: Any) -> bool:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    # Python holds 1 and True for equal, JSON does not
    return any(
        value == want and isinstance(value, bool) == isinstance(want, bool)
        for want in (wanted if isinstance(wanted, list) else [wanted])
    )


def unwanted(endpoint: Endpoint, event_type: str, envelope: Mapping[str, Any]) -> str | None:
    """Why the endpoint does not get the event; None where it does."""
    if not endpoint.active:
        return f"disabled: {endpoint.disabled_reason or 'switched off'}"
    if not subscribes(endpoint.events, event_type):
        return f"not subscribed to {event_type}"
    if not passes(endpoint.filter, envelope):
        return "filtered out"
    return None
