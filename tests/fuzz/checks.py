"""What is asked of every answer beside Schemathesis' own checks. Loaded by its command line."""

import re
from typing import Any

import schemathesis

#: Words that only the inside of the service uses.
_INTERNALS = re.compile(rb"Traceback|aiohttp|sqlalchemy|asyncpg|sqlite3|pydantic|jsonschema_rs|\.py\b|SELECT |INSERT ")


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
