"""Sources: connected annotation tools, how they are, and everything that can be done with one."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web

from delivery.domain.errors import HooklineError, NotFound
from service.api import sources, systems
from service.api.calls import Call, fields, validated
from service.api.shapes import PageQuery, Query, Word
from service.dashboard import source_form
from service.dashboard.live import stream
from service.dashboard.pages import part, see, show
from service.failures import refused


class ListQuery(PageQuery):
    """Which part of the list, and what was done just before."""

    said: Literal["removed"] | None = None


class Chosen(Query):
    """Which system to connect; without one, it is asked."""

    system: Word | None = None


class Said(Query):
    """What was done just before: the page says so."""

    said: Literal["connected", "changed", "paused", "resumed", "poll"] | None = None


async def browse(call: Call[ListQuery]) -> web.Response:
    """All of them, newest first."""
    found = await _listed(call)
    older = found.next and urlencode({"cursor": found.next})
    return show(call, "sources", found=found, older=older, said=call.asked.said, titles=_titles())


async def watch(call: Call[ListQuery]) -> web.StreamResponse:
    """All of them, as they go on."""

    async def render() -> str:
        return part(call, "sources", found=await _listed(call), titles=_titles())

    return await stream(call, render)


async def ask(call: Call[Chosen]) -> web.Response:
    """The form of a new one, or the choice of its system."""
    if call.asked.system is None:
        return show(call, "source_systems", systems=systems.known())
    system = _system(call.asked.system)
    return _form(call, system, source_form.defaults(source_form.fields_of(system)))


async def create(call: Call[None]) -> web.Response:
    """Connect it."""
    typed = await fields(call.request)
    system = _system(typed.get("system", ""))
    try:
        members = source_form.asked(typed, source_form.fields_of(system)) | {"system": system.system}
        made = await sources.create(_with(call, validated(sources.NewSource, members)))
    except HooklineError as error:  # people read it where they typed
        return _form(call, system, typed, error=error)
    return see(f"/sources/{made.id}?said=connected")


async def find(call: Call[Said]) -> web.Response:
    """One source."""
    return await _one(call, call.asked.said)


async def watch_one(call: Call[None]) -> web.StreamResponse:
    """One source, as it goes on."""

    async def render() -> str:
        return part(call, "source", source=await sources.find(call))

    return await stream(call, render)


async def edit(call: Call[None]) -> web.Response:
    """The form, with what it is now."""
    source = await sources.find(call)
    return _form(call, _system(source.system), source_form.typed_of(source), source)


async def change(call: Call[None]) -> web.Response:
    """Change it to what the form says."""
    source, typed = await sources.find(call), await fields(call.request)
    system = _system(source.system)
    try:
        members = source_form.asked(typed, source_form.fields_of(system, source))
        await sources.change(_with(call, validated(sources.SourceChanges, members)))
    except HooklineError as error:  # people read it where they typed
        return _form(call, system, typed, source, error)
    return see(f"/sources/{call.id}?said=changed")


async def check(call: Call[None]) -> web.Response:
    """Ask it for little, and show what it says."""
    return await _one(call, finding=await sources.check(call))


async def poll(call: Call[None]) -> web.Response:
    """Poll it now."""
    try:
        await sources.poll(call)
    except HooklineError as error:  # it is paused: the page says so
        return await _one(call, error=error)
    return see(f"/sources/{call.id}?said=poll")


async def pause(call: Call[None]) -> web.Response:
    """Poll it no more."""
    await sources.change(_with(call, sources.SourceChanges(active=False)))
    return see(f"/sources/{call.id}?said=paused")


async def resume(call: Call[None]) -> web.Response:
    """Poll it again."""
    await sources.change(_with(call, sources.SourceChanges(active=True)))
    return see(f"/sources/{call.id}?said=resumed")


async def remove(call: Call[None]) -> web.Response:
    """Disconnect it; what it published stays."""
    await sources.remove(call)
    return see("/sources?said=removed")


async def _listed(call: Call[ListQuery]) -> sources.Sources:
    return await sources.browse(_with(call, PageQuery(limit=call.asked.limit, cursor=call.asked.cursor)))


async def _one(
    call: Call[Any],
    said: str | None = None,
    finding: sources.Finding | None = None,
    error: HooklineError | None = None,
) -> web.Response:
    source = await sources.find(call)
    return show(
        call,
        "source",
        status=refused(call.request, error).status if error else 200,
        source=source,
        title=_titles().get(source.system, source.system),
        inbound=f"{call.request.scheme if not call.https else 'https'}://{call.request.host}{source.inbound_path}",
        said=said,
        finding=finding,
        problem=error.message if error else None,
    )


def _form(
    call: Call[Any],
    system: systems.System,
    typed: Mapping[str, str],
    source: sources.Source | None = None,
    error: HooklineError | None = None,
) -> web.Response:
    """The form, with a mistake told at the field where it was made."""
    wanted = source_form.fields_of(system, source)
    return show(
        call,
        "source_form",
        status=refused(call.request, error).status if error else 200,
        source=source,
        system=system,
        wanted=wanted,
        typed=typed,
        wrong=source_form.at_fault(error.field, wanted) if error else None,
        problem=error.message if error else None,
    )


def _system(name: str) -> systems.System:
    found = next((system for system in systems.known() if system.system == name), None)
    if found is None:
        raise NotFound("annotation system")
    return found


def _titles() -> Mapping[str, str]:
    return {system.system: system.title for system in systems.known()}


def _with(call: Call[Any], asked: Any) -> Call[Any]:
    return Call(call.request, call.runtime, asked)
