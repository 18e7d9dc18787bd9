"""A service for each module of this room, and the table that `make hostile` ends with."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.hostile.doors import Door, open_door
from tests.hostile.sections import SECTIONS

_CASE = re.compile(r"[\[-]([A-E]\d+[a-z]+) ")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """A service that lets deliveries reach public addresses only."""
    async with open_door(tmp_path_factory.mktemp("service")) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many of the cases held, section by section; a case holds when all of its tests passed."""
    held: dict[str, bool] = defaultdict(lambda: True)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            if found := _CASE.search(report.nodeid):
                held[found[1]] &= outcome == "passed"
    if not held:
        return
    terminalreporter.section("hostile input")
    terminalreporter.write_line(f"{'section':60} {'inputs':>8} {'passed':>8}")
    for letter, section in SECTIONS.items():
        passed = sum(fine for name, fine in held.items() if name[0] == letter)
        terminalreporter.write_line(f"{letter}. {section.what[:56]:57} {section.count:8} {passed:8}")
    everything = sum(section.count for section in SECTIONS.values())
    terminalreporter.write_line(f"{'all of them':60} {everything:8} {sum(held.values()):8}")
