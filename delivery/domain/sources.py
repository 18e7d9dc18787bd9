"""A source: an annotation tool whose facts become events, and how it is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType

from delivery.domain.deeds import Deed, Members, What
from delivery.domain.model import AccountId

SourceId = NewType("SourceId", str)

#: How the last poll went. ``auth_failed`` and ``misconfigured`` end polling until somebody mends it; ``failing`` is
#: away, and ``broken`` answers what nobody understands: both are tried again, ever more seldom.
SourceState = Literal["new", "ok", "failing", "broken", "auth_failed", "misconfigured"]

#: States in which to ask again is of no use.
STANDSTILL: frozenset[SourceState] = frozenset({"auth_failed", "misconfigured"})


@dataclass(frozen=True, slots=True)
class Source:
    """One project of an annotation tool, connected.

    ``credentials`` are sealed JSON, ``settings`` are what its system knows. ``due_at`` is when to poll next; None:
    not before something changes. ``failures`` are those in a row;
    ``events`` is how many it published, ``refused`` how many could not be, by error code.
    """

    id: SourceId
    account_id: AccountId
    system: str
    name: str
    url: str
    settings: Mapping[str, Any]
    credentials: str
    created_at: datetime
    updated_at: datetime
    active: bool = True
    state: SourceState = "new"
    trouble: str | None = None
    failures: int = 0
    polled_at: datetime | None = None
    due_at: datetime | None = None
    last_event_at: datetime | None = None
    events: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    lease: str | None = None
    leased_until: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wake:
    """Something that a source's system said of itself: what it is about, and when that was heard last.

    A hint, never content: polling finds out what is. The empty subject is about everything.
    """

    subject: str
    detail: Mapping[str, Any]
    at: datetime


#: What people change of a source, beside its credentials, and whether it is active.
_MEMBERS = ("name", "url", "settings")


def connected(source: Source) -> Deed:
    """Somebody connected a source."""
    return _deed(source, "source.connected", after=_told(source))


def done_between(before: Source, after: Source) -> Iterator[Deed]:
    """What somebody did to a source who found it so and left it so. Of credentials it is told that they changed."""
    if after.deleted_at is not None:
        yield _deed(after, "source.disconnected", before=_told(before))
        return
    other = [name for name in _MEMBERS if getattr(before, name) != getattr(after, name)]
    old, new = ({name: getattr(source, name) for name in other} for source in (before, after))
    if before.credentials != after.credentials:
        old["credentials"], new["credentials"] = "(as they were)", "(other ones)"
    if new:
        yield _deed(after, "source.changed", old, new)
    if before.active != after.active:
        yield _deed(after, "source.resumed" if after.active else "source.paused")


def _deed(source: Source, what: What, before: Members | None = None, after: Members | None = None) -> Deed:
    return Deed(what, source.account_id, source.id, source.name, before, after)


def _told(source: Source) -> Members:
    return {"system": source.system} | {name: getattr(source, name) for name in _MEMBERS}
