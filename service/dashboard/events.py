"""What came in: found by type and job, live, and one event with whoever got it or not, and why."""

import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, TEST_TYPE
from service.api import events, webhooks
from service.api.calls import Call
from service.api.events import EventQuery
from service.dashboard.live import stream
from service.dashboard.pages import part, show
from service.dashboard.reasons import explained

_MOST_WEBHOOKS = 100


async def browse(call: Call[EventQuery]) -> web.Response:
    """All of them, newest first."""
    found = await events.browse(call)
    asked = _asked(call)
    return show(
        call,
        "events",
        found=found,
        asked=call.asked,
        filtered=bool(asked),
        query=urlencode(asked),
        older=urlencode(asked | {"cursor": found.next}) if found.next else None,
        types=(*PUBLISHED, *OPERATIONAL, TEST_TYPE),
    )


async def watch(call: Call[EventQuery]) -> web.StreamResponse:
    """The first page of the list, as it changes."""

    async def render() -> str:
        return part(call, "events", found=await events.browse(call), filtered=bool(_asked(call)))

    return await stream(call, render)


def _asked(call: Call[EventQuery]) -> dict[str, Any]:
    return call.asked.model_dump(mode="json", exclude_none=True, exclude={"cursor", "limit"})


async def find(call: Call[None]) -> web.Response:
    """One event."""
    return show(call, "event", **await _facts(call))


async def watch_one(call: Call[None]) -> web.StreamResponse:
    """One event, as its deliveries go on."""

    async def render() -> str:
        return part(call, "event", **await _facts(call))

    return await stream(call, render)


async def _facts(call: Call[None]) -> dict[str, Any]:
    event = await events.find(call)
    known = await webhooks.newest(call, _MOST_WEBHOOKS)
    return {
        "event": event,
        "pretty": json.dumps(json.loads(event.body), indent=2, ensure_ascii=False),
        "trace": event.traceparent.split("-")[1] if event.traceparent else None,
        "verdicts": [explained(match, event.event) for match in event.matches],
        "urls": {one.id: one.url for one in known} | {one.webhook_id: one.url for one in event.deliveries},
    }
