"""The same JSON in other bytes: what becomes of a body that is parsed and written again, and how two bodies differ."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import Any

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import read_json, write_json
from delivery.domain.errors import InvalidEvent

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOTHING = object()

#: In what order members stand that no sample knows.
_ENVELOPE: Mapping[str, Any] = {"event": "", "timestamp": "", "data": {}}

#: How libraries write JSON: as we do, and as others do unless they are asked for something else.
_STYLES: tuple[Mapping[str, Any], ...] = (
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":"), "ensure_ascii": True},
    {"separators": (", ", ": "), "ensure_ascii": False},
    {"separators": (", ", ": "), "ensure_ascii": True},
    {"indent": 2, "ensure_ascii": False},
    {"indent": 4, "ensure_ascii": False},
)

#: What may be spelled otherwise and means the same, by the change that it is.
_PIECE = re.compile(r'(?P<ESCAPES>"[^"\\]*(?:\\.[^"\\]*)*")|(?P<SPACES>\s+)|(?P<NUMBERS>-?\d[\d.eE+-]*)', re.DOTALL)


class Change(Enum):
    """One way in which bodies differ. All but ``CONTENT`` leave what they say as it is."""

    BYTE_ORDER_MARK = auto()
    LINE_BREAK_AT_END = auto()
    LINE_ENDS = auto()
    CHARACTER_SET = auto()
    QUOTED = auto()
    SPACES = auto()
    ESCAPES = auto()
    NUMBERS = auto()
    KEY_ORDER = auto()
    CONTENT = auto()


@dataclass(frozen=True, slots=True)
class Difference:
    """How two bodies differ. ``where`` is the first member that says something else, "" if one body is no JSON."""

    changes: tuple[Change, ...]
    where: str | None = None


def retellings(body: bytes) -> Iterator[bytes]:
    r"""What a body may have been before it was read and written again, or may become by that; each once.

    >>> b'{"a":"\xc3\xa9"}' in retellings(b'{ "a": "\\u00e9" }\n')
    True
    """
    seen = {body}
    for other in chain(_plainly(body), _written_again(body)):
        if other not in seen:
            seen.add(other)
            yield other


def difference(one: bytes, other: bytes) -> Difference | None:
    r"""How a body differs from another; None: it is the same.

    >>> difference(b'{"a": 1}', b'{"a":1}')
    Difference(changes=(<Change.SPACES: 6>,), where=None)
    >>> difference(b'{"data":[1]}', b'{"data":[2]}').where
    'data[0]'
    """
    if one == other:
        return None
    for change, undone in _PLAIN.items():
        if {one, undone(one)} & {other, undone(other)}:
            return Difference((change,))
    values = _read(one), _read(other)
    where = "" if _NOTHING in values else _first_difference(*values)
    return Difference(_respelled(one, other)) if where is None else Difference((Change.CONTENT,), where)


# -- without a look at what it says ------------------------------------------------------------------------------------


def _one_kind_of_line_ends(body: bytes) -> bytes:
    return body.replace(b"\r\n", b"\n")


def _not_through_latin_1(body: bytes) -> bytes:
    """Undo that bytes of UTF-8 were taken for Latin-1."""
    try:
        return body.decode().encode("latin-1")
    except UnicodeError:  # they were not
        return body


def _unquoted(body: bytes) -> bytes:
    """Take JSON out of a string of JSON in which it was written."""
    try:
        text = json.loads(body) if body.startswith(b'"') else None
    except ValueError:  # it only begins like one
        return body
    return text.encode(errors="replace") if isinstance(text, str) else body


#: What undoes each change that needs no parser.
_PLAIN: Mapping[Change, Callable[[bytes], bytes]] = {
    Change.BYTE_ORDER_MARK: lambda body: body.removeprefix(_BYTE_ORDER_MARK),
    Change.LINE_BREAK_AT_END: lambda body: body.rstrip(b"\r\n"),
    Change.LINE_ENDS: _one_kind_of_line_ends,
    Change.CHARACTER_SET: _not_through_latin_1,
    Change.QUOTED: _unquoted,
}


def _plainly(body: bytes) -> Iterator[bytes]:
    yield from (undone(body) for undone in _PLAIN.values())
    yield body + b"\n"
    yield _one_kind_of_line_ends(body).replace(b"\n", b"\r\n")


# -- as JSON -----------------------------------------------------------------------------------------------------------


def _bare(body: bytes) -> bytes:
    return _unquoted(body.removeprefix(_BYTE_ORDER_MARK))


def _read(body: bytes) -> Any:
    bare = _bare(body)
    try:
        value = read_json(bare, most_bytes=len(bare))
        write_json(value)
    except InvalidEvent:  # no JSON, or none that ever leaves here
        return _NOTHING
    return value


def _written_again(body: bytes) -> Iterator[bytes]:
    value = _read(body)
    if value is _NOTHING:
        return
    for ordered, by_name in ((value, False), (_in_our_order(value), False), (value, True)):
        for style in _STYLES:
            yield json.dumps(ordered, sort_keys=by_name, **style).encode()


def _in_our_order(envelope: Any) -> Any:
    """Put members into the order in which they are published, as far as it is known."""
    event = envelope.get("event") if isinstance(envelope, dict) else None
    kind = PUBLISHED.get(event) if isinstance(event, str) else None
    return _ordered(envelope, kind.example if kind else _ENVELOPE)


def _ordered(value: Any, like: Any) -> Any:
    if isinstance(value, dict) and isinstance(like, Mapping):
        names = [name for name in like if name in value] + [name for name in value if name not in like]
        return {name: _ordered(value[name], like.get(name)) for name in names}
    if isinstance(value, list) and isinstance(like, list) and like:
        return [_ordered(one, like[0]) for one in value]
    return value


def _first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Where two values first say something else; None: nowhere."""
    steps: list[tuple[str, Any, Any]]
    if isinstance(one, dict) and isinstance(other, dict):
        steps = [(f"{path}.{name}", one.get(name, _NOTHING), other.get(name, _NOTHING)) for name in one | other]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        steps = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if one == other else path.removeprefix(".")
    found = (_first_difference(before, after, step) for step, before, after in steps)
    return next((where for where in found if where is not None), None)


def _respelled(one: bytes, other: bytes) -> tuple[Change, ...]:
    """Which changes lie between two bodies that say the same."""
    (one_bare, other_bare), found = (_bare(one), _bare(other)), []
    if one.startswith(b'"') != other.startswith(b'"'):
        found.append(Change.QUOTED)
    pieces, others = _pieces(one_bare), _pieces(other_bare)
    found += [change for change in (Change.SPACES, Change.ESCAPES, Change.NUMBERS) if pieces[change] != others[change]]
    if list(_names(_read(one))) != list(_names(_read(other))):
        found.append(Change.KEY_ORDER)
    return tuple(found) or (Change.SPACES,)  # as many, and elsewhere


def _pieces(body: bytes) -> Mapping[Change, Counter[str]]:
    """What stands in a body, sorted by the change that it would be to write it otherwise."""
    found: dict[Change, Counter[str]] = {change: Counter() for change in Change}
    for piece in _PIECE.finditer(body.decode()):
        found[Change[piece.lastgroup or ""]][piece[0]] += 1
    return found


def _names(value: Any) -> Iterator[str]:
    """The names of all members, in the order in which they stand."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _names(one)
    elif isinstance(value, list):
        for one in value:
            yield from _names(one)
