"""The description of the API: every route is in it, and it is valid."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from service.api.docs import page
from service.api.openapi import describe
from service.app import API, OPERATIONS
from service.dashboard.routes import DASHBOARD
from tests.service.house import House

ROUTES = (*OPERATIONS, *API)
DOCUMENT = describe(ROUTES)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["$ref"],) if "$ref" in value else ()
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


async def test_the_service_describes_itself_to_programs_and_people(house: House) -> None:
    document = await house.stranger.get("/api/openapi.json")
    assert (document.status, document.body) == (200, json.loads(json.dumps(DOCUMENT)))
    people = await house.stranger.get("/api/docs")
    assert people.headers["Content-Type"].startswith("text/html")


async def test_every_route_of_the_application_is_described(house: House) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in house.client.app.router.routes()
        if route.resource is not None
    }
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described | {(route.method, route.path) for route in DASHBOARD}


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)
    for reference in set(_references(DOCUMENT)):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_operations_are_complete_and_told_apart() -> None:
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == len(ROUTES)
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path))
            assert operation["summary"]
            assert {"405", "503"} <= operation["responses"].keys(), "how it can fail is said, status by status"
            assert "500" not in operation["responses"]


#: The way in, what there is to read, and what annotation tools call, each in a way of its own.
OPEN = {"/api/auth/login", "/api/docs", "/api/openapi.json", "/api/inbound/{source}"}


@pytest.mark.parametrize("route", API, ids=lambda route: f"{route.method} {route.path}")
def test_nothing_but_the_way_in_is_open_to_anyone(route: Any) -> None:
    assert (route.need == "anyone") == (route.path in OPEN)


def test_the_page_for_people_needs_nothing_from_elsewhere() -> None:
    text = page(DOCUMENT)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "<script" not in text
    for route in ROUTES:
        assert route.path in text
