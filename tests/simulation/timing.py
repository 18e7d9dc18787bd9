"""The schedule: no attempt before its time, the next one planned as promised, and not late when nothing is broken."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from delivery.domain.catalogue import TEST_TYPE
from delivery.domain.gate import OPENS_AFTER
from delivery.domain.model import Answer
from delivery.domain.retry import retry_after
from tests.simulation.history import Row, Version
from tests.simulation.kept import schedule

if TYPE_CHECKING:
    from tests.simulation.world import World

#: What the log keeps of a moment is as exact as this.
_GRAIN = timedelta(milliseconds=1)

_PROMISED = 1.1

#: How long after an attempt's first request the verdict may come: further ones of a rotation begin within half of what
#: a lease is for, and the last of them may take as long as any.
_FURTHER = timedelta(seconds=23)


@dataclass(frozen=True)
class _Step:
    """An attempt of the schedule that failed and is followed by another: what was planned then."""

    attempt: Row
    wait_s: float
    asked: timedelta
    planned: datetime
    settled: Version


def never_early(world: "World") -> Iterator[str]:
    """An attempt of the schedule is made when its time has come by its own process's clock, give or take the skew."""
    skews = world.scenario.skews
    apart = timedelta(seconds=max(skews) - min(skews)) + _GRAIN
    if world.jumped:
        return
    for delivery_id, step, later in _followed(world):
        if later["started_at"] < step.planned - apart:
            yield f"{delivery_id} was sent at {later['started_at']}, planned for {step.planned}"
        if later["started_at"] < step.attempt["started_at"] + timedelta(seconds=step.wait_s) - apart:
            yield f"{delivery_id} was sent at {later['started_at']}, {step.wait_s} s after {step.attempt['started_at']}"


def planned_as_promised(world: "World") -> Iterator[str]:
    """The next attempt is planned from the start of the one before, as late as ``Retry-After`` asks, and no later."""
    if world.jumped:
        return
    for delivery_id in world.history.deliveries:
        for step in _steps(world, delivery_id):
            started = step.attempt["started_at"]
            earliest = max(started + timedelta(seconds=step.wait_s), started + step.asked)
            ended = started + timedelta(milliseconds=step.attempt["total_ms"])
            latest = max(started + timedelta(seconds=step.wait_s * _PROMISED), ended + step.asked + _FURTHER)
            if (
                world.troubles.last_met >= 0
            ):  # a refused signature has the secrets looked at again, and that can take long
                latest = max(latest, step.settled.clock)
            if not earliest - _GRAIN <= step.planned <= latest + _GRAIN:
                yield f"{delivery_id} #{step.attempt['number']} of {started}: next planned for {step.planned}"


def not_late(world: "World") -> Iterator[str]:
    """Where nothing breaks and there is room, the next attempt is made within the promised tenth, and a second."""
    scenario = world.scenario
    most = len(world.history.deliveries)
    if not scenario.calm or scenario.per_endpoint < most or scenario.parallel < 4 * most:
        return
    for delivery_id, step, later in _followed(world):
        latest = step.planned + timedelta(seconds=1.5 + max(scenario.skews) - min(scenario.skews))
        gated = _is_gated(world, world.history.deliveries[delivery_id][0]["endpoint_id"])
        if later["started_at"] > latest and later["trigger"] == "retry" and not gated:
            yield f"{delivery_id} was sent at {later['started_at']}, planned for {step.planned}"


def _is_gated(world: "World", endpoint_id: str) -> bool:
    """Whether a rate limit or an open circuit may have kept something back."""
    versions = world.history.endpoints[endpoint_id]
    return any(version["rate_limit"] is not None or version["failures"] >= OPENS_AFTER for version in versions)


def _followed(world: "World") -> Iterator[tuple[str, _Step, Row]]:
    """Steps with the next attempt of the schedule. Who lost its lease on the way repeats one, by the same number."""
    for delivery_id in world.history.deliveries:
        log = [row for row in world.history.attempts_of(delivery_id) if row["trigger"] in ("first", "retry")]
        for step in _steps(world, delivery_id):
            after = [row for row in log if row["began"] > step.settled.at]
            later = [row for row in after if row["number"] > step.attempt["number"]]
            if later:
                yield delivery_id, step, min(later, key=lambda row: row["started_at"])


def _steps(world: "World", delivery_id: str) -> Iterator[_Step]:
    versions = world.history.deliveries[delivery_id]
    log = world.history.attempts_of(delivery_id)
    if versions[0]["event_type"] == TEST_TYPE:
        return
    waits = schedule(world, versions[0].row)
    for before, after in pairwise(versions):
        if after["retries_used"] == before["retries_used"] + 1 and after["standing"] == "pending":
            made = [row for row in log if row["commit"] == after.commit]
            if not made or after["next_attempt_at"] is None:
                continue
            # one that was sent before its lease was lost may have waited for the same commit: the later one decides
            made.sort(key=lambda row: row["started_at"])
            first = max(index for index, row in enumerate(made) if row["trigger"] != "rotation")
            last = made[-1]
            headers = tuple((name, value) for name, value in last["response_headers"] or ())
            answer = Answer(last["response_status"] or 0, headers, b"", truncated=False)
            asked = retry_after(answer, last["started_at"])
            yield _Step(made[first], waits[before["retries_used"]], asked, after["next_attempt_at"], after)
