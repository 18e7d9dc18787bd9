"""What went out: all of it in the log, sent by its holder, to whom it was meant for, and not too much at once."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from delivery.domain.catalogue import TEST_TYPE
from delivery.domain.sealing import KeyRing
from tests.simulation.history import Version
from tests.simulation.wire import Call

if TYPE_CHECKING:
    from tests.simulation.world import World

#: The longest that lies between the last look at the store and the request, when nothing holds it up.
_GLANCE_S = 0.5

#: The further requests of a rotation go by the look before the first.
_LONGEST = timedelta(seconds=35)

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
    """Whether a request's process died, or was stopped before it was over or while the store was in trouble.

    The requests of one delivery are written together: the first of a rotation goes with one that is cut off.
    """
    process = world.processes[call.sender.name]
    if process.life.stilled:
        return True
    if process.stopped_at is None:
        return False
    last = process.stopped_at + world.scenario.grace_s - 0.1
    together = [other for other in world.history.calls_of(call.delivery_id) if other.task == call.task]
    cut_off = any(other.ended is None or other.ended >= last for other in together)
    return cut_off or world.troubles.last_met + world.troubles.long_s >= process.stopped_at


def was_committed(world: "World") -> Iterator[str]:
    """What goes out is in the store by then: nobody is told of what never came to be."""
    for call in world.history.calls:
        versions = world.history.deliveries.get(call.delivery_id)
        if not versions or versions[0].at > call.began:
            yield f"{call.delivery_id} #{call.number} was sent by {call.sender.name} and was not committed"


def repeated_by_a_crash(world: "World") -> Iterator[str]:
    """The end of a process costs a delivery one attempt that nobody knows of, no more.

    While the store is away, leases may run out before the log is written, and there may be more.
    """
    if world.scenario.trouble_share or world.scenario.outages or not world.scenario.healthy:
        return
    for delivery_id in world.history.deliveries:
        logged = {(row["number"], row["started_at"]) for row in world.history.attempts_of(delivery_id)}
        calls = world.history.calls_of(delivery_id)
        tasks = {(call.sender.name, call.task) for call in calls if (call.number, call.clock) not in logged}
        for name, count in Counter(name for name, _ in tasks).items():
            if count > 1:
                yield f"{delivery_id} was sent {count} times by {name} without a word in the log"


def by_the_holder(world: "World") -> Iterator[str]:
    """At its last look, the process that sends has the delivery; so what was cancelled or taken over is not sent."""
    for departure in departures(world):
        call = departure.call
        versions = in_force(world.history.deliveries[call.delivery_id], departure.since, call.began)
        if not any((version["lease"] or "").rpartition(".")[0] == call.sender.name for version in versions):
            yield f"{call.delivery_id} #{call.number} was sent by {call.sender.name}, which did not have it"


def to_its_own(world: "World") -> Iterator[str]:
    """The endpoint was on, is where the request went to, and has the secret that it was signed with."""
    for departure in departures(world):
        call = departure.call
        endpoint_id = world.history.deliveries[call.delivery_id][0]["endpoint_id"]
        versions = in_force(world.history.endpoints[endpoint_id], departure.since, call.began)
        if not any(version["active"] and not version["deleted_at"] for version in versions):
            yield f"{call.delivery_id} #{call.number} was sent to {endpoint_id}, which is off"
        if not any(version["url"] == call.url for version in versions):
            yield f"{call.delivery_id} #{call.number} was sent to {call.url}, where {endpoint_id} is not"
        if not any(_signs(call, version) for version in versions):
            yield f"{call.delivery_id} #{call.number} was signed with no valid secret of {endpoint_id}"


def newest_secret_first(world: "World") -> Iterator[str]:
    """An attempt begins with the newest secret; an older one has its turn when that was refused."""
    for departure in departures(world):
        call = departure.call
        endpoint_id = world.history.deliveries[call.delivery_id][0]["endpoint_id"]
        versions = in_force(world.history.endpoints[endpoint_id], departure.since, call.began)
        newest = {_signature(call.body, version["secrets"][0]["sealed"], endpoint_id) for version in versions}
        if not departure.second and call.headers["X-Tagmatic-Signature"] not in newest:
            yield f"{call.delivery_id} #{call.number} was not signed with the newest secret of {endpoint_id}"


@dataclass(frozen=True)
class Departure:
    """A request, with the earliest moment of the look that let it go. A rotation's ``second`` and further
    ones had the first's."""

    call: Call
    since: float
    second: bool


def departures(world: "World") -> Iterator[Departure]:
    """All requests for what is in the store, in the order in which they left. A task carries one delivery once."""
    scenario = world.scenario
    last: dict[object, tuple[Call, float]] = {}
    for call in world.history.calls:
        if call.delivery_id not in world.history.deliveries:
            continue
        before, looked = last.get(call.task, (None, call.began))
        second = before is not None and before.delivery_id == call.delivery_id
        looked = looked if second else call.began
        last[call.task] = call, looked
        troubled = scenario.trouble_share and looked < scenario.trouble_until + 2 * scenario.trouble_s
        yield Departure(call, looked - (3 * scenario.trouble_s if troubled else 0) - _GLANCE_S, second)


def in_force(versions: Sequence[Version], since: float, until: float) -> list[Version]:
    """How a row was at some moment between the two."""
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
            if end_of(world, first) > second.began and not _was_cancelled(versions, first, second):
                yield f"{delivery_id} was sent by {first.sender.name} and {second.sender.name} at the same time"


def _was_cancelled(versions: Sequence[Version], first: Call, second: Call) -> bool:
    """A person cancelled it while it was on its way, and asked for it again."""
    return any(version["standing"] == "cancelled" for version in in_force(versions, first.began, second.began))


def within_limits(world: "World") -> Iterator[str]:
    """No process makes more requests at a time than it may, in all and to one endpoint. Test calls wait for nobody."""
    endpoint = {delivery_id: versions[0]["endpoint_id"] for delivery_id, versions in world.history.deliveries.items()}
    for name in world.processes:
        calls = [call for call in world.history.calls if call.sender.name == name]
        calls = [call for call in calls if call.delivery_id in endpoint and not _is_test(call)]
        if (most := _most_at_once(world, calls)) > world.scenario.parallel:
            yield f"{name} made {most} requests at a time"
        for one in sorted({endpoint[call.delivery_id] for call in calls}):
            to_one = [call for call in calls if endpoint[call.delivery_id] == one]
            if (most := _most_at_once(world, to_one)) > world.scenario.per_endpoint:
                yield f"{name} made {most} requests at a time to {one}"


def _is_test(call: Call) -> bool:
    return call.headers["X-Tagmatic-Event"] == TEST_TYPE


def _most_at_once(world: "World", calls: Sequence[Call]) -> int:
    turns = sorted([(call.began, 1) for call in calls] + [(end_of(world, call), -1) for call in calls])
    now = most = 0
    for _, change in turns:  # at one moment, ends come before beginnings
        now += change
        most = max(most, now)
    return most


def end_of(world: "World", call: Call) -> float:
    """When a request was over for its sender, or its sender for it."""
    if call.ended is not None:
        return call.ended
    return world.processes[call.sender.name].ended_at or float("inf")


def within_places(world: "World") -> Iterator[str]:
    """No process holds more than it has places for."""
    for name, places in world.history.most_places.items():
        if places > 4 * world.scenario.parallel:
            yield f"{name} held {places} parcels"


def places_given_back(world: "World") -> Iterator[str]:
    """When nothing is left to do, nobody holds a place for anything."""
    yield from (f"{name} still held {places} places" for name, places in world.held_at_rest.items() if places)
