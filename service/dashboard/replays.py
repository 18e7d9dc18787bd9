"""Replays: what a filter of the log finds, counted first, then sent once more before everybody's eyes."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from delivery.domain.errors import Conflict
from service.api import replays
from service.api.calls import Call, validated
from service.api.deliveries import DeliveryQuery
from service.api.shapes import PageQuery, rfc3339
from service.dashboard.forms import filled
from service.dashboard.live import stream
from service.dashboard.pages import part, see, show


async def browse(call: Call[PageQuery]) -> web.Response:
    """All of them, newest first."""
    found = await replays.browse(call)
    return show(call, "replays", found=found, older=found.next and urlencode({"cursor": found.next}))


async def plan(call: Call[DeliveryQuery]) -> web.Response:
    """Count what a filter finds before anything is sent."""
    asked = _asked(call.asked)
    now = call.runtime.around.clock.now()
    ideas = {
        "All that failed": {"status": "failed"},
        "What failed in the last hour": {"status": "failed", "from": rfc3339(now - timedelta(hours=1))},
        "What failed in the last day": {"status": "failed", "from": rfc3339(now - timedelta(days=1))},
    }
    links = {name: urlencode(idea) for name, idea in ideas.items()}
    if not asked:
        return show(call, "replay_new", asked={}, planned=None, ideas=links)
    planned = await replays.start(_with(call, asked, dry_run=True))
    return show(call, "replay_new", asked=asked, query=urlencode(asked), planned=planned, ideas=links)


async def start(call: Call[None]) -> web.Response:
    """Begin."""
    begun = await replays.start(_with(call, _asked(await filled(call, DeliveryQuery)), dry_run=False))
    return see(f"/replays/{begun.id}")


async def find(call: Call[None]) -> web.Response:
    """How far one is."""
    return show(call, "replay", replay=await replays.find(call))


async def watch(call: Call[None]) -> web.StreamResponse:
    """How far it is, as it goes on."""

    async def render() -> str:
        return part(call, "replay", replay=await replays.find(call))

    return await stream(call, render)


async def stop(call: Call[None]) -> web.Response:
    """Send no more of it."""
    try:
        await replays.stop(call)
    except Conflict as error:  # it has ended meanwhile
        return show(call, "replay", status=409, replay=await replays.find(call), problem=error.message)
    return see(f"/replays/{call.id}")


def _asked(which: DeliveryQuery) -> dict[str, Any]:
    return which.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"cursor", "limit"})


def _with(call: Call[Any], asked: dict[str, Any], *, dry_run: bool) -> Call[replays.NewReplay]:
    which = validated(replays.ReplayFilter, asked)
    return Call(call.request, call.runtime, replays.NewReplay(filter=which, dry_run=dry_run))
