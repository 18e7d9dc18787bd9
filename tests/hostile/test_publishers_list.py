"""The list of what hostile publishers try, as it is written in the document."""

from pathlib import Path

from tests.hostile.publishers_list import ROWS, table

README = Path(__file__).parents[1] / "README.md"


def test_the_document_shows_the_list_as_it_is() -> None:
    assert table() in README.read_text()


def test_there_are_enough_of_them() -> None:
    assert sum(row.count for row in ROWS) >= 200
