"""Sources: annotation tools that are connected, and how they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from consumers.sources import registry
from delivery.domain import sources as domain
from delivery.domain.errors import NotFound
from delivery.domain.model import AccountId
from delivery.domain.sources import SourceState
from delivery.store import accounts
from delivery.store import sources as rows
from service.api.calls import Call
from service.api.shapes import Body, Listing, Moment, PageQuery, Shape
from service.credentials import Forbidden

_JSON = "as GET /api/systems describes them"


class NewSource(Body):
    """What to connect, and how to ask it. ``account_id`` is another account's, for operators."""

    system: str = Field(min_length=1, max_length=32)
    url: Any = Field(description="the base URL of the system")
    name: str = Field("", max_length=120)
    credentials: dict[str, Any] = Field(default_factory=dict, description=_JSON)
    settings: dict[str, Any] = Field(default_factory=dict, description=_JSON)
    active: bool = True
    account_id: str | None = Field(None, max_length=40)


class SourceChanges(Body):
    """What is to be different. Settings are changed one by one, credentials all together."""

    name: str = Field("", max_length=120)
    url: Any = None
    credentials: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    active: bool = True


class Source(Shape):
    """A connected project of an annotation tool. Of its credentials the names are shown.

    ``state`` is how the last poll went, ``trouble`` why it went wrong; ``next_poll_at`` is null while it is not polled.
    ``events`` counts what it published, ``refused`` what could not be, by code. Pushes go to ``inbound_path``.
    """

    id: str
    account_id: str
    system: str
    name: str
    url: str
    settings: Mapping[str, Any]
    credentials: Sequence[str]
    active: bool
    state: SourceState
    trouble: str | None
    failures: int
    polled_at: Moment | None
    next_poll_at: Moment | None
    last_event_at: Moment | None
    events: int
    refused: Mapping[str, int]
    inbound_path: str
    created_at: Moment
    updated_at: Moment


class Sources(Listing[Source]):
    """A page of sources."""


class Finding(Shape):
    """What trying a source out came to: ``says`` is what was found, or what is wrong."""

    ok: bool
    says: str
    source: Source


async def browse(call: Call[PageQuery]) -> Sources:
    """List sources, newest first."""
    async with call.runtime.store.reading() as tx:
        page = await rows.browse(tx, call.reach, call.asked.request())
    return Sources(items=[_shape(call, source) for source in page.items], next=page.next)


async def create(call: Call[NewSource]) -> Source:
    """Connect one. It is polled from now on."""
    asked = call.asked.model_dump(exclude={"account_id"})
    source = await call.runtime.sources.connect(await _account(call), registry.NewSource(**asked), by=call.principal.by)
    return _shape(call, source)


async def find(call: Call[Any]) -> Source:
    """Show one."""
    return _shape(call, await call.runtime.sources.find(call.reach, call.id))


async def change(call: Call[SourceChanges]) -> Source:
    """Change one. What it was doing is broken off, and it is polled anew."""
    changes = call.asked.model_dump(exclude_unset=True)
    return _shape(call, await call.runtime.sources.change(call.reach, call.id, changes, by=call.principal.by))


async def remove(call: Call[None]) -> None:
    """Disconnect one. What it published stays."""
    await call.runtime.sources.remove(call.reach, call.id, by=call.principal.by)


async def check(call: Call[None]) -> Finding:
    """Ask its system for little, now. One that was given up is polled again if that goes well."""
    found = await call.runtime.sources.check(call.reach, call.id)
    return Finding(ok=found.ok, says=found.says, source=_shape(call, found.source))


async def poll(call: Call[None]) -> Source:
    """Let it be polled as soon as a process with the role scheduler comes to it."""
    return _shape(call, await call.runtime.sources.poll_now(call.reach, call.id))


async def _account(call: Call[NewSource]) -> AccountId:
    """Whose source it is to be."""
    wanted = call.asked.account_id
    if wanted is None or wanted == call.principal.account_id:
        return call.principal.account_id
    if "operate" not in call.principal.scopes:
        raise Forbidden("forbidden", "Only an operator can connect a source for another account")
    async with call.runtime.store.reading() as tx:
        found = await accounts.find_account(tx, wanted)
    if found is None:
        raise NotFound("account")
    return found.id


def _shape(call: Call[Any], source: domain.Source) -> Source:
    members = {name: getattr(source, name) for name in Source.model_fields if hasattr(source, name)}
    return Source(
        **members
        | {
            "credentials": call.runtime.sources.credential_names(source),
            "next_poll_at": source.due_at if source.active else None,
            "inbound_path": f"/api/inbound/{source.id}",
        }
    )
