"""What publishers hand in that nobody can use, and what looks odd and is used all the same: tables of named cases.

``UNUSABLE`` spoils the bytes of a good event of any type, and is tried over every way in: HTTP and both buses, all
five consumers. ``MESSAGES`` are spoilt around the body, as only a bus can carry it. ``ODD`` must pass unchanged.
"""

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from consumers.wire import STRUCTURED
from delivery.domain.envelope import LONGEST_TEXT, MOST_BYTES
from tests.support.samples import envelope

Event = dict[str, Any]


@dataclass(frozen=True)
class Unusable:
    """``spoil`` makes the hostile bytes of a good event; the refusal has ``code`` and names the ``field``."""

    spoil: Callable[[Event], bytes]
    code: str
    field: str | None = None

    @property
    def status(self) -> int:
        """What HTTP answers."""
        return 413 if self.code == "payload_too_large" else 400


def written(event: Any) -> bytes:
    """The event as a careless publisher writes it: halves of surrogate pairs, NaN and all."""
    return json.dumps(event).encode()


def _holding(text: str | bytes) -> Callable[[Event], bytes]:
    """A good event with this as the one value in it that may be anything."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return lambda event: written(event | {"data": event["data"] | {"metadata": {"x": "HERE"}}}).replace(b'"HERE"', raw)


def _with(**members: Any) -> Callable[[Event], bytes]:
    return lambda event: written(event | members)


def _without(name: str) -> Callable[[Event], bytes]:
    return lambda event: written({key: value for key, value in event.items() if key != name})


def _data(**members: Any) -> Callable[[Event], bytes]:
    return lambda event: written(event | {"data": event["data"] | members})


def _no_job(event: Event) -> bytes:
    return written(event | {"data": {key: value for key, value in event["data"].items() if key != "job_id"}})


def _raw(body: bytes) -> Callable[[Event], bytes]:
    return lambda _: body


def sized(event: Event, size: int) -> bytes:
    """The event, padded to exactly so many bytes."""
    roomy = event | {"data": event["data"] | {"metadata": {"x": ""}}}
    bare = len(json.dumps(roomy, separators=(",", ":"), ensure_ascii=False).encode())
    roomy["data"]["metadata"]["x"] = "x" * (size - bare)
    return json.dumps(roomy, separators=(",", ":"), ensure_ascii=False).encode()


def _nested(opening: str, closing: str, depth: int) -> Callable[[Event], bytes]:
    return _holding(opening * depth + "0" + closing * depth)


_NO_JSON: dict[str, Callable[[Event], bytes]] = {
    "nothing at all": _raw(b""),
    "white space": _raw(b" \r\n\t "),
    "prose": _raw(b"annotation completed, have a nice day"),
    "a form": _raw(b"event=annotation.completed&data=%7B%7D"),
    "XML with an entity": _raw(
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    ),
    "YAML that makes an object": _raw(b'!!python/object/apply:os.system ["true"]'),
    "a pickle": _raw(b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    "an event in gzip": lambda event: gzip.compress(written(event), mtime=0),
    "an event in UTF-16": lambda event: written(event).decode().encode("utf-16"),
    "an event after a byte order mark": lambda event: b"\xef\xbb\xbf" + written(event),
    "half an event": lambda event: written(event)[:-1],
    "an event and a bracket": lambda event: written(event) + b"}",
    "two events": lambda event: written(event) * 2,
    "an event in a comment": lambda event: b"/* see */" + written(event),
    "bytes that are no UTF-8": _holding(b'"\xff"'),
    "Latin-1": _holding(b'"\xe9t\xe9"'),
    "overlong UTF-8": _holding(b'"\xc0\xaf"'),
    "a surrogate in UTF-8": _holding(b'"\xed\xa0\x80"'),
    "half a surrogate pair": _holding('"\\ud800"'),
    "the other half": _holding('"\\udc00"'),
    "the halves in the wrong order": _holding('"\\udc00\\ud800"'),
    "half a pair in a name": _holding('{"\\ud800": 1}'),
    "a NUL, escaped": _holding('"\\u0000"'),
    "a NUL after a backslash": _holding('"a\\\\\\u0000"'),
    "a NUL in a name": _holding('{"\\u0000": 1}'),
    "a NUL as it is": _holding(b'"\x00"'),
    "a line break in a string": _holding('"\n"'),
    "single quotes": _holding("'x'"),
    "a trailing comma": _holding("[1,]"),
    "a leading zero": _holding("01"),
    "a hexadecimal number": _holding("0x10"),
    "a plus sign": _holding("+1"),
    "NaN": _holding("NaN"),
    "infinity": _holding("Infinity"),
    "minus infinity": _holding("-Infinity"),
    "1e400": _holding("1e400"),
    "-1e400": _holding("-1e400"),
    "an exponent of a million digits": _holding("1e" + "9" * 100_000),
    "a number of 5,000 digits": _holding("9" * 5000),
    "a member twice": _holding('{"a": 1, "a": 2}'),
    "a member twice, once escaped": _holding('{"a": 1, "\\u0061": 2}'),
    "two types": lambda event: b'{"event": "batch.failed", ' + written(event)[1:],
    "two bodies of data": lambda event: b'{"data": {}, ' + written(event)[1:],
    "101 levels of lists": _nested("[", "]", 101),
    "10,000 levels of lists": _nested("[", "]", 10_000),
    "10,000 levels of objects": _nested('{"a":', "}", 10_000),
    "100,000 brackets that never close": _raw(b"[" * 100_000),
}

_NO_EVENT: dict[str, tuple[Callable[[Event], bytes], str | None]] = {
    "a list": (_raw(b"[]"), None),
    "a string": (_raw(b'"annotation.completed"'), None),
    "a number": (_raw(b"7"), None),
    "null": (_raw(b"null"), None),
    "true": (_raw(b"true"), None),
    "an event in a list": (lambda event: written([event]), None),
    "an empty object": (_raw(b"{}"), "event"),
    "no type": (_without("event"), "event"),
    "a number for a type": (_with(event=7), "event"),
    "a list for a type": (_with(event=["annotation.completed"]), "event"),
    "an object for a type": (_with(event={"$ne": None}), "event"),
    "no timestamp": (_without("timestamp"), "timestamp"),
    "seconds for a timestamp": (_with(timestamp=1710411825), "timestamp"),
    "a word for a timestamp": (_with(timestamp="yesterday"), "timestamp"),
    "a timestamp of 10 kB": (_with(timestamp="2" * 10_000), "timestamp"),
    "30 February": (_with(timestamp="2024-02-30T10:23:45.000Z"), "timestamp"),
    "the year 0": (_with(timestamp="0000-01-01T00:00:00.000Z"), "timestamp"),
    "Arabic digits": (_with(timestamp="٢٠٢٤-03-14T10:23:45.000Z"), "timestamp"),
    "no data": (_without("data"), "data"),
    "null for data": (_with(data=None), "data"),
    "a list for data": (_with(data=[]), "data"),
    "a string for data": (_with(data="{}"), "data"),
    "no job": (_no_job, "data.job_id"),
    "an empty job": (_data(job_id=""), "data.job_id"),
    "null for a job": (_data(job_id=None), "data.job_id"),
    "a number for a job": (_data(job_id=2**64), "data.job_id"),
    "a job with a space": (_data(job_id="ann 1"), "data.job_id"),
    "a job with a line break at its end": (_data(job_id="ann_1\n"), "data.job_id"),
    "a job with headers in it": (_data(job_id="ann_1\r\nX-Evil: 1"), "data.job_id"),
    "a job of 129 characters": (_data(job_id="x" * 129), "data.job_id"),
    "a job of 10 kB": (_data(job_id="x" * 10_000), "data.job_id"),
    "a string for the source": (_data(source="potato"), "data.source"),
    "a number for an id": (_with(id=7), "id"),
    "a list for an id": (_with(id=["a"]), "id"),
    "an empty id": (_with(id=""), "id"),
    "an id with a space": (_with(id="two words"), "id"),
    "an id with headers in it": (_with(id="mine\r\nX-Evil: 1"), "id"),
    "an id with a line break at its end": (_with(id="mine\n"), "id"),
    "an id beyond ASCII": (_with(id="mein\u00e9"), "id"),
    "an id of 10 kB": (_with(id="x" * 10_000), "id"),
}

_NO_TYPE: dict[str, str] = {
    "an empty type": "",
    "a type that nobody heard of": "annotation.imagined",
    "a family for a type": "annotation.*",
    "every type": "*",
    "a type in capitals": "Annotation.Completed",
    "a type with a space": "annotation.completed ",
    "a type with a NUL": "annotation.completed\x00",
    "a type with headers in it": "annotation.completed\r\nX-Evil: 1",
    "a type with half a character": "annotation.\ud800",
    "a type of 10 kB": "x" * 10_000,
    "our own test": "webhook.test",
    "our own news": "webhook.disabled",
    "more of our own news": "delivery.failed",
}

UNUSABLE: Mapping[str, Unusable] = {
    **{name: Unusable(spoil, "invalid_json") for name, spoil in _NO_JSON.items()},
    **{name: Unusable(spoil, "invalid_payload", at) for name, (spoil, at) in _NO_EVENT.items()},
    **{name: Unusable(_with(event=kind), "invalid_event_type", "event") for name, kind in _NO_TYPE.items()},
    "a text of 32,001 letters": Unusable(_data(text="x" * (LONGEST_TEXT + 1)), "text_too_long", "data.text"),
    "a text of 32,001 faces": Unusable(_data(text="\U0001f600" * (LONGEST_TEXT + 1)), "payload_too_large"),
    "one byte more than 256 KiB": Unusable(lambda event: sized(event, MOST_BYTES + 1), "payload_too_large"),
    "an event in 264 KiB of white space": Unusable(
        lambda event: written(event).ljust(MOST_BYTES + 8192), "payload_too_large"
    ),
    "5 MB": Unusable(lambda event: sized(event, 5_000_000), "payload_too_large"),
}


# -- what looks odd and passes -----------------------------------------------------------------------------------------

#: Values in the place in an event that may hold anything, as JSON text: they come out as they went in.
ODD: Mapping[str, str] = {
    "2^63": str(2**63),
    "2^64": str(2**64),
    "-2^64": str(-(2**64)),
    "a number of 4,000 digits": "9" * 4000,
    "1e308": "1e308",
    "a zero with a sign": "-0.0",
    "90 levels of lists": "[" * 90 + "0" + "]" * 90,
    "a thousand brackets in a string": json.dumps('["{' * 1000),
    "an escaped backslash before u0000": r'"\\u0000"',
    "a face": '"\U0001f600"',
    "a face in escapes": r'"\ud83d\ude00"',
    "line separators": '"\u2028\u2029"',
    "control characters": r'"\u0001\u001f\u007f"',
    "text from right to left": '"\u202eetisoppo"',
    "no names": '{"": {"": 1}}',
    "a prototype": '{"__proto__": {"admin": true}, "constructor": 1}',
    "a script": '"<script>alert(1)</script>"',
    "a template": '"{{7*7}} ${7*7} <%= 7*7 %> #{7*7}"',
    "SQL": '"\' OR 1=1; DROP TABLE events; --"',
    "a formula": "\"=cmd|' /C calc'!A0\"",
    "a log4j lookup": '"${jndi:ldap://127.0.0.1/x}"',
    "headers": r'"x\r\nX-Evil: 1\r\n\r\n{}"',
    "printf": '"%s%n%x {0.__class__}"',
}

#: Ids that publishers may give, however strange: what goes out bears an id of ours.
ODD_IDS: Mapping[str, str] = {
    "a full stop and a moment": "x.1700000000.{}",
    "quotes": "'\"`",
    "a path": "../../etc/passwd",
    "255 characters": "x" * 255,
    "like one of ours": "evt_00000000000000000000000000",
}

#: Traces that are none: the event is taken, and nothing of them goes further.
BAD_TRACES: Mapping[str, str] = {
    "nonsense": "nonsense",
    "all zeros": "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
    "of a forbidden version": "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "in capitals": "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    "too long": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" + "-more",
    "of 8 kB": "0" * 8000,
}


# -- around the body: what only a bus can carry ------------------------------------------------------------------------


@dataclass(frozen=True)
class Parcel:
    """A message that cannot be used. Without ``headers`` it names no account."""

    body: bytes
    reason: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str | None = "application/json"
    message_id: str | None = None
    routing_key: str = "annotation.completed"


def _cloud(**attributes: Any) -> Event:
    sample = envelope()
    return {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "/annotator",
        "type": sample["event"],
        "time": "2024-03-14T10:23:45Z",
        "data": sample["data"],
    } | attributes


def _except(event: Event, name: str) -> Event:
    return {key: value for key, value in event.items() if key != name}


_STRUCTURED: dict[str, tuple[Any, str]] = {
    "no JSON": (b"nonsense", "invalid_json"),
    "a list": ([], "invalid_payload"),
    "a batch of one": ([_cloud()], "invalid_payload"),
    "of version 0.3": (_cloud(specversion="0.3"), "invalid_payload"),
    "of version 1.0 as a number": (_cloud(specversion=1.0), "invalid_payload"),
    "of no version": (_except(_cloud(), "specversion"), "invalid_payload"),
    "of no type": (_except(_cloud(), "type"), "invalid_payload"),
    "of a type that is a number": (_cloud(type=7), "invalid_payload"),
    "of an unknown type": (_cloud(type="annotation.imagined"), "invalid_event_type"),
    "of no time": (_except(_cloud(), "time"), "invalid_payload"),
    "of a time that is none": (_cloud(time="yesterday"), "invalid_payload"),
    "of a time without zone": (_cloud(time="2024-03-14T10:23:45"), "invalid_payload"),
    "of 30 February": (_cloud(time="2024-02-30T00:00:00Z"), "invalid_payload"),
    "of a time before all calendars": (_cloud(time="0001-01-01T00:00:00+23:00"), "invalid_payload"),
    "with a number for an id": (_cloud(id=7), "invalid_payload"),
    "with headers in its id": (_cloud(id="x\r\nX-Evil: 1"), "invalid_payload"),
    "with an id of 10 kB": (_cloud(id="x" * 10_000), "invalid_payload"),
    "without data": (_except(_cloud(), "data"), "invalid_payload"),
    "with null for data": (_cloud(data=None), "invalid_payload"),
    "with data as a string": (_cloud(data=json.dumps(envelope()["data"])), "invalid_payload"),
    "with data that is no base64": (_except(_cloud(data_base64="%%%"), "data"), "invalid_payload"),
    "with base64 of no JSON": (
        _except(_cloud(data_base64=base64.b64encode(b"nonsense").decode()), "data"),
        "invalid_json",
    ),
    "with a number for base64": (_except(_cloud(data_base64=7), "data"), "invalid_payload"),
    "of two accounts": (_cloud(account_id="acc_other"), "invalid_payload"),
    "of an account that is a number": (_cloud(accountid=7), "invalid_payload"),
}

_BINARY: dict[str, tuple[bytes, dict[str, str], str]] = {
    "without a type": (written(envelope()["data"]), {"time": "2024-03-14T10:23:45Z"}, "invalid_payload"),
    "without a time": (written(envelope()["data"]), {"type": "annotation.completed"}, "invalid_payload"),
    "of version 2": (
        written(envelope()["data"]),
        {"specversion": "2", "type": "annotation.completed", "time": "2024-03-14T10:23:45Z"},
        "invalid_payload",
    ),
    "without data": (b"", {"type": "annotation.completed", "time": "2024-03-14T10:23:45Z"}, "invalid_json"),
    "with a whole envelope for data": (
        written(envelope()),
        {"type": "annotation.completed", "time": "2024-03-14T10:23:45Z"},
        "invalid_payload",
    ),
    "with a space in its id": (
        written(envelope()["data"]),
        {"type": "annotation.completed", "time": "2024-03-14T10:23:45Z", "id": "two words"},
        "invalid_payload",
    ),
}

_NO_ACCOUNT: dict[str, str] = {
    "empty": "",
    "unknown": "acc_nobody",
    "with a space": "acc 1",
    "with headers in it": "acc_1\r\nX-Evil: 1",
    "with SQL": "' OR 1=1 --",
    "beyond ASCII": "acc_é",
    "of 10 kB": "a" * 10_000,
}


def messages(account_id: str) -> Mapping[str, Parcel]:
    """Messages that cannot be used, from a publisher who knows an account."""
    ours = {"account-id": account_id}
    good = written(envelope())
    return {
        "no account": Parcel(good, "unknown_account"),
        **{f"an account {name}": Parcel(good, "unknown_account", {"account-id": v}) for name, v in _NO_ACCOUNT.items()},
        "two accounts": Parcel(written(envelope() | {"account_id": "acc_other"}), "invalid_payload", ours),
        "a number for the account": Parcel(good, "unknown_account", {"account-id": 7}),
        "a number for the account in the body": Parcel(
            written(envelope() | {"account_id": 7}), "invalid_payload", ours
        ),
        "a table for the account": Parcel(good, "unknown_account", {"account-id": {"a": [1]}}),
        "the wrong queue": Parcel(written(envelope("batch.failed")), "invalid_event_type", ours),
        "no queue": Parcel(good, "invalid_event_type", ours, routing_key="audio.completed"),
        "an empty routing key": Parcel(good, "invalid_event_type", ours, routing_key=""),
        "a message id with a space": Parcel(good, "invalid_payload", ours, message_id="two words"),
        "a message id with headers in it": Parcel(good, "invalid_payload", ours, message_id="x\r\nX-Evil: 1"),
        "a message id beyond ASCII": Parcel(good, "invalid_payload", ours, message_id="é"),
        **{
            f"a structured CloudEvent {name}": Parcel(
                said if isinstance(said, bytes) else written(said), reason, ours, STRUCTURED
            )
            for name, (said, reason) in _STRUCTURED.items()
        },
        **{
            f"a binary CloudEvent {name}": Parcel(
                said,
                reason,
                ours | {f"cloudEvents_{key}": value for key, value in ({"specversion": "1.0"} | attributes).items()},
            )
            for name, (said, attributes, reason) in _BINARY.items()
        },
    }
