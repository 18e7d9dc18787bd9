"""What is asked of every answer beside Schemathesis' own checks. Loaded by its command line."""

import os
import re
from typing import Any
from urllib.parse import urlsplit

import schemathesis

#: Words that only the inside of the service uses.
_INTERNALS = re.compile(rb"Traceback|aiohttp|sqlalchemy|asyncpg|sqlite3|pydantic|jsonschema_rs|\.py\b|SELECT |INSERT ")

#: Where everything that could be delivered goes: nothing is sent off this machine.
_RECEIVER = os.environ.get("FUZZ_RECEIVER", "127.0.0.1:9")


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], __: dict[str, Any]) -> None:
    """Let a URL that somebody could be called at lead to this machine; the others are left as they are."""
    body = case.body
    if isinstance(body, dict) and isinstance(url := body.get("url"), str) and (host := _host(url)):
        case.body = body | {"url": url.replace(host, _RECEIVER, 1)}


def _host(url: str) -> str:
    """Host and port of a URL of the web; of any other there is none."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL at all
        return ""
    return parts.netloc if parts.scheme in ("http", "https") else ""


@schemathesis.check
def tells_nothing_of_its_inside(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """No failure shows what the service is made of. What succeeds may quote others: an attempt shows what came back."""
    found = _INTERNALS.search(response.content) if response.status_code >= 400 else None
    assert found is None, f"An answer holds {found[0]!r}"


@schemathesis.check
def wears_its_headers(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Every answer, whatever it is, has the headers that keep browsers from guessing, and no other server's name."""
    assert response.headers["x-content-type-options"] == ["nosniff"]
    assert response.headers["server"] == ["Hookline"]
