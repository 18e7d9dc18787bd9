"""What went out: all of it in the log, by whoever had the right to, to whom it was meant, not too much at once."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from delivery.domain.catalogue import TEST_TYPE
from delivery.domain.sealing import KeyRing
from delivery.tempo import SLOW_S
from tests.simulation.history import Version
from tests.simulation.wire import Call

if TYPE_CHECKING:
    from tests.simulation.world import World

#: The longest that lies between the last look at the store and the request, when nothing holds it up.
_GLANCE_S = 0.5

#: A request is young at least for this long from when it is on the wire, and counts as busy.
_YOUNG_S = SLOW_S / 2

#: The second request of a rotation goes by the look before the first.
_LONGEST = timedelta(seconds=12)

_RING = KeyRing.parse("k1:" + "A" * 43 + "=")


def wire_is_log(world: "World") -> Iterator[str]:
    """Each request is in the log once, unless its process ended before it could be written."""
    for delivery_id in {*world.history.deliveries, *(call.delivery_id for call in world.history.calls)}:
        calls = world.history.calls_of(delivery_id)
        on_the_wire = Counter((call.number, call.clock) for call in calls)
        in_the_log = Counter((row["number"], row["started_at"]) for row in world.history.attempts_of(delivery_id))
        for number, moment in in_the_log - on_the_wire:
            yield f"{delivery_id} #{number} of {moment} is in the log and was never sent"
        missing = on_the_wire - in_the_log
        for call in calls:
            if missing[call.number, call.clock] and not _may_be_unlogged(world, call):
                yield f"{delivery_id} #{call.number} was sent by {call.sender.name} and is not in the log"


def _may_be_unlogged(world: "World", call: Call) -> bool:
    process = world.processes[call.sender.name]
    if process.life.stilled:
        return True
    if process.stopped_at is None:
        return False
    cut_off = call.ended is None or call.ended >= process.stopped_at + world.scenario.grace_s - 0.1
    return cut_off or world.troubles.met > 0


def by_the_holder(world: "World") -> Iterator[str]:
    """At its last look, the process that sends has the delivery; so what was cancelled or taken over is not sent."""
    for call, since in _departures(world):
        versions = _in_force(world.history.deliveries[call.delivery_id], since, call.began)
        if not any((version["lease"] or "").rpartition(".")[0] == call.sender.name for version in versions):
            yield f"{call.delivery_id} #{call.number} was sent by {call.sender.name}, which did not have it"


def to_its_own(world: "World") -> Iterator[str]:
    """The endpoint was on, is where the request went to, and has the secret that it was signed with."""
    for call, since in _departures(world):
        endpoint_id = world.history.deliveries[call.delivery_id][0]["endpoint_id"]
        versions = _in_force(world.history.endpoints[endpoint_id], since, call.began)
        if not any(version["active"] and not version["deleted_at"] for version in versions):
            yield f"{call.delivery_id} #{call.number} was sent to {endpoint_id}, which is off"
        if not any(version["url"] == call.url for version in versions):
            yield f"{call.delivery_id} #{call.number} was sent to {call.url}, where {endpoint_id} is not"
        if not any(_signs(call, version) for version in versions):
            yield f"{call.delivery_id} #{call.number} was signed with no valid secret of {endpoint_id}"


def _departures(world: "World") -> Iterator[tuple[Call, float]]:
    """Requests, with the earliest moment of the look that let them go; a rotation's second request had the first's."""
    last: dict[object, Call] = {}
    for call in world.history.calls:
        before = last.get(call.task)
        followed = before is not None and before.delivery_id == call.delivery_id and before.ended == call.began
        looked = before.began if before is not None and followed else call.began
        last[call.task] = call
        troubled = looked < world.scenario.trouble_until + 2 * world.scenario.trouble_s
        yield (
            call,
            looked - (3 * world.scenario.trouble_s if world.scenario.trouble_share and troubled else 0) - _GLANCE_S,
        )


def _in_force(versions: Sequence[Version], since: float, until: float) -> list[Version]:
    before = [version for version in versions if version.at <= since]
    return before[-1:] + [version for version in versions if since < version.at <= until]


def _signs(call: Call, endpoint: Version) -> bool:
    return any(
        call.headers["X-Tagmatic-Signature"] == _signature(call.body, secret["sealed"], endpoint["id"])
        for secret in endpoint["secrets"]
        if secret["expires_at"] is None or datetime.fromisoformat(secret["expires_at"]) > call.clock - _LONGEST
    )


@cache
def _secret(sealed: str, owner: str) -> str:
    return _RING.open(sealed, owner=owner)


def _signature(body: bytes, sealed: str, owner: str) -> str:
    return "sha256=" + hmac.new(_secret(sealed, owner).encode(), body, hashlib.sha256).hexdigest()


def no_overlap(world: "World") -> Iterator[str]:
    """With clocks as they should be, no delivery is sent while it is being sent."""
    if not world.scenario.healthy:
        return
    for delivery_id, versions in world.history.deliveries.items():
        calls = world.history.calls_of(delivery_id)
        for first, second in pairwise(calls):
            if _end(world, first) > second.began and not _was_cancelled(versions, first, second):
                yield f"{delivery_id} was sent by {first.sender.name} and {second.sender.name} at the same time"


def _was_cancelled(versions: Sequence[Version], first: Call, second: Call) -> bool:
    """A person cancelled it while it was on its way, and asked for it again."""
    return any(version["standing"] == "cancelled" for version in _in_force(versions, first.began, second.began))


def within_limits(world: "World") -> Iterator[str]:
    """No process makes more requests at a time than it may, in all and to one endpoint.

    In all, only those that are young count, and test calls wait for no turn.
    """
    endpoint = {delivery_id: versions[0]["endpoint_id"] for delivery_id, versions in world.history.deliveries.items()}
    for name in world.processes:
        calls = [call for call in world.history.calls if call.sender.name == name]
        calls = [call for call in calls if call.headers["X-Tagmatic-Event"] != TEST_TYPE]
        if (most := _most_at_once(world, calls, for_s=_YOUNG_S)) > world.scenario.parallel:
            yield f"{name} made {most} requests at a time"
        for one in sorted({endpoint[call.delivery_id] for call in calls}):
            to_one = [call for call in calls if endpoint[call.delivery_id] == one]
            if (most := _most_at_once(world, to_one)) > world.scenario.per_endpoint:
                yield f"{name} made {most} requests at a time to {one}"


def _most_at_once(world: "World", calls: Sequence[Call], *, for_s: float = float("inf")) -> int:
    ends = [(min(_end(world, call), call.began + for_s), -1) for call in calls]
    turns = sorted([(call.began, 1) for call in calls] + ends)
    now = most = 0
    for _, change in turns:  # at one moment, ends come before beginnings
        now += change
        most = max(most, now)
    return most


def _end(world: "World", call: Call) -> float:
    if call.ended is not None:
        return call.ended
    return world.processes[call.sender.name].ended_at or float("inf")


def within_places(world: "World") -> Iterator[str]:
    """No process holds more than it has places for."""
    for name, places in world.history.most_places.items():
        if places > 4 * world.scenario.parallel:
            yield f"{name} held {places} parcels"
