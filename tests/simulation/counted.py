"""Statistics count what happened: each event, attempt and end once, folded or not."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from delivery.domain.catalogue import PUBLISHED
from tests.simulation.history import Counted

if TYPE_CHECKING:
    from tests.simulation.world import World

_ENDS = ("delivered", "failed")


def statistics_agree(world: "World") -> Iterator[str]:
    """What was counted is what is in the rows, by account, endpoint and type of event."""
    happened = _happened(world)
    for what in sorted(happened.keys() | world.history.counted.keys()):
        counted = world.history.counted[what]
        if counted != happened[what]:
            yield f"{' '.join(what)} happened {happened[what]} times and was counted {counted} times"


def _happened(world: "World") -> Counter[Counted]:
    history = world.history
    found: Counter[Counted] = Counter()
    for event in (versions[0] for versions in history.events.values()):
        if event["type"] in PUBLISHED:
            found[event["account_id"], "", event["type"], "accepted"] += 1
    for delivery_id, versions in history.deliveries.items():
        where = (versions[0]["account_id"], versions[0]["endpoint_id"], versions[0]["event_type"])
        found[*where, "attempts"] += len(history.attempts_of(delivery_id))
        for before, after in pairwise(versions):
            if after["standing"] != before["standing"] and after["standing"] in _ENDS:
                found[*where, after["standing"]] += 1
    return +found
