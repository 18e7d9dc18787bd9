"""Watching the demonstration: the log as the API shows it, held against what the receivers saw."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count, product
from typing import Any

from service.client import Api
from service.commands.printing import print_row
from service.receiver import Received

_POLL_S = 0.2
_NEWEST = 100

_COLUMNS = ("TIME", "EVENT", "WEBHOOK", "ATTEMPT", "ANSWER", "MS", "SIGNATURE", "RESULT")
_WIDTHS = (12, 20, 10, 7, 6, 6, 9, 0)


class Sightings:
    """What the receivers saw: by delivery, the attempts that came and whether each was signed well."""

    def __init__(self) -> None:
        self._verified: dict[str, dict[int, bool]] = {}

    def note(self, received: Received) -> None:
        """Remember a request."""
        self._verified.setdefault(received.delivery_id, {})[received.attempt] = received.verified is True

    def of(self, delivery_id: str) -> Mapping[int, bool]:
        """The attempts of a delivery that came, and whether their signatures verified."""
        return self._verified.get(delivery_id, {})


class Watcher:
    """Prints each attempt as it appears in the log. ``names`` are the webhooks' names by their ids."""

    def __init__(self, api: Api, names: Mapping[str, str], sightings: Sightings) -> None:
        self._api = api
        self._names = names
        self._sightings = sightings
        self._printed: dict[str, int] = {}

    async def follow(self) -> None:
        """Print for ever."""
        await self.follow_until_done(None)

    async def follow_until_done(self, wanted: int | None) -> None:
        """Print until so many deliveries have come to their end."""
        print_row(_COLUMNS, _WIDTHS)
        for _ in count():
            page = await self._api.get("/api/deliveries", limit=_NEWEST)
            for cells in sorted([cells for item in page["items"] for cells in await self._news(item)]):
                print_row(cells, _WIDTHS)
            if wanted is not None and sum(item["finished_at"] is not None for item in page["items"]) >= wanted:
                return
            await asyncio.sleep(_POLL_S)

    async def _news(self, delivery: Mapping[str, Any]) -> Sequence[list[str]]:
        """The attempts of a delivery that were not printed yet; each row begins with its time."""
        printed = self._printed.get(delivery["id"], 0)
        if delivery["attempts_made"] == printed:
            return []
        full = await self._api.get(f"/api/deliveries/{delivery['id']}")
        self._printed[delivery["id"]] = len(full["attempts"])
        return [self._cells(full, attempt) for attempt in full["attempts"][printed:]]

    def _cells(self, delivery: Mapping[str, Any], attempt: Mapping[str, Any]) -> list[str]:
        response, error = attempt["response"], attempt["error"]
        verified = self._sightings.of(delivery["id"]).get(attempt["number"])
        return [
            f"{datetime.fromisoformat(attempt['started_at']).astimezone():%H:%M:%S.%f}"[:-3],
            delivery["event"],
            self._names.get(delivery["webhook_id"], delivery["webhook_id"]),
            str(attempt["number"]),
            str(response["status"]) if response else error["class"],
            f"{attempt['duration_ms']:.1f}",
            {True: "verified", False: "WRONG", None: "-"}[verified],
            _result(delivery, attempt),
        ]

    async def faults(self, types: Sequence[str]) -> Sequence[str]:
        """Say what is missing or contradicts itself; nothing is what should be said."""
        page = await self._api.get("/api/deliveries", limit=_NEWEST)
        found = []
        for delivery in page["items"]:
            full = await self._api.get(f"/api/deliveries/{delivery['id']}")
            where = f"{delivery['event']} to {self._names[delivery['webhook_id']]}"
            found += [f"{where}: {fault}" for fault in _faults(full, self._sightings.of(delivery["id"]))]
        pairs = sorted((item["event"], item["webhook_id"]) for item in page["items"])
        if pairs != sorted(product(types, self._names)):
            found.append("not exactly one delivery of each type to each webhook")
        return found


def _faults(delivery: Mapping[str, Any], seen: Mapping[int, bool]) -> Iterator[str]:
    """Hold what the log says about one delivery against what its receiver saw.

    >>> list(_faults({"status": "delivered", "attempts": [{"number": 1}]}, {1: True, 2: True}))
    ['the log has attempts [1], the receiver saw [1, 2]']
    """
    logged = [attempt["number"] for attempt in delivery["attempts"]]
    if delivery["status"] != "delivered":
        yield f"is {delivery['status']}"
    if logged != sorted(seen):
        yield f"the log has attempts {logged}, the receiver saw {sorted(seen)}"
    if not all(seen.values()):
        yield "a signature did not verify"


def _result(delivery: Mapping[str, Any], attempt: Mapping[str, Any]) -> str:
    """What followed from an attempt."""
    if attempt["error"] is None:
        return "delivered"
    if attempt is not delivery["attempts"][-1]:
        return "retried"
    if delivery["next_attempt_at"] is None:
        return str(delivery["status"])
    wait = datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.now(UTC)
    return f"retry in {max(0, round(wait.total_seconds()))} s"
