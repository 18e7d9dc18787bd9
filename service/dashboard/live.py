"""Parts of a page that renew themselves: sent again, whole, whenever they have changed (server-sent events).

What people see is always what the store says, so nothing is missed and nothing shown twice, whichever process did it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from delivery.store.engine import is_database_fault
from service.api.calls import Call
from service.api.streams import another_look

Render = Callable[[], Awaitable[str]]

#: Looks between two signs of life on a page where nothing changes.
_LOOKS_PER_SIGN = 15


async def stream(call: Call[Any], render: Render) -> web.StreamResponse:
    """Send a part at once, and again with every change, until the page, the session or the service goes."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await answer.prepare(call.request)
    shown: str | None = None
    looks = 0
    try:
        while looks == 0 or await another_look(call):
            part = await _rendered(render, shown)
            if part is not None and part != shown:
                shown = part
                await answer.write(_message(part))
            elif looks % _LOOKS_PER_SIGN == 0:
                await answer.write(b": still here\n\n")
            looks += 1
    except ConnectionError:  # the page was closed, as pages are
        pass
    return answer


async def _rendered(render: Render, before: str | None) -> str | None:
    try:
        return await render()
    except Exception as error:
        # the page shows what it last knew until the database is back
        if not is_database_fault(error):
            raise
        return before


def _message(part: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"event: part\n{lines}\n".encode()
