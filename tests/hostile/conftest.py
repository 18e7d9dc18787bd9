"""A service for each module of this room, and the table that `make hostile` ends with."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from tests.hostile.doors import Door, open_door
from tests.hostile.sections import SECTIONS

_MEET_RECEIVERS = ("test_answers.py", "test_certificates.py", "test_stories.py", "test_names.py")
_CASE = re.compile(r"[\[-]([A-E]\d+[a-z]+) ")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Meet receivers and name servers on the event loop of `serve`: sockets and TLS differ there."""
    loop = uvloop.new_event_loop if item.path.name in _MEET_RECEIVERS else asyncio.new_event_loop
    return {loop.__module__.split(".")[0]: loop}


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
