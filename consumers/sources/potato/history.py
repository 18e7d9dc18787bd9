"""What is new in a user's history: who touched what, and when that has settled. Pure.

The history accelerates, no more: it is capped, some removals leave no trace in it, and old servers forget it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from consumers.sources.potato.answers import Action, History

#: How many actions' ids are remembered of a user: more than a history ever shows.
_REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class Touch:
    """Something happened to an item: noticed ``at`` for the last time, with its last action, as far as one is known.

    ``ms`` is what the server says its actions took.
    """

    at: datetime
    action: str = ""
    occurred_at: str = ""
    ms: int = 0


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What is known of a user: how many actions there were, the last ones, and the items not settled yet.

    ``epoch`` counts how often the server has lost the user's history.
    """

    total: int = 0
    seen: tuple[str, ...] = ()
    epoch: int = 0
    touched: Mapping[str, Touch] = field(default_factory=dict)


_SHAPE = TypeAdapter(Acquaintance)


def recalled(mark: Any) -> Acquaintance | None:
    """Read what was noted of a user."""
    return None if mark is None else _SHAPE.validate_python(mark)


def noted(known: Acquaintance) -> Any:
    """Write it down."""
    return _SHAPE.dump_python(known, mode="json")


@dataclass(frozen=True, slots=True)
class News:
    """What a look at a history came to. ``short``: more happened than it shows."""

    known: Acquaintance
    short: bool


def learned(known: Acquaintance, history: History, now: datetime) -> News:
    """Compare a user's history with what is known of it."""
    ids = {action.action_id for action in history.actions}
    lost = history.total_actions < known.total or _gone(known, history, ids)
    count = history.total_actions if lost else history.total_actions - known.total
    last = history.actions[-count:] if count else ()
    seen = set(known.seen)
    fresh = [action for action in last if action.action_id not in seen]
    return News(
        Acquaintance(
            total=history.total_actions,
            seen=(*known.seen, *(action.action_id for action in fresh))[-_REMEMBERED:],
            epoch=known.epoch + lost,
            touched=touched(known.touched, fresh, now),
        ),
        short=count > len(last),
    )


def _gone(known: Acquaintance, history: History, ids: set[str]) -> bool:
    """Whether a history that shows all of itself lacks what was in it: it was lost, and has grown again."""
    whole = history.total_actions == len(history.actions)
    return whole and bool(known.seen) and known.total > 0 and known.seen[-1] not in ids


def touched(before: Mapping[str, Touch], actions: Iterable[Action], now: datetime) -> dict[str, Touch]:
    """Add actions, in the order of time, to what is not settled."""
    found = dict(before)
    for action in actions:
        ms = found[action.instance_id].ms if action.instance_id in found else 0
        found[action.instance_id] = Touch(
            now, action.action_id, action.timestamp, ms + max(0, round(action.server_processing_time_ms or 0))
        )
    return found


def noticed(known: Acquaintance, items: Iterable[str], now: datetime) -> Acquaintance:
    """Add items whose states have changed to what is not settled, unless they are there."""
    return replace(known, touched={item: Touch(now) for item in items} | dict(known.touched))


def settled(known: Acquaintance, now: datetime, settle_s: float) -> Sequence[str]:
    """List the items that nobody has touched for long enough."""
    limit = now - timedelta(seconds=settle_s)
    return [item for item, touch in known.touched.items() if touch.at <= limit]


def without(known: Acquaintance, items: Iterable[str]) -> Acquaintance:
    """Strike items off what is not settled."""
    gone = set(items)
    return replace(known, touched={item: touch for item, touch in known.touched.items() if item not in gone})
