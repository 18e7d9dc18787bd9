"""All that was seen of a run: every state of every row as it was committed, every request, every acknowledgement."""

import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from tests.simulation.loop import Life
from tests.simulation.wire import Call

_MOMENTS = (
    "wake_at",
    "next_attempt_at",
    "finished_at",
    "created_at",
    "started_at",
    "accepted_at",
    "deleted_at",
    "failing_since",
)
_TABLES = {
    "delivery": "deliveries",
    "endpoint": "endpoints",
    "event": "events",
    "attempt": "attempts",
    "letter": "dead_letters",
    "replay": "replays",
}

Row = dict[str, Any]

#: Account, endpoint, type of event, and what is counted.
Counted = tuple[str, str, str, str]

_COUNTS = ("accepted", "attempts", "delivered", "failed")


@dataclass(frozen=True)
class Version:
    """A row as a commit left it: the commit's number, the loop's time, who made it and what its watch showed."""

    commit: int
    at: float
    by: str
    clock: datetime
    row: Row

    def __getitem__(self, column: str) -> Any:
        return self.row[column]


class History:
    """Reads each commit through the journal that triggers write.

    ``erased`` are the deliveries and events that are there no more, with the loop's time at which they went.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._read = 0
        self.commits = 0
        self.deliveries: dict[str, list[Version]] = defaultdict(list)
        self.endpoints: dict[str, list[Version]] = defaultdict(list)
        self.events: dict[str, list[Version]] = defaultdict(list)
        self.attempts: dict[str, list[Version]] = defaultdict(list)
        self.letters: dict[str, list[Version]] = defaultdict(list)
        self.replays: dict[str, list[Version]] = defaultdict(list)
        self.erased: dict[str, float] = {}
        self.calls: list[Call] = []
        self.most_places: dict[str, int] = defaultdict(int)

    def look(self, life: Life, now: float, clock: datetime) -> list[tuple[str, Version]]:
        """See what a commit changed: nouns with the rows as they are now, in the order of their first change."""
        journal = self._connection.execute("SELECT n, noun, id FROM journal WHERE n > ? ORDER BY n", (self._read,))
        changed: dict[tuple[str, str], None] = {}
        for n, noun, row_id in journal:
            self._read = n
            changed[noun, row_id] = None
        self.commits += bool(changed)
        seen = []
        for noun, row_id in changed:
            found = self._connection.execute(f"SELECT * FROM {_TABLES[noun]} WHERE id = ?", (row_id,)).fetchone()
            if found is None:
                self.erased[row_id] = now
            else:
                version = Version(self.commits, now, life.name, clock, _read_row(found))
                self._shelf(noun)[row_id].append(version)
                seen.append((noun, version))
        return seen

    def _shelf(self, noun: str) -> dict[str, list[Version]]:
        shelves = {
            "delivery": self.deliveries,
            "endpoint": self.endpoints,
            "event": self.events,
            "attempt": self.attempts,
            "letter": self.letters,
            "replay": self.replays,
        }
        return shelves[noun]

    @property
    def next_wake(self) -> datetime | None:
        """When the store wants attention next."""
        return _moment(self._ask("SELECT min(wake_at) FROM deliveries WHERE wake_at IS NOT NULL"))

    @property
    def stranded(self) -> bool:
        """Whether something waits for an endpoint that is off or gone."""
        off = "SELECT id FROM endpoints WHERE NOT active OR deleted_at IS NOT NULL"
        waiting = f"SELECT 1 FROM deliveries WHERE wake_at IS NOT NULL AND lease IS NULL AND endpoint_id IN ({off})"
        return bool(self._ask(f"SELECT EXISTS ({waiting})"))

    @property
    def replaying(self) -> bool:
        """Whether a replay is under way."""
        return bool(self._ask("SELECT EXISTS (SELECT 1 FROM replays WHERE finished_at IS NULL)"))

    @property
    def at_rest(self) -> bool:
        """Whether no delivery wants attention and no replay is under way, now or later."""
        return self.next_wake is None and not self.replaying

    def _ask(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    def attempts_of(self, delivery_id: str) -> list[Row]:
        """What the log says, in the order in which it was written."""
        return self._by_delivery.get(delivery_id, [])

    def calls_of(self, delivery_id: str) -> list[Call]:
        """What the wire says."""
        return self._calls_by_delivery.get(delivery_id, [])

    def close(self) -> None:
        """Order everything by delivery, and look no more."""
        self.counted = self._count()
        self._connection.close()
        self._by_delivery: dict[str, list[Row]] = defaultdict(list)
        self._calls_by_delivery: dict[str, list[Call]] = defaultdict(list)
        began = {(call.delivery_id, call.number, call.clock): call.began for call in self.calls}
        for call in self.calls:
            self._calls_by_delivery[call.delivery_id].append(call)
        for (version,) in self.attempts.values():
            name = (version["delivery_id"], version["number"], version["started_at"])
            row = version.row | {"commit": version.commit, "logged": version.at, "began": began.get(name, 0.0)}
            self._by_delivery[version["delivery_id"]].append(row)

    def _count(self) -> Counter[Counted]:
        """What statistics say, folded or not."""
        found: Counter[Counted] = Counter()
        for (noted,) in self._connection.execute("SELECT counted FROM tallies"):
            for _, account, endpoint, kind, counts in orjson.loads(noted):
                found.update({(account, endpoint, kind, name): counts.get(name, 0) for name in _COUNTS})
        for row in self._connection.execute("SELECT * FROM rollups WHERE grain = 'minute'"):
            where = (row["account_id"], row["endpoint_id"], row["event_type"])
            found.update({(*where, name): row[name] for name in _COUNTS})
        return +found


def _read_row(found: sqlite3.Row) -> Row:
    row = dict(found)
    for name in _MOMENTS:
        if row.get(name) is not None:
            row[name] = _moment(row[name])
    for name in ("secrets", "events", "retry_schedule", "response_headers"):
        if isinstance(row.get(name), str):
            row[name] = orjson.loads(row[name])
    return row


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text is not None else None
