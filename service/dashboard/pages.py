"""Pages, made on the server from templates; whatever is put into one is escaped."""

from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from service.api.calls import PRINCIPAL, RUNTIME, Call
from service.cookies import CSRF_FIELD
from service.dashboard import words
from service.dashboard.files import address_of

_PAGES = Environment(
    loader=PackageLoader("service.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= words.FILTERS
_PAGES.globals |= {"static": address_of, "csrf_field": CSRF_FIELD}


def page(name: str, *, status: int = 200, **facts: Any) -> web.Response:
    """Make a page for whoever comes from the template of this name."""
    return web.Response(text=_PAGES.get_template(f"{name}.html").render(facts), status=status, content_type="text/html")


def show(call: Call[Any], name: str, *, status: int = 200, **facts: Any) -> web.Response:
    """Make a page for somebody who is signed in."""
    return page(name, status=status, **_frame(call.request), **facts)


def part(call: Call[Any], name: str, **facts: Any) -> str:
    """Make a part of a page: what renews itself while people look at it."""
    return _PAGES.get_template(f"parts/{name}.html").render(**_frame(call.request), **facts)


def problem(request: web.Request, status: int, message: str) -> web.Response:
    """Say what went wrong, where people read it."""
    if PRINCIPAL not in request:
        return page("stranger_problem", status=status, message=message)
    return page("problem", status=status, code=status, message=message, **_frame(request))


def see(path: str) -> web.Response:
    """Send a browser to another page."""
    return web.Response(status=303, headers={"Location": path})


def _frame(request: web.Request) -> dict[str, Any]:
    """What every page needs: who is looking, where they are, and the proof that a change was asked for here."""
    principal = request[PRINCIPAL]
    return {
        "who": principal.user.email if principal.user else principal.account_id,
        "operator": "operate" in principal.scopes,
        "here": request.path,
        "csrf_token": principal.csrf or "",
        "now": request.app[RUNTIME].around.clock.now(),
    }
