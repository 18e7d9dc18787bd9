"""The log: found by what people ask for, live, and one delivery with everything that was done about it."""

from typing import Any, Literal, get_args
from urllib.parse import urlencode

from aiohttp import web

from delivery.domain.catalogue import OPERATIONAL, PUBLISHED, TEST_TYPE
from delivery.domain.errors import Conflict
from delivery.domain.model import ErrorClass, Status
from service.api import deliveries as log
from service.api import webhooks
from service.api.calls import Call
from service.api.shapes import Query
from service.dashboard.curl import command
from service.dashboard.live import stream
from service.dashboard.pages import part, see, show

_MOST_WEBHOOKS = 100


class Said(Query):
    """What was done just before: the page says so."""

    said: Literal["retry", "cancel"] | None = None


async def browse(call: Call[log.DeliveryQuery]) -> web.Response:
    """The log, newest first."""
    found = await log.browse(call)
    asked = _asked(call)
    return show(
        call,
        "deliveries",
        found=found,
        asked=call.asked,
        filtered=bool(asked),
        query=urlencode(asked),
        older=urlencode(asked | {"cursor": found.next}) if found.next else None,
        webhooks=await webhooks.newest(call, _MOST_WEBHOOKS),
        statuses=get_args(Status),
        events=(*PUBLISHED, *OPERATIONAL, TEST_TYPE),
        errors=get_args(ErrorClass),
    )


async def watch(call: Call[log.DeliveryQuery]) -> web.StreamResponse:
    """The first page of the log, as it changes."""

    async def render() -> str:
        return part(call, "log", found=await log.browse(call), filtered=bool(_asked(call)))

    return await stream(call, render)


def _asked(call: Call[log.DeliveryQuery]) -> dict[str, Any]:
    """What the address bar asks, without where in the list it is."""
    return call.asked.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"cursor", "limit"})


async def find(call: Call[Said]) -> web.Response:
    """One delivery."""
    return show(call, "delivery", **await _facts(call), said=call.asked.said)


async def watch_one(call: Call[None]) -> web.StreamResponse:
    """One delivery, as it goes on."""

    async def render() -> str:
        return part(call, "delivery", **await _facts(call))

    return await stream(call, render)


async def _facts(call: Call[Any]) -> dict[str, Any]:
    delivery = await log.find(Call(call.request, call.runtime, None))
    made = sum(attempt.trigger in ("first", "retry") for attempt in delivery.attempts)
    return {
        "delivery": delivery,
        "due": {due.number: due.due_at for due in delivery.schedule},
        "planned": delivery.schedule[made:] if delivery.status in ("pending", "sending") else [],
        "curl": command,
    }


async def retry(call: Call[None]) -> web.Response:
    """One attempt now."""
    return await _done(call, "retry")


async def cancel(call: Call[None]) -> web.Response:
    """No further attempts."""
    return await _done(call, "cancel")


async def _done(call: Call[None], what: Literal["retry", "cancel"]) -> web.Response:
    try:
        await (log.retry if what == "retry" else log.cancel)(call)
    except Conflict as error:  # the page shows what is in the way
        return show(call, "delivery", status=409, **await _facts(call), said=None, problem=error.message)
    return see(f"/deliveries/{call.id}?said={what}")
