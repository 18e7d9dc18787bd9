"""Nothing is lost: what was accepted is there, once, and comes to an end that says why."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from delivery.domain.catalogue import OPERATIONAL, TEST_TYPE
from tests.simulation.history import Row, Version
from tests.simulation.publishers import BAD, submission_of

if TYPE_CHECKING:
    from tests.simulation.world import World

_REFUSALS = (401, 403)


def accepted_once(world: "World") -> Iterator[str]:
    """Each published identity is one event, the one that all its publishers were told of, and new to one at most."""
    forgotten = _forgotten(world)
    made = {(event["account_id"], event["identity"]): event["id"] for event in _events(world)}
    for one in world.publishers.handed_over:
        if one.usable and (one.account, submission_of(one).identity) not in made:
            yield f"{one.account} {submission_of(one).identity} was taken and is not there"
    fresh: Counter[tuple[str, str]] = Counter()
    for account, identity, receipt in world.publishers.receipts:
        if (account, identity) in forgotten:
            continue
        fresh[account, identity] += not receipt.duplicate
        if made.get((account, identity)) != receipt.event_id:
            yield f"{account} {identity} was accepted as {receipt.event_id}, and is {made.get((account, identity))}"
    yield from (f"{name} was new {count} times" for name, count in fresh.items() if count > 1)


def identities_apart(world: "World") -> Iterator[str]:
    """An event's delivery, endpoint, attempts and body are of one account."""
    for delivery in _deliveries(world):
        event = world.history.events[delivery["event_id"]][-1]
        endpoint = world.history.endpoints[delivery["endpoint_id"]][-1]
        owners = {delivery["account_id"], event["account_id"], endpoint["account_id"]}
        owners |= {attempt["account_id"] for attempt in world.history.attempts_of(delivery["id"])}
        if len(owners) > 1:
            yield f"{delivery['id']} belongs to {sorted(owners)}"
        if any(call.body != event["body"] for call in world.history.calls_of(delivery["id"])):
            yield f"{delivery['id']} carried another event's body"


def no_second_delivery(world: "World") -> Iterator[str]:
    """One event, one endpoint, one delivery."""
    count = Counter((row["event_id"], row["endpoint_id"]) for row in _deliveries(world))
    yield from (f"{pair} has {times} deliveries" for pair, times in count.items() if times > 1)
    forgotten = _forgotten(world)
    names = Counter((event["account_id"], event["identity"]) for event in _events(world))
    yield from (f"{name} is {times} events" for name, times in names.items() if times > 1 and name not in forgotten)


def _forgotten(world: "World") -> set[tuple[str, str]]:
    """The identities of events that were erased: published once more, they are new."""
    return {(event["account_id"], event["identity"]) for event in _events(world) if event["id"] in world.history.erased}


def erased_for_good(world: "World") -> Iterator[str]:
    """Nobody had what was erased, nothing is sent of it any more, and nothing is logged.

    Where clocks are far from each other, who has lost a lease to another process may log what it sent.
    """
    for delivery_id in world.history.deliveries.keys() & world.history.erased.keys():
        gone_at = world.history.erased[delivery_id]
        lease = world.history.deliveries[delivery_id][-1]["lease"]
        if lease is not None:
            yield f"{delivery_id} was erased while {lease} had it"
        if any(call.began > gone_at for call in world.history.calls_of(delivery_id)):
            yield f"{delivery_id} was sent after it was erased"
        late = any(attempt["logged"] > gone_at for attempt in world.history.attempts_of(delivery_id))
        if late and world.scenario.healthy:
            yield f"{delivery_id} was logged after it was erased"


def fanned_out(world: "World") -> Iterator[str]:
    """The commit that makes an event makes a delivery for each endpoint that wanted it at that moment.

    Where the same commit switches an endpoint off, as with the notice that tells of it, both are right.
    """
    for versions in world.history.events.values():
        event = versions[0]
        if event["type"] == TEST_TYPE:
            continue
        before, after = (_wanting(world, event, commit) for commit in (event.commit - 1, event.commit))
        made = {
            delivery[0]["endpoint_id"]
            for delivery in world.history.deliveries.values()
            if delivery[0]["event_id"] == event["id"] and delivery[0].commit == event.commit
        }
        if not before & after <= made <= before | after:
            yield f"{event['id']} was wanted by {sorted(before & after)} and made for {sorted(made)}"


