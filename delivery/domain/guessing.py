"""How a signature may have been made: the right way, and the wrong ways that people and libraries find."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from itertools import product
from typing import Literal, TypeVar

from delivery.domain.signing import standard_key

T = TypeVar("T")

#: The seed's ``X-Tagmatic-Signature``, or the ``webhook-signature`` of Standard Webhooks.
Scheme = Literal["seed", "standard"]

#: More mistakes than these at once are not looked for: each further one costs more than all before.
_MOST_MISTAKES = 2

_WHSEC = "whsec_"
_SECONDS = re.compile(r"\d{1,11}\Z", re.ASCII)
_MILLISECONDS = re.compile(r"\d{13}\Z", re.ASCII)


class Slip(Enum):
    """One thing that is otherwise than it should be."""

    # how the signature is written
    NO_PREFIX = auto()
    UPPER_CASE = auto()
    BASE64_FOR_HEX = auto()
    HEX_FOR_BASE64 = auto()
    URL_SAFE = auto()
    CUT_OFF = auto()
    # what was taken for the key
    SPACE_AROUND_SECRET = auto()
    WHSEC_MISSING = auto()
    WHSEC_TOO_MUCH = auto()
    SECRET_DECODED = auto()
    SECRET_NOT_DECODED = auto()
    # what was signed
    BODY_ALONE = auto()
    ID_AND_TIME_TOO = auto()
    TIME_REWRITTEN = auto()
    BODY_CHANGED = auto()
    # how it was signed
    MD5 = auto()
    SHA1 = auto()
    SHA384 = auto()
    SHA512 = auto()
    NO_KEY = auto()
    KEY_BESIDE_BODY = auto()
    SWAPPED = auto()
    DIGEST_SIGNED = auto()


#: What Standard Webhooks sign before the body: ``webhook-id`` and ``webhook-timestamp``, as they came.
Stamp = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Way:
    """One way: what is wrong about it, the body that was signed, and what comes of it, in hexadecimal digits."""

    slips: tuple[Slip, ...]
    body: bytes
    result: str


#: Something that may have been done, with what was wrong about it.
_Part = tuple[tuple[Slip, ...], T]


def ways(bodies: Sequence[bytes], stamp: Stamp | None, secret: str, scheme: Scheme) -> Iterator[Way]:
    """Every way in which a signature may have been made; those with the fewest mistakes first.

    The first of the bodies is the right one, the others are what may have been made of it.
    """
    signed = [((Slip.BODY_CHANGED,) if index else (), body) for index, body in enumerate(bodies)]
    found = product(_keys(secret, scheme), _frames(stamp, scheme), signed, _DIGESTS)
    for parts in sorted(found, key=_mistakes):
        if _mistakes(parts) > _MOST_MISTAKES:
            return
        (_, key), (_, frame), (_, body), (_, digest) = parts
        yield Way(tuple(slip for slips, _ in parts for slip in slips), body, digest(key, frame + body))


def _mistakes(parts: Sequence[_Part[object]]) -> int:
    return sum(bool(slips) for slips, _ in parts)


def _keys(secret: str, scheme: Scheme) -> Iterator[_Part[bytes]]:
    """The keys that may be made of what was typed."""
    text = secret.strip()
    spaced = (Slip.SPACE_AROUND_SECRET,) if len(text) < len(secret) else ()
    bare = text.removeprefix(_WHSEC)
    right = str.encode if scheme == "seed" else standard_key
    yield (), right(secret)
    yield spaced, right(text)
    if bare == text:
        yield (*spaced, Slip.WHSEC_MISSING), right(_WHSEC + text)
    else:
        yield (*spaced, Slip.WHSEC_TOO_MUCH), bare.encode()
    decoded = _decoded(bare)
    if scheme == "seed" and decoded is not None:
        yield (*spaced, Slip.SECRET_DECODED), decoded
    if scheme == "standard" and bare != text:
        yield (*spaced, Slip.SECRET_NOT_DECODED), text.encode()
        # the form for libraries of a secret that is a text: they decode it, however short it is
        yield spaced, decoded or b""


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # not base64, or not even ASCII
        return None


def _frames(stamp: Stamp | None, scheme: Scheme) -> Iterator[_Part[bytes]]:
    """What may be signed before the body."""
    yield ((), b"") if scheme == "seed" else ((Slip.BODY_ALONE,), b"")
    if stamp is None:
        return
    message_id, timestamp = stamp
    yield (() if scheme == "standard" else (Slip.ID_AND_TIME_TOO,)), f"{message_id}.{timestamp}.".encode()
    if scheme == "standard" and seconds(timestamp) not in (None, timestamp):
        yield (Slip.TIME_REWRITTEN,), f"{message_id}.{seconds(timestamp)}.".encode()


def seconds(text: str) -> str | None:
    """A time as it is signed: whole seconds since 1970, also where somebody wrote milliseconds or a date.

    >>> seconds("1767268800"), seconds("1767268800000"), seconds("2026-01-01T12:00:00Z"), seconds("noon")
    ('1767268800', '1767268800', '1767268800', None)
    """
    if _SECONDS.match(text) or _MILLISECONDS.match(text):
        return text if _SECONDS.match(text) else text[:-3]
    try:
        at = datetime.fromisoformat(text)
        return str(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):  # no time
        return None


def _keyed(algorithm: str) -> Callable[[bytes, bytes], str]:
    return lambda key, message: hmac.digest(key, message, algorithm).hex()


def _plain(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()


#: What may have been done with a key and a message; the first one is right.
_DIGESTS: tuple[_Part[Callable[[bytes, bytes], str]], ...] = (
    ((), _keyed("sha256")),
    ((Slip.SHA1,), _keyed("sha1")),
    ((Slip.SHA384,), _keyed("sha384")),
    ((Slip.SHA512,), _keyed("sha512")),
    ((Slip.MD5,), _keyed("md5")),
    ((Slip.NO_KEY,), lambda _, message: _plain(message)),
    ((Slip.KEY_BESIDE_BODY,), lambda key, message: _plain(key + message)),
    ((Slip.KEY_BESIDE_BODY,), lambda key, message: _plain(message + key)),
    ((Slip.SWAPPED,), lambda key, message: hmac.digest(message, key, "sha256").hex()),
    ((Slip.DIGEST_SIGNED,), lambda key, message: hmac.digest(key, _plain(message).encode(), "sha256").hex()),
)
