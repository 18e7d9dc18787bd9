"""Ids and keys that are made of names which another system gave."""

import hashlib
import json
import re
from typing import Any

LONGEST_ID = 128
LONGEST_KEY = 255

_PLAIN_ID = re.compile(r"[A-Za-z0-9._\-/|]+")
_PLAIN_KEY = re.compile(r"[\x21-\x2e\x30-\x7e]+")


def job_id(*parts: str | int) -> str:
    """Join parts by colons to what a ``job_id`` may be.

    A part with characters that an id does not have, or with a colon, and the longest ones where it would become too
    long, are told by the first 16 hex digits of their SHA-256.

    >>> job_id("potato", "src_1", "item_002", "ann", 3)
    'potato:src_1:item_002:ann:3'
    >>> job_id("potato", "src_1", "item_002", "ann@example.org", 3)
    'potato:src_1:item_002:438c4c7afe600cdf:3'
    """
    return _joined(":", [str(part) for part in parts], _PLAIN_ID, LONGEST_ID)


def key(*parts: str | int) -> str:
    """Join parts by slashes to what an event may be published with as its ``id``; the parts as in ``job_id``.

    >>> key("potato", "src_1", "batch", 20)
    'potato/src_1/batch/20'
    """
    return _joined("/", [str(part) for part in parts], _PLAIN_KEY, LONGEST_KEY)


def _joined(separator: str, parts: list[str], plain: re.Pattern[str], longest: int) -> str:
    said = [part if plain.fullmatch(part) else _short(part) for part in parts]
    while len(separator.join(said)) > longest:
        longest_part = max(range(len(said)), key=lambda index: len(said[index]))
        said[longest_part] = _short(parts[longest_part])
    return separator.join(said)


def _short(part: str) -> str:
    return hashlib.sha256(part.encode(errors="surrogatepass")).hexdigest()[:16]


def canonical(value: Any) -> bytes:
    """One form for equal JSON values: members sorted, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="surrogatepass")


def sha256(value: Any) -> str:
    """A JSON value's digest, equal for equal values.

    >>> sha256({"b": 1, "a": [2]}) == sha256({"a": [2], "b": 1})
    True
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def sha12(value: Any) -> str:
    """The first twelve digits of it: enough to tell the states of one thing apart."""
    return sha256(value)[:12]
