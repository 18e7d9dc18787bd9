"""The description of the API for programs: OpenAPI 3.1, made from the routes and from the models that they use."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from delivery import VERSION
from service.api.calls import Route
from service.api.examples import EXAMPLES, Example
from service.plans import UNMETERED

_REF = "#/components/schemas/{model}"
_PATH_NAME = re.compile(r"{(\w+)}")

_ABOUT = f"""\
Register webhooks, publish events, and see what became of every delivery.

Authenticate with `X-API-Key: tmk_…` or with `Authorization: Bearer` and a key or a session token; `X-API-Key` wins.
Every failure is `{{"error", "code"}}`, with `field` where one input is at fault. Every authenticated answer carries
`X-RateLimit-Limit`, `-Remaining` and `-Reset`: the events that the key may publish in the calendar month (UTC).
Reading and managing costs nothing; what is published with a session token is charged to no key. Where nothing is
counted, limit and remaining are {UNMETERED:,}.

Lists are `{{"items", "next"}}`, newest first; hand `next` back as `cursor` for the rest. Times are UTC."""

_LIMITS = {
    "X-RateLimit-Limit": "Events that the key may publish in this billing period",
    "X-RateLimit-Remaining": "Events that are left of it",
    "X-RateLimit-Reset": "Unix second at which the next period starts",
}

_ERROR = {
    "type": "object",
    "title": "Error",
    "description": "Why a request failed: in words for people, and in a code for programs.",
    "required": ["error", "code"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string", "examples": ["invalid_payload", "not_found", "rate_limited"]},
        "field": {"type": "string", "description": "the input at fault, as a dotted path"},
    },
}


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """Write the document."""
    schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    queries = {route.takes.__name__ for route in routes if route.takes and route.method == "GET"}
    shown = {name: schema for name, schema in schemas.items() if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hookline", "version": VERSION, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": shown | {"Error": _ERROR},
            "headers": {name: {"description": text, "schema": {"type": "integer"}} for name, text in _LIMITS.items()},
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "a session token, or an API key"},
            },
        },
    }


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    wanted: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
    for route in routes:
        wanted += [(route.takes, "validation")] if route.takes else []
        wanted += [(route.gives, "serialization")] if route.gives else []
    _, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    example = EXAMPLES.get(f"{route.method} {route.path}", Example())
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "tags": [tag(route.path)],
        "summary": route.summary,
        "parameters": _parameters(route, schemas, example),
        "responses": _responses(route, example),
        "security": _security(route),
    }
    if route.takes and route.method != "GET":
        required = any(member.is_required() for member in route.takes.model_fields.values())
        content = _schema(route.takes) | ({} if example.body is None else {"example": example.body})
        operation["requestBody"] = {"required": required, "content": {"application/json": content}}
    return operation


def tag(path: str) -> str:
    """The noun that a path is about.

    >>> tag("/api/webhooks/{id}/test"), tag("/healthz")
    ('webhooks', 'operations')
    """
    parts = path.split("/")
    return parts[2] if parts[1] == "api" else "operations"


def _parameters(route: Route, schemas: dict[str, Any], example: Example) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_NAME.findall(route.path)
    ]
    if route.takes and route.method == "GET":
        model = schemas[route.takes.__name__]
        found += [
            {"name": name, "in": "query", "required": name in model.get("required", ()), "schema": schema}
            for name, schema in model["properties"].items()
        ]
    return [
        parameter | ({"example": example.given[parameter["name"]]} if parameter["name"] in example.given else {})
        for parameter in found
    ]


def _responses(route: Route, example: Example) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.gives:
        success["content"] = {route.media: _schema(route.gives) | _answer(example)}
    elif route.media != "application/json":
        success["content"] = {route.media: {"schema": {"type": "string"}} | _answer(example)}
    if route.need != "anyone":
        success["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMITS}
    failures = {str(status): _failure(status) for status in sorted(failure_statuses(route))}
    return {str(route.status): success} | failures


def _answer(example: Example) -> dict[str, Any]:
    if example.answer is None:
        return {}
    summary = "Part of an answer" if example.shortened else "An answer"
    return {"examples": {"answer": {"summary": summary, "value": example.answer}}}


def failure_statuses(route: Route) -> set[int]:
    """With which statuses a route can fail: what every route like it can, and its own.

    500 is none of them: it is a mistake of ours, whenever it comes.
    """
    found = {405, 503, *route.refuses}
    if route.takes is not None:
        found |= {400} if route.method == "GET" else {400, 408, 413, 415}
    if route.need != "anyone":
        found |= {401}
    if route.need not in ("anyone", "account", "person"):
        found |= {403}
    if "{id}" in route.path:
        found |= {404}
    return found


def _failure(status: int) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}},
    }


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.need == "anyone":
        return []
    return [{"bearer": []}] if route.need == "person" else [{"apiKey": []}, {"bearer": []}]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}
