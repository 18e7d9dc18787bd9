"""The life of a delivery, as the picture in ARCHITECTURE.md has it, held against every commit."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.simulation.history import Version

if TYPE_CHECKING:
    from tests.simulation.world import World


def as_in_the_picture(world: "World") -> Iterator[str]:
    """Whatever is pending is due some time; ends are reached from where the picture says; delivered is for ever."""
    for versions in world.history.deliveries.values():
        if versions[0]["standing"] != "pending" or versions[0]["wake_at"] is None:
            yield f"{versions[0]['id']} began as {versions[0]['standing']}, due {versions[0]['wake_at']}"
        for version in versions:
            if version["wake_at"] is None and (
                version["standing"] == "pending" or version["lease"] or version["asked"]
            ):
                yield f"{version['id']} is {version['standing']} and due at no time"
        for before, after in pairwise(versions):
            if not _may_follow(before, after):
                yield f"{before['id']} went from {_told(before)} to {_told(after)}"


def _may_follow(before: Version, after: Version) -> bool:
    if before["standing"] == after["standing"]:
        return True
    match before["standing"], after["standing"]:
        case "pending", "cancelled":
            return True
        case "pending", ("delivered" | "failed"):
            return before["lease"] is not None
        case (("failed" | "cancelled"), ("delivered" | "failed")):  # an attempt by hand
            return before["lease"] is not None and before["asked"] is not None
    return False


def leases_respected(world: "World") -> Iterator[str]:
    """Nobody takes what another one holds before its time, and nobody decides who does not hold."""
    for versions in world.history.deliveries.values():
        for before, after in pairwise(versions):
            taken = before["lease"] and after["lease"] and before["lease"] != after["lease"]
            if taken and not world.jumped and before["wake_at"] > after.clock:
                yield f"{before['id']} was taken from {before['lease']}, which had it until {before['wake_at']}"
            settled = before["lease"] and not after["lease"] and after["attempts_made"] > before["attempts_made"]
            if settled and after["standing"] != "cancelled" and not _of(before["lease"], after.by):
                yield f"{before['id']} was settled by {after.by} while {before['lease']} had it"
            decided = after["retries_used"] != before["retries_used"]
            if decided and not before["lease"]:
                yield f"{before['id']} was decided by {after.by}, which had no lease"


def _of(lease: str, process: str) -> bool:
    return lease.rpartition(".")[0] == process


def counts_agree(world: "World") -> Iterator[str]:
    """``attempts_made`` is the length of the log, and ``retries_used`` its share of the schedule."""
    for versions in world.history.deliveries.values():
        row = versions[-1].row
        gone_at = world.history.erased.get(row["id"], math.inf)
        log = [attempt for attempt in world.history.attempts_of(row["id"]) if attempt["logged"] <= gone_at]
        if row["attempts_made"] != len(log):
            yield f"{row['id']} counts {row['attempts_made']} attempts, its log has {len(log)}"
        scheduled = sum(attempt["trigger"] in ("first", "retry") for attempt in log)
        if row["retries_used"] > scheduled:
            yield f"{row['id']} has used {row['retries_used']} of its schedule with {scheduled} attempts"
        for before, after in pairwise(versions):
            if not 0 <= after["retries_used"] - before["retries_used"] <= 1:
                yield f"{row['id']} went from {before['retries_used']} to {after['retries_used']} retries at once"
            if before["asked"] in ("manual", "replay") and after["retries_used"] != before["retries_used"]:
                yield f"{row['id']} used its schedule for an attempt by hand"


def _told(version: Version) -> str:
    return f"{version['standing']} (lease {version['lease']}, asked {version['asked']})"
