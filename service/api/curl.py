"""An operation of the description as a line for a terminal."""

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

#: Longer bodies are written over several lines.
_WIDTH = 80


def command(method: str, path: str, operation: Mapping[str, Any]) -> str:
    r"""The operation with its example, asked of the service and with the key that the environment names.

    >>> limit = {"name": "limit", "in": "query", "example": 1}
    >>> print(command("GET", "/api/keys", {"parameters": [limit], "security": [{"bearer": []}], "responses": {}}))
    curl "$HOOKLINE_URL/api/keys?limit=1" \
      -H "Authorization: Bearer $TOKEN"
    """
    verb = "" if method == "GET" else f"-X {method} "
    endless = "-N " if _is_stream(operation) else ""
    lines = [f'curl {endless}{verb}"$HOOKLINE_URL{_target(path, operation)}"', *_credentials(operation)]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_written(body))}"]
    return " \\\n  ".join(lines)


def _is_stream(operation: Mapping[str, Any]) -> bool:
    return any("text/event-stream" in response.get("content", {}) for response in operation["responses"].values())


def _target(path: str, operation: Mapping[str, Any]) -> str:
    given = [parameter for parameter in operation["parameters"] if "example" in parameter]
    for parameter in given:
        path = path.replace(f"{{{parameter['name']}}}", quote(str(parameter["example"]), safe=""))
    query = urlencode([(one["name"], one["example"]) for one in given if one["in"] == "query"], safe=":,*")
    return f"{path}?{query}" if query else path


def _credentials(operation: Mapping[str, Any]) -> list[str]:
    ways = [next(iter(way)) for way in operation["security"]]
    if not ways:
        return []
    return ['-H "X-API-Key: $HOOKLINE_API_KEY"' if "apiKey" in ways else '-H "Authorization: Bearer $TOKEN"']


def _written(body: Any) -> str:
    line = json.dumps(body, ensure_ascii=False)
    return line if len(line) <= _WIDTH else json.dumps(body, ensure_ascii=False, indent=2)