def _wanting(world: "World", event: Version, commit: int) -> set[str]:
    """The endpoints that want an event, as they were after a commit."""
    found = set()
    for versions in world.history.endpoints.values():
        so_far = [version for version in versions if version.commit <= commit]
        if so_far and _wants(so_far[-1].row, event.row):
            found.add(so_far[-1]["id"])
    return found


def _wants(endpoint: Row, event: Mapping[str, Any]) -> bool:
    if endpoint["account_id"] != event["account_id"] or not endpoint["active"] or endpoint["deleted_at"]:
        return False
    if event["type"] in OPERATIONAL:
        return event["type"] in endpoint["events"]
    family = event["type"].partition(".")[0] + ".*"
    return any(name in ("*", family, event["type"]) for name in endpoint["events"])


def letters_kept(world: "World") -> Iterator[str]:
    """A message that cannot be used is a dead letter in the store."""
    bad = sum(not one.usable for one in world.publishers.handed_over)
    kept = sum(bytes(versions[0]["body"]) == BAD for versions in world.history.letters.values())
    if kept < bad:
        yield f"{bad} unusable messages, {kept} dead letters"


def acknowledged_after_commit(world: "World") -> Iterator[str]:
    """What the broker may forget is committed at that moment."""
    yield from (f"{item.message_id} {item.body[:60]!r}" for item, safe in world.acknowledged if not safe)


def nothing_stuck(world: "World") -> Iterator[str]:
    """After all that was to come, every delivery has ended, and nobody wants anything of it any more."""
    for row in _left(world):
        open_ends = {name: row[name] for name in ("wake_at", "lease", "asked") if row[name] is not None}
        if row["standing"] == "pending" or open_ends:
            yield f"{row['id']} is {row['standing']} {open_ends}"
    if not world.broker.empty:
        yield "messages wait at the broker"


def ends_explained(world: "World") -> Iterator[str]:
    """Delivered: a 2xx is in the log. Failed: 410, or the whole schedule was used. Cancelled: it says why."""
    for row in _left(world):
        log = world.history.attempts_of(row["id"])
        match row["standing"]:
            case "delivered" if not any(_is_success(attempt) for attempt in log):
                yield f"{row['id']} is delivered without a 2xx in its log"
            case "failed" if row["last_response_status"] != 410 and row["retries_used"] <= len(schedule(world, row)):
                if row["event_type"] != TEST_TYPE:
                    yield f"{row['id']} failed after {row['retries_used']} of its schedule's attempts"
            case "cancelled" if not row["last_error"]:
                yield f"{row['id']} is cancelled without a reason"
        if row["standing"] != "pending" and row["finished_at"] is None:
            yield f"{row['id']} ended at no time"


def schedule(world: "World", delivery: Row) -> tuple[int, ...]:
    """The waits of a delivery: its endpoint's own, or the service's."""
    own = world.history.endpoints[delivery["endpoint_id"]][-1]["retry_schedule"]
    return world.scenario.schedule if own is None else tuple(own)


def rotation_loses_nothing(world: "World") -> Iterator[str]:
    """What only its signature could be refused for is taken by a receiver whose one secret is a valid one."""
    for row in _deliveries(world):
        calls = world.history.calls_of(row["id"])
        if row["standing"] != "failed" or row["event_type"] == TEST_TYPE or len(schedule(world, row)) < 5:
            continue
        patient = [call for call in calls if world.receivers[call.url].mood != "mistrusting"]
        refused = [call for call in patient if call.reply and call.reply.status in _REFUSALS and call.could_verify]
        if calls and len(refused) == len(calls):
            yield f"{row['id']} was refused {len(refused)} times by a receiver whose secret was valid"


def ended_well(world: "World") -> Iterator[str]:
    """No process fell over, and those that were told to stop did."""
    for process in world.processes.values():
        if process.failed is not None:
            yield f"{process.name} fell over: {process.failed!r}"
        if not process.over.done():
            yield f"{process.name} did not stop"


def _is_success(attempt: Row) -> bool:
    return attempt["response_status"] is not None and attempt["response_status"] // 100 == 2


def _events(world: "World") -> Iterator[Row]:
    return (versions[-1].row for versions in world.history.events.values())


def _deliveries(world: "World") -> Iterator[Row]:
    return (versions[-1].row for versions in world.history.deliveries.values())


def _left(world: "World") -> Iterator[Row]:
    """The deliveries that nobody erased."""
    return (row for row in _deliveries(world) if row["id"] not in world.history.erased)
