"""From bytes to a submission: the one door through which events come in, whatever carried them.

An envelope is ``{"event": TYPE, "timestamp": "2024-03-14T10:23:45.000Z", "data": {…}}``. It is read strictly and
written once; the bytes that leave here are the bytes that are stored, signed and sent.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.errors import InvalidEvent
from delivery.domain.model import AccountId

MOST_BYTES = 256 * 1024
LONGEST_TEXT = 32_000
LONGEST_IDENTITY = 600

#: How deep lists and objects may lie in each other: less than any JSON library on the way minds.
MOST_LEVELS = 100

_EXTERNAL_ID = re.compile(r"^[\x21-\x7e]{1,255}\Z")
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKETS = re.compile(rb"[][{}]")
_FIRST_MEMBERS = ("event", "timestamp", "data")
_DISTINGUISHING = ("review_id", "batch_id")


@dataclass(frozen=True, slots=True)
class Submission:
    """An event that a publisher hands in: valid, not yet accepted. ``envelope`` is what ``body`` says."""

    account_id: AccountId
    type: str
    timestamp: datetime
    identity: str
    external_id: str | None
    job_id: str
    body: bytes
    envelope: Mapping[str, Any]
    traceparent: str | None = None


class EventTooLargeError(InvalidEvent):
    """More than 256 KiB."""

    kind = "too_large"

    def __init__(self) -> None:
        super().__init__("payload_too_large", f"An event has at most {MOST_BYTES:,} bytes")


def read_json(raw: bytes, *, most_bytes: int = MOST_BYTES) -> Any:
    """Parse JSON as strictly as RFC 8259 asks, and a little more: no duplicate members, no NaN, no infinity.

    >>> read_json(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    delivery.domain.errors.InvalidEvent: Not valid JSON: member "a" occurs twice
    """
    if len(raw) > most_bytes:
        raise EventTooLargeError
    try:
        return json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # not UTF-8, not JSON, or one of the two refusals below
        raise InvalidEvent("invalid_json", f"Not valid JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'member "{twice[:64]}" occurs twice')
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def compose(event_type: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """Make the envelope of an event of our own.

    >>> compose("webhook.test", datetime(2026, 1, 1, tzinfo=UTC), {})["timestamp"]
    '2026-01-01T00:00:00.000Z'
    """
    text = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"event": event_type, "timestamp": text, "data": dict(data)}


def write_json(value: Any) -> bytes:
    """Serialise, refusing what a strict receiver or a database could not take.

    >>> write_json({"b": 1, "a": "é"}).decode()
    '{"b":1,"a":"é"}'
    """
    try:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError as error:
        raise _too_deep() from error
    except UnicodeEncodeError as error:
        raise InvalidEvent("invalid_json", "A string holds half of a surrogate pair, which is no character") from error
    except ValueError as error:  # 1e400 is read as infinity, which cannot be written again
        raise InvalidEvent("invalid_json", "A number is too large to be kept") from error
    if b"\\u0000" in body and _ESCAPED_NUL.search(body):
        raise InvalidEvent("invalid_json", "A string holds a NUL character")
    if body.count(b"[") + body.count(b"{") > MOST_LEVELS and _levels(body) > MOST_LEVELS:
        raise _too_deep()
    return body


def _levels(body: bytes) -> int:
    level = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", body)):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def _too_deep() -> InvalidEvent:
    return InvalidEvent("invalid_json", f"Not usable JSON: nested more than {MOST_LEVELS} levels deep")


def submit(
    envelope: Any,
    account_id: AccountId,
    *,
    external_id: str | None = None,
    traceparent: str | None = None,
) -> Submission:
    """Check an envelope and write it down.

    Raises:
        InvalidEvent: with ``invalid_payload``, ``invalid_event_type``, ``text_too_long``, ``invalid_json`` or
            ``payload_too_large``, and the field at fault.
    """
    if not isinstance(envelope, dict):
        raise InvalidEvent("invalid_payload", "An event is a JSON object")
    check_against_schema(envelope)
    if external_id is not None and not _EXTERNAL_ID.match(external_id):
        raise InvalidEvent("invalid_payload", "An id is 1 to 255 printable ASCII characters without spaces", field="id")
    ordered = {name: envelope[name] for name in _FIRST_MEMBERS} | envelope
    body = write_json(ordered)
    if len(body) > MOST_BYTES:
        raise EventTooLargeError
    return Submission(
        account_id=account_id,
        type=envelope["event"],
        timestamp=_moment(envelope["timestamp"]),
        identity=identity(envelope, external_id),
        external_id=external_id,
        job_id=envelope["data"]["job_id"],
        body=body,
        envelope=ordered,
        traceparent=traceparent,
    )


def check_against_schema(envelope: Mapping[str, Any]) -> None:
    """Hold an envelope against the schema of its type."""
    name = envelope.get("event")
    if not isinstance(name, str):
        raise InvalidEvent("invalid_payload", '"event" is missing or not a string', field="event")
    kind = PUBLISHED.get(name)
    if kind is None:
        known = ", ".join(PUBLISHED)
        raise InvalidEvent("invalid_event_type", f'Unknown event type "{name[:64]}"; known are {known}', field="event")
    data = envelope.get("data")
    text = data.get("text") if isinstance(data, dict) else None
    if isinstance(text, str) and len(text) > LONGEST_TEXT:
        raise InvalidEvent("text_too_long", "Text exceeds maximum length (32,000 characters)", field="data.text")
    try:
        kind.validator.validate(envelope)
    except jsonschema_rs.ValidationError as error:
        raise InvalidEvent("invalid_payload", error.message[:300], field=_path(error)) from error
    except (ValueError, OverflowError) as error:  # the validator cannot take the value in: too deep, or not Unicode
        raise InvalidEvent("invalid_json", f"Not usable JSON: {error}"[:300]) from error


def _path(error: jsonschema_rs.ValidationError) -> str | None:
    steps = [str(step) for step in error.instance_path]
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
        steps.append(error.kind.property)
    return ".".join(steps) or None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the schema checks the form, not whether there is such a day
        raise InvalidEvent("invalid_payload", f"{text} is no moment of the calendar", field="timestamp") from error


def identity(envelope: Mapping[str, Any], external_id: str | None) -> str:
    """What makes a second publication of an event a duplicate, within its account.

    >>> identity({"event": "review.submitted", "data": {"job_id": "ann_1", "review_id": "rev_1"}}, None)
    'review.submitted ann_1 review_id=rev_1'
    >>> identity({"event": "review.submitted", "data": {"job_id": "ann_1"}}, "msg-7")
    'id=msg-7'
    """
    if external_id is not None:
        return f"id={external_id}"
    data = envelope["data"]
    parts = [envelope["event"], data["job_id"]]
    parts += [f"{name}={data[name]}" for name in _DISTINGUISHING if name in data]
    revision = data.get("source", {}).get("revision")
    if revision is not None:
        parts.append(f"revision={revision}")
    text = " ".join(parts)
    return text if len(text) <= LONGEST_IDENTITY else f"sha256={hashlib.sha256(text.encode()).hexdigest()}"
