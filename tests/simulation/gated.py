"""What endpoints are spared, over all processes: a rate limit, and an open circuit."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from delivery.domain.catalogue import TEST_TYPE
from delivery.domain.gate import OPENS_AFTER
from tests.simulation.sent import Departure, departures, end_of, in_force

if TYPE_CHECKING:
    from tests.simulation.world import World


def rates_hold(world: "World") -> Iterator[str]:
    """In no second does an endpoint get more than its limit, give or take what clocks are apart.

    A rotation's second request goes with its first; how late a slow store lets a request out is no matter here.
    """
    skews = world.scenario.skews
    if world.jumped or not world.scenario.healthy or world.scenario.trouble_share:
        return
    for endpoint_id, left in _first_requests(world).items():
        limit = world.history.endpoints[endpoint_id][-1]["rate_limit"]
        if limit is None:
            continue
        most = limit * (1 + max(skews) - min(skews)) + 1
        moments = sorted(departure.call.began for departure in left)
        for moment in moments:
            count = sum(moment <= other < moment + 1 for other in moments)
            if count > most:
                yield f"{endpoint_id} got {count} requests in a second from {moment:.3f} on, with a limit of {limit}"
                break


def one_probe_at_a_time(world: "World") -> Iterator[str]:
    """While a circuit is open, and was when they were let out, no two requests to it are under way."""
    if not world.scenario.healthy:
        return
    for endpoint_id, left in _first_requests(world).items():
        versions = world.history.endpoints[endpoint_id]
        probes = [
            one.call
            for one in left
            if all(version["failures"] >= OPENS_AFTER for version in in_force(versions, one.since, one.call.began))
        ]
        for first, second in pairwise(probes):
            if end_of(world, first) > second.began:
                yield f"{endpoint_id} was tried by {first.sender.name} and {second.sender.name} at the same time"


def _first_requests(world: "World") -> dict[str, list[Departure]]:
    """What had to pass the gate of each endpoint. Tests and the second requests of rotations have not."""
    found: dict[str, list[Departure]] = defaultdict(list)
    for departure in departures(world):
        if departure.call.headers["X-Tagmatic-Event"] != TEST_TYPE and not departure.second:
            versions = world.history.deliveries[departure.call.delivery_id]
            found[versions[0]["endpoint_id"]].append(departure)
    return found
