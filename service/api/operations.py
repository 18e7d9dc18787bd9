"""What operators and their machines ask: alive, ready, metrics, and how the API looks."""

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web
from pydantic import RootModel

from service.api.calls import Call, answer
from service.api.shapes import Shape
from service.observability import checks, metrics_page

#: The descriptions of the API, made once when the application is built.
OPENAPI = web.AppKey("openapi", bytes)
DOCS = web.AppKey("docs", str)


class Alive(Shape):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(Shape):
    """Whether the service is able to work; each check is "ok" or says what is missing."""

    status: Literal["ready", "not ready"]
    checks: Mapping[str, str]


class NotReady(Readiness):
    """Why the service is not able to work."""

    error: str
    code: Literal["not_ready"] = "not_ready"


class Description(RootModel[dict[str, Any]]):
    """The API, as OpenAPI 3.1 describes it."""


async def healthz(_: Call[None]) -> Alive:
    """Say that the process is alive, and nothing else: a database that is away is no reason to restart it."""
    return Alive()


async def readyz(call: Call[None]) -> web.Response:
    """Say whether the service is able to work, and what is missing."""
    done = await checks(call.runtime)
    found = {check.name: check.missing or "ok" for check in done}
    missing = [f"{check.name} {check.missing}" for check in done if check.missing]
    if missing:
        return answer(NotReady(status="not ready", checks=found, error=f"Not ready: {'; '.join(missing)}"), 503)
    return answer(Readiness(status="ready", checks=found))


async def metrics(call: Call[None]) -> web.Response:
    """Write the metrics."""
    body, content_type = await metrics_page(call.runtime)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def openapi(call: Call[None]) -> web.Response:
    """Describe the API to programs."""
    return web.Response(body=call.request.app[OPENAPI], content_type="application/json")


async def docs(call: Call[None]) -> web.Response:
    """Describe the API to people."""
    return web.Response(text=call.request.app[DOCS], content_type="text/html")
