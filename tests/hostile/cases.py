"""What a hostile case is: a kind of attack, the inputs that try it, and what has to come of each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_lowercase
from typing import Generic, TypeVar

import pytest

Given = TypeVar("Given")
_LONGEST_LABEL = 40

#: The endings of cases of one row: a to z, then za, zb, …
_LETTERS = [*ascii_lowercase, *("".join(pair) for pair in product("z", ascii_lowercase))]


@dataclass(frozen=True)
class Case(Generic[Given]):
    """One input. ``id`` is its row and a letter, such as A14b; ``says`` is a piece of the words of its refusal."""

    id: str
    label: str
    given: Given
    expected: str
    says: str
    why: str


@dataclass(frozen=True)
class Row(Generic[Given]):
    """A line of the list: inputs that try the same thing and end the same way.

    ``expected`` is "accepted", "refused" (at registration, with the field at fault, and nothing stored), "delivered",
    or the error class that the attempt has in the log. Inputs may be given by name where they cannot be read.
    """

    id: str
    what: str
    expected: str
    inputs: Sequence[Given] | Mapping[str, Given]
    says: str = ""
    why: str = ""

    @property
    def cases(self) -> list[Case[Given]]:
        named = self.inputs if isinstance(self.inputs, Mapping) else {_shown(given): given for given in self.inputs}
        assert len(named) == len(self.inputs), f"two inputs of {self.id} are the same"
        return [
            Case(self.id + letter, label, given, self.expected, self.says, self.why)
            for letter, (label, given) in zip(_LETTERS, named.items(), strict=False)
        ]


def _shown(given: object) -> str:
    text = ascii(given)
    return text if len(text) <= _LONGEST_LABEL else f"{text[:26]}...{text[-10:]}"


def cases_of(rows: Sequence[Row[Given]], *expected: str) -> list[Case[Given]]:
    """The cases of some rows, or those of them that end in one of the ways that are named."""
    return [case for row in rows if not expected or row.expected in expected for case in row.cases]


def each(cases: Sequence[Case[Given]]) -> pytest.MarkDecorator:
    """Run a test for each case, under its name."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.id} {case.label}") for case in cases])
