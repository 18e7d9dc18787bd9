"""Time and chance are handed in: that is why a test can say what time it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import delivery

ROOM = Path(delivery.__file__).parent
SOURCES = sorted(ROOM.rglob("*.py"))

#: What would read the machine's clock or throw its dice. How long something takes is measured by ``perf_counter``.
FORBIDDEN = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "monotonic"},
    "os": {"urandom"},
    "uuid": {"uuid1", "uuid4"},
    "random": {"random", "randint", "choice", "uniform", "getrandbits", "Random", "SystemRandom"},
    "secrets": {"token_bytes", "token_hex", "token_urlsafe", "randbelow"},
}


def calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every ``module.function`` that is called."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            yield node.func.value.id, node.func.attr


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOM)))
def test_no_part_of_the_trade_looks_at_the_machines_clock_or_throws_its_dice(source: Path) -> None:
    tree = ast.parse(source.read_text())
    assert [call for call in calls(tree) if call[1] in FORBIDDEN.get(call[0], ())] == []
    imported = {
        (node.module, name.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    assert [pair for pair in imported if pair[1] in FORBIDDEN.get(pair[0] or "", ())] == []
