"""Events in a file: one JSON document, or JSON Lines, read as they are needed."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import IO, Any

from delivery.domain.envelope import read_json, write_json
from delivery.domain.errors import InvalidEvent

_MOST_EVENTS = 200
_MOST_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a file: the line that it begins in, its JSON as it was written, and what that says."""

    number: int
    raw: bytes
    parsed: dict[str, Any]

    def event(self, account: str | None) -> bytes:
        """The event as it is published: byte for byte, unless it is to name an account."""
        return self.raw if account is None else write_json(self.parsed | {"account_id": account})


@dataclass(slots=True)
class Tally:
    """What became of the events so far."""

    accepted: int = 0
    duplicates: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> list[dict[str, Any]]:
        """The lines that were not taken, in their order, and why."""
        return sorted(self.errors, key=itemgetter("line"))

    def refuse(self, number: int, error: str, code: str) -> None:
        """Count a line that holds no event, or one that was not taken."""
        self.errors.append({"line": number, "error": error, "code": code})

    def as_json(self) -> dict[str, Any]:
        """All of it, named as in the API."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "errors_count": len(self.errors),
            "errors": self.refused,
        }


def read_lines(file: IO[bytes], tally: Tally) -> Iterator[Line]:
    """Read events; a line that holds none is counted in the tally and left out."""
    for number, raw in _documents(file):
        try:
            parsed = read_json(raw)
            _check_named(parsed)
        except InvalidEvent as error:  # the other lines may be better
            tally.refuse(number, error.message, error.code)
        else:
            yield Line(number, raw.strip(), parsed)


def _check_named(event: Any) -> None:
    """Refuse what cannot even be put on its way: what is no event, or has no type."""
    if not isinstance(event, dict):
        raise InvalidEvent("invalid_payload", "An event is a JSON object")
    if not isinstance(event.get("event"), str) or not event["event"]:
        raise InvalidEvent("invalid_payload", '"event" is missing or not a string', field="event")


def _documents(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line, or the whole file where it is one document over several lines."""
    lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    if _is_json(first[1]):
        yield from chain([first], lines)
        return
    rest = list(lines)
    whole = b"".join(line for _, line in (first, *rest))
    if _is_json(whole):
        yield first[0], whole
    else:
        yield from (first, *rest)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):  # what is wrong with it is told when it is read
        return False
    return True


def chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Gather lines into batches that the API takes at once."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) == _MOST_EVENTS or size + len(line.raw) > _MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line.raw)
    if chunk:
        yield chunk
