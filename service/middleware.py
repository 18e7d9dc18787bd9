"""What every request passes through: the log line and the clock, the answer to every failure, and who is asking."""

import re
import time
from collections.abc import Mapping
from typing import assert_never

import orjson
import structlog
from aiohttp import web

from consumers.health import BusUnavailable
from delivery.domain.errors import Fault, HooklineError
from delivery.store.engine import is_database_fault
from service.api.calls import CHARGED, NEEDS, PRINCIPAL, RUNTIME, AioHandler, Need
from service.auth import Principal
from service.credentials import Credentials, Forbidden, TooManyLogins, Unauthorised
from service.observability import REQUESTS, SECONDS

_log = structlog.get_logger("hookline")

STATUS: Mapping[Fault, int] = {
    "payload": 400,
    "unauthorised": 401,
    "forbidden": 403,
    "missing": 404,
    "conflict": 409,
    "too_large": 413,
    "unprocessable": 422,
    "limit": 429,
}

#: Answers of the web framework itself: their codes, and what to say where it says nothing but its own name for it.
_FRAMEWORK = {
    404: ("not_found", "No such route"),
    405: ("method_not_allowed", "This route does not know this method"),
    408: ("request_timeout", "The request took too long"),
    413: ("payload_too_large", "The request is too large"),
    415: ("unsupported_media_type", "Request bodies are application/json"),
}

#: When to come back after a 503, in seconds.
_SOON = 5

#: What every answer carries, whoever gives it.
HEADERS = {
    "Server": "Hookline",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
_CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

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
    # probes and scrapes come every few seconds and say the same each time
    tell = _log.info if request.path.startswith("/api") else _log.debug
    principal = request.get(PRINCIPAL)
    tell(
        "http.request",
        method=request.method,
        path=request.path,
        route=route,
        status=response.status,
        duration_ms=round(seconds * 1000, 2),
        remote=request.remote,
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
    response.headers.update(HEADERS)
    response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
    if request.path.startswith("/api"):
        response.headers.setdefault("Cache-Control", "no-store")
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
    """Turn every failure into ``{"error", "code"[, "field"]}``."""
    try:
        return await handler(request)
    except HooklineError as error:
        return _refused(request, error)
    except web.HTTPException as error:
        return of_framework(error)
    except BusUnavailable as error:
        return _unavailable(f"The bus is away: {error}")
    except Exception as error:  # noqa: BLE001 - the last net: whatever it is, the client gets an answer
        if is_database_fault(error):
            _log.warning("database.away", error=type(error).__name__)
            return _unavailable("The database is away; nothing was changed")
        # nobody's mistake but ours: told in full to the log, and not at all to the client
        _log.exception("http.failed")
        return failure(500, "internal_error", "An unexpected error occurred")


def failure(
    status: int, code: str, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Make the answer to a failure. Messages may quote the request, so half a character must not break them."""
    body = {"error": message, "code": code} | ({"field": field} if field is not None else {})
    text = orjson.dumps({name: value.encode(errors="replace").decode() for name, value in body.items()})
    return web.Response(body=text, status=status, content_type="application/json", headers=headers)


def _refused(request: web.Request, error: HooklineError) -> web.Response:
    headers: dict[str, str] = {}
    match error.kind:
        case "unauthorised":
            headers["WWW-Authenticate"] = "Bearer"
        case "limit":
            headers["Retry-After"] = str(_retry_after_s(request, error))
        case "payload" | "forbidden" | "missing" | "conflict" | "unprocessable" | "too_large":
            pass
        case _:
            assert_never(error.kind)
    return failure(STATUS[error.kind], error.code, error.message, field=error.field, headers=headers)


def _retry_after_s(request: web.Request, error: HooklineError) -> int:
    if isinstance(error, TooManyLogins):
        return error.retry_after_s
    resets_at = request[PRINCIPAL].allowance.resets_at
    return max(1, int((resets_at - request.app[RUNTIME].around.clock.now()).total_seconds()))


def of_framework(error: web.HTTPException) -> web.StreamResponse:
    """Say in the words of the API what the web framework says in its own."""
    if error.status < web.HTTPBadRequest.status_code:
        return error
    code, message = _FRAMEWORK.get(error.status, (re.sub(r"\W+", "_", error.reason.lower()), error.reason))
    said = error.text if error.text and error.text != f"{error.status}: {error.reason}" else message
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return failure(error.status, code, said, headers=allow)


def _unavailable(message: str) -> web.Response:
    return failure(503, "unavailable", message, headers={"Retry-After": str(_SOON)})


# -- who is asking -----------------------------------------------------------------------------------------------------


@web.middleware
async def authenticated(request: web.Request, handler: AioHandler) -> web.StreamResponse:
    """Find out who is asking, and whether they may."""
    need = request.app[NEEDS].get(request.match_info.handler)
    credentials = Credentials.of(request.headers)
    if need == "person" and (credentials is None or credentials.kind != "token"):
        raise Unauthorised("missing_token", "Session token required; API keys are managed after logging in")
    # where there is no such route, who shows a key is told about its limits all the same
    if need == "anyone" or (need is None and credentials is None):
        return await handler(request)
    request[PRINCIPAL] = await request.app[RUNTIME].auth.identify(credentials)
    if need is not None:
        _demand(request[PRINCIPAL], need)
    return await handler(request)


def _demand(principal: Principal, need: Need) -> None:
    if need in ("publish", "manage", "operate") and need not in principal.scopes:
        raise Forbidden("forbidden", f'This needs the scope "{need}", which the key or user does not have')
