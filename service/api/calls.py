"""From a request to the call of a handler, and back: one way for every route.

A route says what it takes and what it gives; handlers see parsed input and return models, and never a raw request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import BaseModel, ValidationError

from delivery.domain.deeds import Deed
from delivery.domain.envelope import MOST_BYTES, read_json, write_json
from delivery.domain.errors import HooklineError, InvalidInput
from delivery.domain.model import Scope
from delivery.store import audit
from delivery.store.engine import Transaction
from delivery.store.reach import Reach
from service.auth import Principal
from service.credentials import Credentials
from service.origin import client_address, over_https
from service.runtime import Runtime

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

#: What a caller must be: anyone at all, anyone but known by name if possible, anyone we know, a person who logged in,
#: or the bearer of a scope. Pages are for people, who are asked to sign in.
Need = Literal["anyone", "visitor", "account", "person", "page", "operators' page"] | Scope
PAGES: frozenset[Need | None] = frozenset({"page", "operators' page"})

#: The scope that each of them takes.
SCOPES: Mapping[Need, Scope] = {
    "publish": "publish",
    "manage": "manage",
    "operate": "operate",
    "page": "manage",
    "operators' page": "operate",
}

AioHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RUNTIME = web.AppKey("runtime", Runtime)
NEEDS = web.AppKey("needs", dict[Any, Need])
FORMS = web.AppKey("forms", dict[Any, int])
PRINCIPAL = web.RequestKey("principal", Principal)
CREDENTIALS = web.RequestKey("credentials", Credentials)
CHARGED = web.RequestKey("charged", int)
_FIELDS = web.RequestKey("fields", dict[str, str])

#: An event with what stands around it in a request: its id, its account.
MOST_BODY = MOST_BYTES + 4096

_FORM = "application/x-www-form-urlencoded"
MOST_FORM = 16 * 1024

#: A form in which an event can be pasted: escaped for the way, each byte may become three, a line break six.
LARGE_FORM = 4 * MOST_BYTES

#: How long a request body may take to come in, in seconds.
PATIENCE_S = 30.0

#: From this size on a body is parsed in a thread, so that other requests get their turns meanwhile.
_LARGE = MOST_BODY

_MESSAGES = {"extra_forbidden": "is not known here", "missing": "is missing"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to one route: who asks is ``principal``, what they ask is ``asked``."""

    request: web.Request
    runtime: Runtime
    asked: T

    @property
    def principal(self) -> Principal:
        """Who is asking. Routes for anyone have none."""
        return self.request[PRINCIPAL]

    @property
    def reach(self) -> Reach:
        """Whose rows the caller may see."""
        return self.principal.reach

    @property
    def address(self) -> str | None:
        """Where the caller calls from."""
        return client_address(self.request, self.runtime.settings.trusted_proxies)

    @property
    def https(self) -> bool:
        """Whether the caller speaks TLS."""
        return over_https(self.request, self.runtime.settings.trusted_proxies)

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.request.match_info["id"]

    def charge(self, events: int) -> None:
        """Note how many events the caller's key was charged."""
        self.request[CHARGED] = events

    async def note(self, tx: Transaction, deed: Deed) -> None:
        """Write down that the caller did this, in the transaction that does it."""
        around = self.runtime.around
        await audit.note(tx, self.principal.by, deed, now=around.clock.now(), luck=around.luck)


