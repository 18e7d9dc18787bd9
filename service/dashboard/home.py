"""The first page: how things are, at this moment and over the last hour, day or month."""

from typing import Any

from aiohttp import web

from service.api import dead_letters, stats, webhooks
from service.api.calls import Call
from service.dashboard.charts import Period, charts_of
from service.dashboard.live import stream
from service.dashboard.pages import part, show
from service.observability import checks

#: Dead letters are counted no further.
_MANY = 100


async def show_home(call: Call[Period]) -> web.Response:
    """How things are."""
    return show(call, "home", any_webhook=bool(await webhooks.newest(call, 1)), **await _facts(call))


async def watch(call: Call[Period]) -> web.StreamResponse:
    """How things are, as they change."""

    async def render() -> str:
        return part(call, "home", **await _facts(call))

    return await stream(call, render)


async def _facts(call: Call[Period]) -> dict[str, Any]:
    found = await stats.report(Call(call.request, call.runtime, call.asked.stats()))
    facts = {"period": call.asked.period, "stats": found, "charts": charts_of(found)}
    return facts | (
        await _for_operators(call) if "operate" in call.principal.scopes else {"checks": [], "letters": "0"}
    )


async def _for_operators(call: Call[Period]) -> dict[str, Any]:
    """What is about the service itself."""
    letters = await dead_letters.count(call, most=_MANY + 1)
    return {"checks": await checks(call.runtime), "letters": f"{_MANY}+" if letters > _MANY else str(letters)}
