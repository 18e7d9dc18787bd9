"""The first page: how things are."""

from aiohttp import web

from service.api.calls import Call
from service.dashboard.pages import show


async def show_home(call: Call[None]) -> web.Response:
    """How things are."""
    return show(call, "home")
