"""API keys: made, shown once, revoked."""

from typing import Any, Literal, get_args
from urllib.parse import urlencode

from aiohttp import web

from delivery.domain.envelope import write_json
from delivery.domain.errors import HooklineError
from delivery.domain.model import Scope
from service.api import keys
from service.api.calls import Call, fields, validated
from service.api.shapes import PageQuery
from service.dashboard.pages import see, show
from service.failures import refused

#: A box for each scope is called so; a ticked one is in the form, whatever it says.
_TICKED = "scope:"

_FIRST = {"scope:publish": "on", "scope:manage": "on"}


class ListQuery(PageQuery):
    """Which part of the list, and what was done just before."""

    said: Literal["revoked"] | None = None


async def browse(call: Call[ListQuery]) -> web.Response:
    """All keys, newest first, and the form of a new one."""
    return await _page(call, PageQuery(limit=call.asked.limit, cursor=call.asked.cursor), said=call.asked.said)


async def create(call: Call[None]) -> web.Response:
    """Make a key. It is on this page and on no other."""
    typed = await fields(call.request)
    scopes = [name.removeprefix(_TICKED) for name in typed if name.startswith(_TICKED)]
    try:
        members = {"name": typed.get("name", "").strip(), "scopes": scopes}
        write_json(members)
        made = await keys.create(Call(call.request, call.runtime, validated(keys.NewKey, members)))
    except HooklineError as error:  # people read it where they typed
        return await _page(call, PageQuery(), typed=typed, error=error)
    return await _page(call, PageQuery(), made=made)


async def revoke(call: Call[None]) -> web.Response:
    """Refuse it everywhere from now on."""
    await keys.revoke(call)
    return see("/keys?said=revoked")


async def _page(
    call: Call[Any], which: PageQuery, *, typed: Any = None, error: HooklineError | None = None, **facts: Any
) -> web.Response:
    found = await keys.browse(Call(call.request, call.runtime, which))
    return show(
        call,
        "keys",
        status=refused(call.request, error).status if error else 200,
        found=found,
        older=found.next and urlencode({"cursor": found.next}),
        scopes=[scope for scope in get_args(Scope) if scope in call.principal.scopes],
        typed=typed or _FIRST,
        wrong=(error.field or "scopes").partition(".")[0] if error else None,
        problem=error.message if error else None,
        **({"made": None, "said": None} | facts),
    )
