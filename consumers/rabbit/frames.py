"""Between the broker's frames and messages."""

import hashlib
import json
from datetime import datetime
from typing import Any

import aio_pika
from aiormq.abc import DeliveredMessage
from pamqp import commands, decode, header

from consumers.wire import UNREADABLE, Message

#: Begins the message id of a message whose publisher gave it none. The space keeps it apart from every publisher's id.
_UNNAMED = "unnamed "

#: Class, weight and body size, which every content header begins with.
_FIXED_HEADER_BYTES = 12

_strict_timestamp = decode.timestamp
_strict_unmarshal = header.ContentHeader.unmarshal


def message(delivered: DeliveredMessage) -> Message:
    """Read what was delivered."""
    properties = delivered.header.properties
    name = properties.message_id or ""
    return Message(
        body=delivered.body,
        routing_key=delivered.routing_key or "",
        headers={name: _text(value) for name, value in (properties.headers or {}).items()},
        content_type=properties.content_type or None,
        message_id=None if name.startswith(_UNNAMED) else name or None,
    )


def outgoing(sent: Message) -> aio_pika.Message:
    """Write what is to be published: persistent, and with a message id.

    The client would invent one where there is none, and what the publisher left to be identified by its job would be
    identified by chance. The id made here names the bytes, and is none again when it is read.
    """
    return aio_pika.Message(
        sent.body,
        headers=dict(sent.headers),
        content_type=sent.content_type,
        message_id=sent.message_id or _UNNAMED + hashlib.sha256(sent.body).hexdigest()[:32],
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bytes() | bytearray():
            return value.decode("utf-8", "replace")
        case datetime():
            return value.isoformat()
        case dict() | list() | bool() | None:
            return json.dumps(value, default=_text)
        case _:
            return str(value)


def bear_strange_properties() -> None:
    """Teach the decoder to survive properties that publishers do send.

    As it comes, it raises on a timestamp in microseconds, on a message id in Latin-1 and on deep tables, which ends the
    connection with all its consumers; the message comes again, and with it the end. With this, a strange date or text
    is read as well as can be, and a message with worse properties arrives marked, to be rejected.
    """
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp
    header.ContentHeader.unmarshal = _unmarshal  # type: ignore[method-assign, assignment]


def _short_string(value: bytes) -> tuple[int, str]:
    length = value[0] if value else 0
    return length + 1, value[1 : length + 1].decode("utf-8", "replace")


def _timestamp(value: bytes) -> tuple[int, datetime | None]:
    try:
        return _strict_timestamp(value)
    except (ValueError, OverflowError, OSError):  # no year that there is
        return 8, None


def _unmarshal(content: header.ContentHeader, data: bytes) -> None:
    try:
        _strict_unmarshal(content, data)
    except Exception as error:
        if len(data) < _FIXED_HEADER_BYTES:  # not even the length of the body: the stream itself is broken
            raise
        content.properties = commands.Basic.Properties(headers={UNREADABLE: type(error).__name__})
