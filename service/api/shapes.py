"""What requests and responses are made of: times, bodies, pages, and the manners of all models."""

import base64
import codecs
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints, WithJsonSchema

from delivery.store.cursors import PageRequest

T = TypeVar("T")


def rfc3339(moment: datetime) -> str:
    """Write a moment as the API does: UTC, milliseconds, Z.

    >>> rfc3339(datetime(2024, 3, 14, 10, 23, 45, tzinfo=UTC))
    '2024-03-14T10:23:45.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: A time in an answer.
Moment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2024-03-14T10:23:45.000Z"]}),
]


def in_utc(moment: datetime) -> datetime:
    """A time that somebody asked for; without a zone it is UTC.

    >>> in_utc(datetime.fromisoformat("2024-03-14T11:23:45+01:00")).isoformat()
    '2024-03-14T10:23:45+00:00'
    """
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:  # in the first or the last hours of the calendar, in a zone of its own
        raise ValueError("in UTC it is outside of the calendar") from error


#: A time in a question.
AskedMoment = Annotated[datetime, AfterValidator(in_utc)]

#: A word in a query: something that may be compared with an id or a type.
Word = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Shape(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, validate_by_name=True)


class Body(BaseModel):
    """What a request says in its body: taken at its word, and nothing in it is overlooked."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Query(BaseModel):
    """What a request asks in its query string."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)


class PageQuery(Query):
    """Which part of a list: at most ``limit`` rows, and the cursor that the part before ended with."""

    limit: int = Field(50, ge=1, le=100)
    cursor: Word | None = None

    def request(self) -> PageRequest:
        """Hand it to the store."""
        return PageRequest(self.limit, self.cursor)


class Listing(Shape, Generic[T]):
    """Some of a list, newest first; ``next`` is the cursor of the rest, null at its end."""

    items: Sequence[T]
    next: str | None


Encoding = Literal["utf-8", "base64"]


def legible(body: bytes, *, truncated: bool = False) -> tuple[str, Encoding]:
    r"""Show bytes: as text where they are UTF-8, else in base64. A character that was cut off at the end is left out.

    >>> legible(b"ok\x00"), legible(b"\xff"), legible("é".encode()[:1], truncated=True)
    (('ok\x00', 'utf-8'), ('/w==', 'base64'), ('', 'utf-8'))
    """
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body, final=not truncated), "utf-8"
    except UnicodeDecodeError:  # somebody else's bytes: they come back as they are
        return base64.b64encode(body).decode(), "base64"


def by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers as an object; what occurs more than once is joined, as HTTP has it.

    >>> by_name([("Via", "a"), ("X", "1"), ("Via", "b")])
    {'Via': 'a, b', 'X': '1'}
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def without_defaults(schema: dict[str, Any]) -> None:
    """Of a model whose members are all optional: what is left out stays as it is, so no default is told."""
    for member in schema.get("properties", {}).values():
        member.pop("default", None)
