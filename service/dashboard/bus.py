"""The bus: what feeds this service and how it is, for operators."""

from aiohttp import web

from consumers.families import DEAD_LETTERS, DEAD_LETTERS_STORE, UNROUTED
from service.api import bus
from service.api.calls import Call
from service.dashboard.live import stream
from service.dashboard.pages import part, show

#: What lies in the queues that belong to no family.
_ABOUT = {
    UNROUTED: "Messages that no consumer wants. Each becomes a dead letter.",
    DEAD_LETTERS: "Dead letters, for people with a broker's tools. Nothing consumes it, by design; it keeps 30 days.",
    DEAD_LETTERS_STORE: "The same dead letters, on their way into the store.",
}


async def show_bus(call: Call[None]) -> web.Response:
    """All of them. The broker is asked once for this page."""
    return show(call, "bus", found=await bus.browse(call), about=_ABOUT)


async def watch(call: Call[None]) -> web.StreamResponse:
    """What can be known without asking the broker, as it changes."""

    async def render() -> str:
        return part(call, "bus", found=await bus.at_a_glance(call))

    return await stream(call, render)
