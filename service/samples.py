"""Fresh samples of the event types: the catalogue's examples, happening now."""

import re
from datetime import datetime, timedelta
from typing import Any

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.ids import Luck

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def fresh_sample(event_type: str, now: datetime, luck: Luck) -> dict[str, Any]:
    """Make an envelope that was never published before: a job of its own, ending at this moment.

    >>> from datetime import UTC; from random import Random
    >>> sample = fresh_sample("batch.failed", datetime(2026, 1, 1, tzinfo=UTC), Random(7))
    >>> sample["timestamp"], sample["data"]["started_at"]
    ('2026-01-01T00:00:00.000Z', '2025-12-31T23:58:56.671Z')
    >>> sample["data"]["job_id"] == sample["data"]["batch_id"]
    True
    """
    example = PUBLISHED[event_type].example
    later = now - datetime.fromisoformat(example["timestamp"])
    envelope: dict[str, Any] = _shifted(dict(example), later)
    old = envelope["data"]["job_id"]
    new = f"{old.partition('_')[0]}_{luck.getrandbits(48):012x}"
    envelope["data"] = {name: new if value == old else value for name, value in envelope["data"].items()}
    return envelope


def _shifted(value: Any, later: timedelta) -> Any:
    """Copy a JSON value with every moment in it moved."""
    match value:
        case dict():
            return {name: _shifted(member, later) for name, member in value.items()}
        case list():
            return [_shifted(member, later) for member in value]
        case str() if _MOMENT.fullmatch(value):
            return f"{datetime.fromisoformat(value) + later:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        case _:
            return value
