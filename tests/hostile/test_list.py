"""The list of hostile inputs: complete, without doubles, and as it is written in the document."""

import json
import re
from pathlib import Path

from tests.hostile.cases import cases_of
from tests.hostile.sections import SECTIONS, table

README = Path(__file__).parents[1] / "README.md"


def test_the_document_shows_the_list_as_it_is() -> None:
    assert table() in README.read_text()


def test_there_are_enough_of_them() -> None:
    assert sum(section.count for section in SECTIONS.values()) >= 220


def test_every_case_has_a_name_of_its_own_and_is_in_its_section() -> None:
    for letter, section in SECTIONS.items():
        ids = [case.id for case in cases_of(section.rows)]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(rf"{letter}\d+[a-z]+", name) for name in ids)


def test_no_input_is_there_twice() -> None:
    for section in SECTIONS.values():
        inputs = [json.dumps([case.expected, case.given], default=repr) for case in cases_of(section.rows)]
        assert len(set(inputs)) == len(inputs), [name for name in inputs if inputs.count(name) > 1]
