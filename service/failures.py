"""The answer to every failure: ``{"error", "code"[, "field"]}``, with the status and the headers that belong to it."""

import re
from collections.abc import Mapping
from typing import assert_never

import orjson
from aiohttp import web

from consumers.sources.connector import Unauthorised as Unproven
from delivery.domain.errors import Fault, HooklineError, QuotaExceeded
from service.api.calls import PRINCIPAL, RUNTIME
from service.credentials import TooManyLogins

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


def failure(
    status: int, code: str, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Make the answer to a failure. Messages may quote the request, so half a character must not break them."""
    body = {"error": message, "code": code} | ({"field": field} if field is not None else {})
    text = orjson.dumps({name: value.encode(errors="replace").decode() for name, value in body.items()})
    return web.Response(body=text, status=status, content_type="application/json", headers=headers)


def refused(request: web.Request, error: HooklineError) -> web.Response:
    """The answer to what the sender can mend."""
    headers: dict[str, str] = {}
    match error.kind:
        case "unauthorised":
            headers["WWW-Authenticate"] = error.challenge if isinstance(error, Unproven) else "Bearer"
        case "limit":
            headers |= _retry_after(request, error)
        case "payload" | "forbidden" | "missing" | "conflict" | "unprocessable" | "too_large":
            pass
        case _:
            assert_never(error.kind)
    return failure(STATUS[error.kind], error.code, error.message, field=error.field, headers=headers)


def _retry_after(request: web.Request, error: HooklineError) -> dict[str, str]:
    """When trying again can help, in seconds; nothing where it does not."""
    match error:
        case TooManyLogins():
            return {"Retry-After": str(error.retry_after_s)}
        case QuotaExceeded():
            resets_at = request[PRINCIPAL].allowance.resets_at
            wait_s = int((resets_at - request.app[RUNTIME].around.clock.now()).total_seconds())
            return {"Retry-After": str(max(1, wait_s))}
        case _:
            return {}


def of_framework(error: web.HTTPException) -> web.StreamResponse:
    """The answer of the web framework, in our words."""
    if error.status < web.HTTPBadRequest.status_code:
        return error
    code, message = _FRAMEWORK.get(error.status, (re.sub(r"\W+", "_", error.reason.lower()), error.reason))
    said = error.text if error.text and error.text != f"{error.status}: {error.reason}" else message
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return failure(error.status, code, said, headers=allow)


def unavailable(message: str) -> web.Response:
    """The answer while something that is needed is away."""
    return failure(503, "unavailable", message, headers={"Retry-After": str(_SOON)})
