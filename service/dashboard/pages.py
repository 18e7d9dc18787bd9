"""Pages, made on the server from templates; whatever is put into one is escaped. And the files that they use."""

from functools import cache
from importlib.resources import files
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from service.api.calls import Call

_PAGES = Environment(loader=PackageLoader("service.dashboard"), autoescape=True, undefined=StrictUndefined)

#: How long a browser may keep a file before it asks again, in seconds.
_KEPT_S = 300


def page(name: str, **facts: Any) -> web.Response:
    """Make a page from the template of this name."""
    return web.Response(text=_PAGES.get_template(f"{name}.html").render(facts), content_type="text/html")


def see(path: str) -> web.Response:
    """Send a browser to another page."""
    return web.Response(status=303, headers={"Location": path})


async def stylesheet(_: Call[None]) -> web.Response:
    """How all pages look, the description of the API too."""
    response = web.Response(text=_stylesheet(), content_type="text/css")
    response.headers["Cache-Control"] = f"public, max-age={_KEPT_S}"
    return response


@cache
def _stylesheet() -> str:
    return files("service.dashboard").joinpath("static/hookline.css").read_text()
