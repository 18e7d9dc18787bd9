"""What every request passes through: the log line and the clock, the answer to every failure, and who is asking."""

import re
import time
from collections.abc import Mapping
from urllib.parse import quote

import orjson
import structlog
from aiohttp import web

from consumers.health import BusUnavailable
from consumers.sources.remote import SourceTroubleError
from delivery.domain.errors import HooklineError
from delivery.store.engine import is_database_fault
from service.api.calls import CHARGED, CREDENTIALS, NEEDS, PAGES, PRINCIPAL, RUNTIME, SCOPES, AioHandler, Need, fields
from service.auth import Principal
from service.cookies import CSRF_FIELD, CSRF_HEADER, is_change, read_session, refuse_forged
from service.credentials import Credentials, Forbidden, Unauthorised
from service.dashboard.pages import problem, see
from service.failures import failure, of_framework, refused, unavailable
from service.headers import protect
from service.observability import REQUESTS, SECONDS
from service.origin import client_address, over_https
from service.platform import PlatformAway

_log = structlog.get_logger("hookline")

_QUIET = ("/healthz", "/readyz", "/metrics", "/static/")

#: What can be away, and what is lost with it for the moment.
_AWAY: Mapping[type[Exception], str] = {
    BusUnavailable: "bus",
    PlatformAway: "platform that issues tokens",
    SourceTroubleError: "source",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REQUEST_ID = web.RequestKey("request_id", str)


# -- the log line ------------------------------------------------------------------------------------------------------


@web.middleware
async def observed(request: web.Request, handler: AioHandler) -> web.StreamResponse:
    """Time a request, count it, and write one line about it. The query stays out: it may hold anything."""
    started = time.perf_counter()
    request[REQUEST_ID] = _request_id(request)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request[REQUEST_ID])
    response = await handler(request)
    seconds = time.perf_counter() - started
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    # methods are the client's own words: only those of a route may become a label
    REQUESTS.labels(request.method if resource is not None else "other", route, response.status).inc()
    SECONDS.labels(route).observe(seconds)
    # probes and scrapes come every few seconds and say the same each time, files say nothing
    tell = _log.debug if request.path.startswith(_QUIET) else _log.info
    principal = request.get(PRINCIPAL)
    tell(
        "http.request",
        method=request.method,
        path=request.path,
        route=route,
        status=response.status,
        duration_ms=round(seconds * 1000, 2),
        remote=client_address(request, request.app[RUNTIME].settings.trusted_proxies),
        account_id=principal.account_id if principal else None,
        key_id=principal.key.id if principal and principal.key else None,
        user_id=principal.user.id if principal and principal.user else None,
    )
    return response


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    if _REQUEST_ID.fullmatch(given):
        return given
    return f"{request.app[RUNTIME].around.luck.getrandbits(64):016x}"


async def adorn(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer has, just before it goes out, streams included."""
    protect(response, https=over_https(request, request.app[RUNTIME].settings.trusted_proxies))
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    principal = request.get(PRINCIPAL)
    if principal is not None:
        allowance = principal.allowance
        remaining = allowance.remaining - (request.get(CHARGED, 0) if principal.meter else 0)
        response.headers["X-RateLimit-Limit"] = str(allowance.limit)
        response.headers["X-RateLimit-Remaining"] = str(max(0, remaining))
        response.headers["X-RateLimit-Reset"] = str(int(allowance.resets_at.timestamp()))


# -- failures ----------------------------------------------------------------------------------------------------------


@web.middleware
async def answered(request: web.Request, handler: AioHandler) -> web.StreamResponse:
    """Turn every failure into ``{"error", "code"[, "field"]}``, and those of pages into pages."""
    try:
        return await handler(request)
    except HooklineError as error:
        return _shown(request, refused(request, error))
    except web.HTTPException as error:
        return of_framework(error)
    except tuple(_AWAY) as error:
        what = next(what for kind, what in _AWAY.items() if isinstance(error, kind))
        return _shown(request, unavailable(f"The {what} is away: {error}"))
    except Exception as error:  # noqa: BLE001 - the last net: whatever it is, the client gets an answer
        if is_database_fault(error):
            _log.warning("database.away", error=type(error).__name__)
            return _shown(request, unavailable("The database is away; nothing was changed"))
        # nobody's mistake but ours: told in full to the log, and not at all to the client
        _log.exception("http.failed")
        return _shown(request, failure(500, "internal_error", "An unexpected error occurred"))


def _shown(request: web.Request, answer: web.Response) -> web.Response:
    """The same answer, for people where they asked for a page."""
    if request.app[NEEDS].get(request.match_info.handler) not in PAGES:
        return answer
    page = problem(request, answer.status, orjson.loads(answer.text or "")["error"])
    page.headers.extend({name: value for name, value in answer.headers.items() if name == "Retry-After"})
    return page


# -- who is asking -----------------------------------------------------------------------------------------------------


@web.middleware
async def authenticated(request: web.Request, handler: AioHandler) -> web.StreamResponse:
    """Find out who is asking, and whether they may."""
    need = request.app[NEEDS].get(request.match_info.handler)
    https = over_https(request, request.app[RUNTIME].settings.trusted_proxies)
    credentials = Credentials.of(request.headers, read_session(request, https=https))
    if need == "person" and (credentials is None or credentials.kind != "token"):
        raise Unauthorised("missing_token", "Session token required; API keys are managed after logging in")
    # where there is no such route, who shows a key is told about its limits all the same
    if need == "anyone" or (need in (None, "visitor") and credentials is None):
        return await handler(request)
    # pages are for people: by way of them a key could make itself another one
    if need in PAGES and (credentials is None or credentials.kind != "token"):
        return _to_sign_in(request)
    if credentials is not None:
        request[CREDENTIALS] = credentials
    try:
        principal = await request.app[RUNTIME].auth.identify(credentials)
    except Unauthorised:
        if need in PAGES:
            return _to_sign_in(request)
        if need != "visitor":
            raise
        return await handler(request)  # who was known once may come in as a stranger
    request[PRINCIPAL] = principal
    if credentials is not None and credentials.from_cookie and is_change(request):
        refuse_forged(request, principal.csrf, await _shown_token(request))
    if need is not None:
        _demand(principal, need)
    return await handler(request)


def _to_sign_in(request: web.Request) -> web.Response:
    """Let a person sign in, and come back to what they wanted to see."""
    wanted = request.path_qs if request.method == "GET" else "/"
    return see("/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='')}")


async def _shown_token(request: web.Request) -> str:
    """The proof that a page of ours asked: a script puts it into a header, a form into a field."""
    shown = request.headers.get(CSRF_HEADER)
    return shown if shown is not None else (await fields(request)).get(CSRF_FIELD, "")


def _demand(principal: Principal, need: Need) -> None:
    scope = SCOPES.get(need)
    if scope is not None and scope not in principal.scopes:
        raise Forbidden("forbidden", f'This needs the scope "{scope}", which the key or user does not have')
