"""The table of faults in the README of the tests is the list of the cases."""

import re
from pathlib import Path

from tests.faults.table import cases

README = Path(__file__).parents[1] / "README.md"


def test_the_table_in_the_readme_has_a_line_for_each_case_and_no_other() -> None:
    section = re.split(r"^## ", README.read_text(), flags=re.MULTILINE)
    (faults,) = [part for part in section if part.startswith("Faults\n")]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in faults.splitlines() if line[:1] == "|"]
    assert {row[:2] for row in rows[2:]} == cases()
    assert {row[-1] for row in rows[2:]} == {"0"}, "lost"
