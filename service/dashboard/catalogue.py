"""The event catalogue: what each type means and holds, and a sample of it to send."""

import json
from typing import Any

from aiohttp import web

from delivery.domain.catalogue import PUBLISHED, TEST_TYPE
from delivery.domain.errors import HooklineError, NotFound
from service.api import event_types
from service.api.calls import Call
from service.api.event_types import EventType
from service.api.publishing import Publication, publish
from service.dashboard.pages import see, show
from service.dashboard.schema_fields import fields_of
from service.failures import refused
from service.samples import fresh_sample

_TEST = EventType(
    event=TEST_TYPE,
    family="operational",
    description="A signed sample that the page of a webhook sends, to that webhook alone",
    schema_=None,
    example=None,
)


async def browse(call: Call[None]) -> web.Response:
    """All types."""
    return show(call, "catalogue", types=await _types(call))


async def find(call: Call[None]) -> web.Response:
    """One type."""
    return await _one(call)


async def send(call: Call[None]) -> web.Response:
    """Publish a sample that was never published before, and go where its deliveries appear."""
    kind = await _asked(call)
    if kind.event not in PUBLISHED:
        raise NotFound("sample")
    try:
        accepted = await publish(Call(call.request, call.runtime, Publication(_sample(call, kind))))
    except HooklineError as error:  # the quota, mostly: the page says so
        return await _one(call, error)
    return see(f"/events/{accepted.id}")


async def _one(call: Call[None], error: HooklineError | None = None) -> web.Response:
    kind = await _asked(call)
    answer = refused(call.request, error) if error else None
    page = show(
        call,
        "event_type",
        status=answer.status if answer else 200,
        kind=kind,
        test_type=TEST_TYPE,
        fields=fields_of(kind.schema_) if kind.schema_ else [],
        schema=_pretty(kind.schema_) if kind.schema_ else None,
        sample=_pretty(_sample(call, kind)) if kind.example else None,
        problem=error.message if error else None,
    )
    if answer and "Retry-After" in answer.headers:
        page.headers["Retry-After"] = answer.headers["Retry-After"]
    return page


async def _asked(call: Call[None]) -> EventType:
    for kind in await _types(call):
        if kind.event == call.request.match_info["type"]:
            return kind
    raise NotFound("event type")


async def _types(call: Call[None]) -> list[EventType]:
    return [*(await event_types.browse(call)).items, _TEST]


def _sample(call: Call[None], kind: EventType) -> dict[str, Any]:
    around = call.runtime.around
    return fresh_sample(kind.event, around.clock.now(), around.luck)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
