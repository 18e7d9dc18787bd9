"""The table of faults: a case names its line, and what came out is printed when all of them have run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

import tests.faults
from tests.faults.reckoning import Reckoning

BOTH_SERVERS = "PostgreSQL, RabbitMQ"
EMBEDDED = "SQLite, in-process bus"

_HEAD = ("fault", "backend", "published", "received", "repeated", "lost")


def fault(name: str, backend: str = BOTH_SERVERS) -> pytest.MarkDecorator:
    """Say which line of the table a case is."""
    return pytest.mark.fault(name, backend)


def enter(request: pytest.FixtureRequest, came_out: Reckoning) -> None:
    """Write a case's line."""
    name, backend = request.node.get_closest_marker("fault").args
    figures = asdict(came_out) | {"lost": came_out.lost}
    request.node.user_properties.append(("fault", {"fault": name, "backend": backend} | figures))


def lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The table, as it stands in the README of the tests.

    >>> list(lines([]))
    ['| fault | backend | published | received | repeated | lost |', '|---|---|---|---|---|---|']
    """
    yield f"| {' | '.join(_HEAD)} |"
    yield "|" + "---|" * len(_HEAD)
    for row in rows:
        yield f"| {' | '.join(str(row[name]) for name in _HEAD)} |"


def cases() -> set[tuple[str, str]]:
    """Fault and backend of every case that there is."""
    modules = [import_module(f"tests.faults.{module.name}") for module in iter_modules(tests.faults.__path__)]
    tests_of = [one for module in modules for name, one in vars(module).items() if name.startswith("test_")]
    marks = [mark for test in tests_of for mark in getattr(test, "pytestmark", ())]
    return {mark.args for mark in marks if mark.name == "fault"}