Result = BaseModel | web.StreamResponse | None
Handler = Callable[[Call[Any]], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Route:
    """A route: ``takes`` is the model of the body, or of the query where the method is GET.

    ``refuses`` are the statuses of its own with which it can fail, beside those that every route like it has.
    ``by_event``: what no database could keep is refused by the handler, event by event, and not with the whole body.
    """

    method: str
    path: str
    handler: Handler
    need: Need
    summary: str
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    status: int = 200
    media: str = "application/json"
    most_bytes: int = MOST_BODY
    most_form: int = MOST_FORM
    by_event: bool = False
    refuses: tuple[int, ...] = ()


def serving(route: Route) -> AioHandler:
    """Make the handler that aiohttp calls."""

    async def serve(request: web.Request) -> web.StreamResponse:
        asked = await _asked(request, route)
        result = await route.handler(Call(request, request.app[RUNTIME], asked))
        if isinstance(result, web.StreamResponse):
            return result
        return web.Response(status=route.status) if result is None else answer(result, route.status)

    return serve


def answer(model: BaseModel, status: int = 200) -> web.Response:
    """Write a model as JSON."""
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


async def _asked(request: web.Request, route: Route) -> BaseModel | None:
    if route.takes is None:
        return None
    if route.method == "GET":
        # an empty field of a form asks nothing
        return validated(route.takes, {name: value for name, value in request.query.items() if value != ""})
    return await read_body(request, route.takes, route.most_bytes, by_event=route.by_event)


async def read_body(request: web.Request, model: type[M], most_bytes: int = MOST_BODY, *, by_event: bool = False) -> M:
    """Read what a request says in its body; without one, a model that needs nothing."""
    raw = await _read(request, most_bytes)
    if not raw and not any(member.is_required() for member in model.model_fields.values()):
        return validated(model, {})
    return validated(model, await _parsed(raw, most_bytes, by_event=by_event))


def validated(model: type[M], value: Any) -> M:
    """Hold what came in against a model.

    Raises:
        InvalidInput: ``invalid_payload``, with the first member at fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or None
        what = _MESSAGES.get(first["type"], f"is not usable: {first['msg']}")
        raise InvalidInput("invalid_payload", f'"{field or "body"}" {what}', field=field) from error


async def _parsed(raw: bytes, most_bytes: int, *, by_event: bool) -> Any:
    """Parse a body, refusing what no database could keep."""

    def parse() -> Any:
        value = read_json(raw, most_bytes=most_bytes)
        if not by_event:
            write_json(value)
        return value

    return await asyncio.to_thread(parse) if len(raw) > _LARGE else parse()


def is_form(request: web.Request) -> bool:
    """Whether a request comes from a form of a page."""
    return request.content_type == _FORM


async def fields(request: web.Request) -> dict[str, str]:
    """The fields of a form; of any other body there are none, and it is left unread."""
    if not is_form(request):
        return {}
    if _FIELDS not in request:
        most_bytes = request.app[FORMS].get(request.match_info.handler, MOST_FORM)
        raw = await received(request, most_bytes)
        request[_FIELDS] = dict(parse_qsl(raw.decode(errors="replace"), keep_blank_values=True))
    return request[_FIELDS]


async def _read(request: web.Request, most_bytes: int) -> bytes:
    """Read a body of JSON, as it was sent, up to a limit of its route's own."""
    if not request.body_exists:
        return b""
    _refuse_other_types(request.headers, request.content_type, request.charset)
    return await received(request, most_bytes)


async def received(request: web.Request, most_bytes: int) -> bytes:
    """Take a body in as it comes, up to a limit and within ``PATIENCE_S``."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            if (request.content_length or 0) > most_bytes:
                raise BodyTooLargeError(most_bytes)
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most_bytes:
                    raise BodyTooLargeError(most_bytes)
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="The request body took too long") from error
    except web.RequestPayloadError as error:  # wrong framing, or the client broke off
        raise InvalidInput("invalid_payload", "The request body is not complete") from error
    return bytes(body)


def _refuse_other_types(headers: Mapping[str, str], content_type: str, charset: str | None) -> None:
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="Request bodies are taken without compression only")
    json = content_type == "application/json" or content_type.endswith("+json")
    if "Content-Type" in headers and not json:
        raise web.HTTPUnsupportedMediaType(text="Request bodies are application/json")
    if (charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise web.HTTPUnsupportedMediaType(text="Request bodies are UTF-8")


class BodyTooLargeError(HooklineError):
    """More than the route takes."""

    kind = "too_large"

    def __init__(self, most_bytes: int) -> None:
        super().__init__("payload_too_large", f"A request body has at most {most_bytes:,} bytes here")
