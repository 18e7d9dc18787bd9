"""Dead letters: messages that nobody can use, with the reason, on their way into the store and back.

``written`` makes one, ``posted`` and ``received`` carry it over a broker, ``revived`` makes the message of it again.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from consumers.consumer import Rejection
from consumers.wire import Message
from delivery.domain.ids import new_id
from delivery.ports import Surroundings
from delivery.store.dead_letters import DeadLetter

_ID = "hookline-id"
_REASON = "hookline-reason"
_DETAIL = "hookline-detail"
_QUEUE = "hookline-queue"
_ROUTING_KEY = "hookline-routing-key"
_RECEIVED_AT = "hookline-received-at"
_MESSAGE_ID = "hookline-message-id"
_DEATHS = "x-death"

#: Headers that tell of a message's death, by us or by the broker.
_OBITUARY = re.compile(r"hookline-.*|x-death|x-(first|last)-death-.*", re.DOTALL)
_LETTER_ID = re.compile(r"dead_[0-9a-f]{28}")
_BROKERS_REASONS = ("delivery_limit", "expired", "maxlen", "rejected")

#: All properties of an AMQP message share one frame of 128 KiB, and a letter adds its own to the message's.
_MOST_HEADER_BYTES = 64 * 1024


def written(message: Message, queue: str, rejection: Rejection, around: Surroundings) -> DeadLetter:
    """Make a dead letter of a message that came by ``queue``. Whatever the message holds, the letter can be kept."""
    now = around.clock.now()
    headers = {name: value for name, value in message.headers.items() if not _OBITUARY.fullmatch(name)}
    if message.message_id:
        headers = {_MESSAGE_ID: _fit(message.message_id, 255)} | headers
    return _letter(new_id("dead", now, around.luck), now, replace(message, headers=headers), queue, rejection)


def posted(letter: DeadLetter) -> Message:
    """Write the message that carries a letter: the original one, and in headers what the letter adds."""
    added = {
        _ID: letter.id,
        _REASON: letter.reason,
        _DETAIL: letter.detail,
        _QUEUE: letter.queue,
        _ROUTING_KEY: letter.routing_key,
        _RECEIVED_AT: letter.received_at.isoformat(),
    }
    headers = dict(letter.headers) | added
    return Message(letter.body, letter.routing_key, headers, letter.content_type, letter.headers.get(_MESSAGE_ID))


def received(message: Message, around: Surroundings) -> DeadLetter:
    """Read the letter in a message, be it one of ours or one that the broker itself took out of a queue.

    A message is the same letter however often it is delivered.
    """
    if is_brokers_own(message):
        return _brokers_own(message, around)
    headers = dict(message.headers)
    letter_id, _ = headers.pop(_ID), headers.pop(_ROUTING_KEY, None)
    moment = _moment(headers.pop(_RECEIVED_AT, "")) or around.clock.now()
    queue, rejection = headers.pop(_QUEUE, ""), Rejection(headers.pop(_REASON, ""), headers.pop(_DETAIL, ""))
    return _letter(letter_id, moment, replace(message, headers=headers), queue, rejection)


def is_brokers_own(message: Message) -> bool:
    """Whether nobody has spoken yet of this death: the broker took the message out of its queue by itself."""
    return not _LETTER_ID.fullmatch(message.headers.get(_ID, ""))


def revived(letter: DeadLetter) -> Message:
    """Make the message again as it first came, to be tried anew."""
    headers = {name: value for name, value in letter.headers.items() if not _OBITUARY.fullmatch(name)}
    return Message(letter.body, letter.routing_key, headers, letter.content_type, letter.headers.get(_MESSAGE_ID))


def _brokers_own(message: Message, around: Surroundings) -> DeadLetter:
    """Write the letter of a message that was delivered too often: its id is made of what it is and when it died."""
    first = _first_death(message.headers)
    moment = _moment(str(first.get("time"))) or around.clock.now()
    digest = hashlib.sha256(message.body + message.headers.get(_DEATHS, "").encode("utf-8", "replace")).hexdigest()
    letter_id = f"dead_{int(moment.timestamp() * 1000):012x}{digest[:16]}"
    reason = str(first.get("reason"))
    rejection = Rejection(
        reason if reason in _BROKERS_REASONS else "dead_lettered", "The broker took the message out of its queue"
    )
    own = {_MESSAGE_ID: _fit(message.message_id, 255)} if message.message_id else {}
    headers = own | dict(message.headers)
    return _letter(letter_id, moment, replace(message, headers=headers), str(first.get("queue", "")), rejection)


def _first_death(headers: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        deaths = json.loads(headers.get(_DEATHS, ""))
    except ValueError:  # none, or a header that only bears the name
        return {}
    first = deaths[-1] if isinstance(deaths, list) and deaths else None
    return first if isinstance(first, dict) else {}


def _letter(
    letter_id: str,
    moment: datetime,
    message: Message,
    queue: str,
    rejection: Rejection,
) -> DeadLetter:
    return DeadLetter(
        id=letter_id,
        received_at=moment,
        queue=_fit(queue, 128),
        routing_key=_fit(message.routing_key, 255),
        reason=_fit(rejection.reason, 64),
        detail=_fit(rejection.detail, 1000),
        content_type=_fit(message.content_type, 128) if message.content_type else None,
        headers=_room(message.headers),
        body=message.body,
    )


def _fit(text: str, most_bytes: int) -> str:
    r"""Text that every database and every broker can hold: real characters, no NUL, not too long.

    >>> _fit("a\x00\ud800b", 3)
    'a??'
    """
    clean = text.replace("\x00", "?").encode("utf-8", "replace")
    return clean[:most_bytes].decode("utf-8", "ignore")


def _room(headers: Mapping[str, str]) -> dict[str, str]:
    """As many headers as there is room for."""
    kept, size = {}, 0
    for name, value in headers.items():
        name, value = _fit(name, 128), _fit(value, _MOST_HEADER_BYTES)  # noqa: PLW2901 - only the clean ones count
        size += len(name.encode()) + len(value.encode()) + 8
        if size > _MOST_HEADER_BYTES:
            break
        kept[name] = value
    return kept


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # a header that only bears the name
        return None
