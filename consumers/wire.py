"""What a message says: the translation between what travels on a bus and what the house accepts. Pure.

Three forms are understood: the plain envelope, and CloudEvents 1.0 in structured and in binary mode. The CloudEvents
binding is one for AMQP 1.0; on 0-9-1 it is followed by analogy, with attributes in headers named
``cloudEvents_<attribute>`` or ``cloudEvents:<attribute>``.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from delivery.domain.envelope import Submission, read_json, submit, write_json
from delivery.domain.errors import InvalidEvent
from delivery.domain.model import AccountId, valid_traceparent

STRUCTURED = "application/cloudevents+json"
ACCOUNT_HEADER = "account-id"
TRACE_HEADER = "traceparent"

#: Stands in the headers of a message whose own headers a broker's client could not read.
UNREADABLE = "hookline-unreadable"

_ATTRIBUTE = re.compile(r"cloudEvents[_:]([a-z0-9]+)")
_ACCOUNT = re.compile(r"[\x21-\x7e]{1,40}")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_LONGEST_SHORT_STRING = 255


@dataclass(frozen=True, slots=True)
class Message:
    """What travels on a bus. Header values are text; ``message_id`` is the publisher's name for it, if there is one."""

    body: bytes
    routing_key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a message says, before anybody has checked it; ``accounts`` are all the places that can name one."""

    envelope: dict[str, Any]
    external_id: Any
    accounts: tuple[Any, ...]
    traceparent: Any = None


def submission(message: Message) -> Submission:
    """Read a message.

    Raises:
        InvalidEvent: the message cannot be used, now or ever.
    """
    reading = _read(message)
    traceparent = message.headers.get(TRACE_HEADER) or reading.traceparent
    return submit(
        reading.envelope,
        _account({_text(name, "account_id") for name in (message.headers.get(ACCOUNT_HEADER), *reading.accounts)}),
        external_id=message.message_id or _text(reading.external_id, "id"),
        traceparent=valid_traceparent(traceparent if isinstance(traceparent, str) else None),
    )


def _read(message: Message) -> _Reading:
    if UNREADABLE in message.headers:
        raise InvalidEvent("unreadable_message", "The message's headers or properties cannot be read")
    if _media_type(message.content_type) == STRUCTURED:
        event = _object(read_json(message.body))
        envelope = _from_cloud_event(event, event.get("data", _MISSING))
        return _Reading(
            envelope, event.get("id"), (event.get("account_id"), event.get("accountid")), event.get("traceparent")
        )
    attributes = _attributes(message.headers)
    if "specversion" in attributes:
        envelope = _from_cloud_event(attributes, read_json(message.body))
        return _Reading(envelope, attributes.get("id"), (attributes.get("accountid"),), attributes.get("traceparent"))
    envelope = _object(read_json(message.body))
    return _Reading(envelope, envelope.pop("id", None), (envelope.pop("account_id", None),))


def publication(
    envelope: Mapping[str, Any], account_id: str, *, external_id: str | None = None, traceparent: str | None = None
) -> Message:
    """Write the message that publishes an envelope. Whether the envelope is valid is for the consumer to say.

    Raises:
        InvalidEvent: the envelope cannot be written, or a broker could not carry its type or its id.

    >>> publication({"event": "batch.failed", "id": "job-7/failed"}, "acc_1").message_id
    'job-7/failed'
    """
    body = write_json(envelope)
    name = external_id or _text(envelope.get("id"), "id")
    headers = {ACCOUNT_HEADER: account_id} | ({TRACE_HEADER: traceparent} if traceparent else {})
    return Message(
        body,
        _short(_text(envelope.get("event"), "event"), "event"),
        headers,
        "application/json",
        _short(name, "id") if name is not None else None,
    )


_MISSING = object()


def _from_cloud_event(attributes: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """The envelope that a CloudEvent stands for."""
    version = attributes.get("specversion")
    if version != "1.0":
        raise InvalidEvent("invalid_payload", "Only CloudEvents 1.0 are understood", field="specversion")
    if data is _MISSING:
        data = _encoded_data(attributes.get("data_base64"))
    return {"event": attributes.get("type"), "timestamp": _moment(attributes.get("time")), "data": data}


def _encoded_data(encoded: Any) -> Any:
    """The data of a structured event that wraps its JSON in base64, as the specification allows."""
    try:
        return read_json(b64decode(encoded, validate=True))
    except (TypeError, binascii.Error) as error:  # neither "data" nor a usable "data_base64"
        raise InvalidEvent("invalid_payload", "The CloudEvent has no data", field="data") from error


def _moment(text: Any) -> str:
    """A CloudEvent's time in the one form that an envelope has: UTC, milliseconds, cut and not rounded.

    >>> _moment("2024-03-14T11:23:45.1239+01:00")
    '2024-03-14T10:23:45.123Z'
    """
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise InvalidEvent("invalid_payload", "A CloudEvent needs its time, as RFC 3339 writes it", field="time")
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the form is right, but there is no such day or hour
        raise InvalidEvent("invalid_payload", f"{text[:64]} is no moment of the calendar", field="time") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    found = ((_ATTRIBUTE.fullmatch(name), value) for name, value in headers.items())
    return {match[1]: value for match, value in found if match}


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent("invalid_payload", "An event is a JSON object")
    return value


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidEvent("invalid_payload", f'"{name}" is not a string', field=name)
    return value


def _short(text: str | None, name: str) -> str:
    if not 0 < len((text or "").encode("utf-8", "replace")) <= _LONGEST_SHORT_STRING:
        raise InvalidEvent("invalid_payload", f'"{name}" is missing, empty or too long', field=name)
    return text or ""


def _account(named: set[str | None]) -> AccountId:
    """The account that a message names, in one place or in several that agree."""
    match sorted(account for account in named if account is not None):
        case []:
            raise InvalidEvent("unknown_account", "The message names no account", field="account_id")
        case [account] if _ACCOUNT.fullmatch(account):
            return AccountId(account)
        case [_]:
            raise InvalidEvent("unknown_account", "No such account", field="account_id")
        case _:
            raise InvalidEvent("invalid_payload", "The message names two different accounts", field="account_id")
