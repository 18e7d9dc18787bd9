"""No secret is compared in a way that tells by its duration how much of a guess was right."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MODULES = [path for room in ("service", "delivery", "consumers") for path in sorted((_ROOT / room).rglob("*.py"))]

#: What a secret, or something computed from one, is called here.
_TELLING = ("digest", "signature", "token", "secret", "password", "csrf", "hmac", "api_key", "hash")

#: What looks like it and is not: nobody from outside has a say in either side.
_AMONG_OURSELVES = {
    "other != secret",  # one endpoint's own secrets
    "before.secrets != after.secrets",  # sealed, and both out of the store
    "said.get(key(decision.instance_id)) != digest",  # of what was decided, then and now
    "sha256(self.before.canonical()) != self.digest",  # of a document, then and now
}


def telling_comparisons(source: str) -> Iterator[str]:
    """Where ``==`` or ``!=`` looks at something of such a name.

    A column is compared by the database, with its index; a number is no secret.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            continue
        sides = [node.left, *node.comparators]
        if not any(_is_column(side) or _is_number(side) for side in sides) and any(_is_telling(side) for side in sides):
            yield ast.unparse(node)


def _is_column(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "c"


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _is_telling(node: ast.expr) -> bool:
    names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    names += [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)]
    return any(word in name.lower() for name in names for word in _TELLING)


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_no_secret_is_compared_with_an_equals_sign(path: Path) -> None:
    assert set(telling_comparisons(path.read_text())) - _AMONG_OURSELVES == set()


def test_every_exception_is_still_one() -> None:
    found = {comparison for path in _MODULES for comparison in telling_comparisons(path.read_text())}
    assert found == _AMONG_OURSELVES


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("expected_signature == shown", 1),
        ("if sign(body, secret) != header: pass", 1),
        ("request.csrf_token == form['token']", 1),
        ("keys.c.digest == digest", 0),
        ("compare_digest(a, b)", 0),
        ("kind == 'token'", 0),
    ],
)
def test_the_search_finds_what_it_is_for(source: str, found: int) -> None:
    assert len(list(telling_comparisons(source))) == found
