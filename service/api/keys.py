"""API keys."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from delivery.domain.errors import NotFound
from delivery.domain.model import Scope
from delivery.store import accounts
from delivery.telemetry import tell
from service.api.calls import Call
from service.api.shapes import Body, Listing, Moment, PageQuery, Shape
from service.credentials import Forbidden


class NewKey(Body):
    """What a key is to be called, and what it may do."""

    name: str = Field("API key", min_length=1, max_length=120)
    scopes: list[Scope] = Field(["publish", "manage"], min_length=1)


class Key(Shape):
    """An API key, without the key itself."""

    id: str
    account_id: str
    name: str
    prefix: str = "tmk_"
    last4: str
    scopes: Sequence[Scope]
    created_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None


class MadeKey(Key):
    """A key that was just made: ``key`` is shown in this answer and never again."""

    key: str


class Keys(Listing[Key]):
    """A page of keys, revoked ones too."""


async def create(call: Call[NewKey]) -> MadeKey:
    """Make a key. Nobody can give away a scope that they do not have."""
    scopes = frozenset(call.asked.scopes)
    if not scopes <= call.principal.scopes:
        raise Forbidden("forbidden", "Only an operator can make keys that operate")
    key, text = await call.runtime.auth.create_key(
        call.principal.account_id, call.asked.name, scopes, by=call.principal.by
    )
    tell("key.made", key_id=key.id, account_id=key.account_id, scopes=sorted(scopes), user_id=_user_id(call))
    return MadeKey(**_members(key), key=text)


async def browse(call: Call[PageQuery]) -> Keys:
    """List keys."""
    async with call.runtime.store.reading() as tx:
        page = await accounts.browse_keys(tx, call.reach, call.asked.request())
    return Keys(items=[Key(**_members(key)) for key in page.items], next=page.next)


async def revoke(call: Call[None]) -> None:
    """Revoke a key: from now on it is refused everywhere."""
    if not await call.runtime.auth.revoke_key(call.reach, call.id, by=call.principal.by):
        raise NotFound("API key")
    tell("key.revoked", key_id=call.id, user_id=_user_id(call))


def _user_id(call: Call[Any]) -> str | None:
    return call.principal.user.id if call.principal.user else None


def _members(key: accounts.ApiKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in Key.model_fields if name != "prefix"}
