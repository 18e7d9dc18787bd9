"""SECURITY.md names a test for every threat, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT

_TEXT = (ROOT / "SECURITY.md").read_text()
_NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", _TEXT)))
_STRIDE = (
    "Spoofing",
    "Tampering",
    "Repudiation",
    "Information disclosure",
    "Denial of service",
    "Elevation of privilege",
)
_PARTS = {"publishers", "API", "dashboard", "deliveries", "sources", "store", "operators", "supply chain", "all"}


def _tests_of(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }


def _rows(kind: str) -> list[list[str]]:
    """The rows of the table under the heading of one kind of threat."""
    section = _TEXT.partition(f"### {kind}: ")[2].partition("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]


@pytest.mark.parametrize(("path", "name"), _NAMED)
def test_every_test_that_holds_a_threat_exists(path: str, name: str) -> None:
    assert name in _tests_of(ROOT / path)


@pytest.mark.parametrize("kind", _STRIDE)
def test_every_threat_of_every_kind_has_a_part_something_that_holds_it_and_a_test(kind: str) -> None:
    rows = _rows(kind)
    assert rows
    for part, threat, holds, shown in rows:
        assert part in _PARTS
        assert threat
        assert holds
        assert re.fullmatch(r"(`tests/[\w/]+\.py::\w+` ?)+", shown), threat


def test_every_part_has_its_threats() -> None:
    assert {part for kind in _STRIDE for part, *_ in _rows(kind)} == _PARTS
