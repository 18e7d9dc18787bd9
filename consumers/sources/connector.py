"""What a connector is to those who drive it, and what it may say.

A connector asks its system and translates. It keeps nothing: what it must know the next time it writes down as marks,
and those are committed together with the events of the same step. Killed anywhere, it asks again.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from delivery.domain.errors import HooklineError
from delivery.domain.sources import Wake

#: What a mark is about: its kind, and which one of that kind.
MarkName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event as a connector finds it. ``key`` is the ``id`` that it is published with: the same fact, the same key.

    ``at`` is when it happened, as far as that is known.
    """

    type: str
    at: datetime
    data: Mapping[str, Any]
    key: str


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a poll that stands by itself: its events and its marks are committed together, or not at all.

    ``marks`` are JSON values; None forgets one.
    """

    events: Sequence[Draft] = ()
    marks: Mapping[MarkName, Any] = field(default_factory=dict)


class Desk(Protocol):
    """What a connector finds when it polls."""

    @property
    def wakes(self) -> Sequence[Wake]:
        """What was heard of the system and not dealt with yet. When the poll has ended well, they are."""
        ...

    def now(self) -> datetime:
        """Return this moment, in UTC."""
        ...

    async def mark(self, kind: str, key: str = "") -> Any:
        """Return a mark as the last step left it; None: there is none."""
        ...

    async def marks(self, kind: str) -> Mapping[str, Any]:
        """Return all marks of a kind, by their keys."""
        ...


@dataclass(frozen=True, slots=True)
class Push:
    """A request that a system sent to us: names of headers in lower case, and the body as it came."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What a push says: what it is about, and what else is worth keeping of it."""

    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class Connector(Protocol):
    """One source's way to its system.

    All but ``hear`` raise what ``remote.py`` has for systems that are away, refuse us or are not what they should be.
    """

    async def check(self) -> str:
        """Ask for little, with the credentials; return one line of what was found, for people."""
        ...

    def poll(self, desk: Desk) -> AsyncGenerator[Step, None]:
        """Find out what happened. Whoever drives it commits each step before asking for the next one."""
        ...

    def hear(self, push: Push, now: datetime) -> Sequence[Heard]:
        """Read what the system sent.

        Raises:
            Unauthorised: it does not prove that it comes from there.
            InvalidInput: it is nothing that this system sends.
        """
        ...


class Unauthorised(HooklineError):
    """A push that does not prove where it comes from. ``challenge`` is how HTTP asks for what is missing."""

    kind = "unauthorised"

    def __init__(self, message: str, *, challenge: str = "Bearer") -> None:
        super().__init__("unauthorised", message)
        self.challenge = challenge
