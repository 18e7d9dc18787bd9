"""The service with its roles apart on real servers, and the table of what came out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.house import APART, House, open_house
from tests.faults.table import lines
from tests.support.stores import prepare


@pytest.fixture
async def prepared_url(postgres_url: str) -> str:
    """A database with the newest schema on a server that is not stopped."""
    await prepare(postgres_url)
    return postgres_url


@pytest.fixture
async def house(tmp_path: Path, prepared_url: str, rabbit_url: str) -> AsyncIterator[House]:
    """The service on servers that stay well."""
    async with open_house(tmp_path, APART, DATABASE_URL=prepared_url, BUS_URL=rabbit_url) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    rows = [value for report in reports for name, value in report.user_properties if name == "fault"]
    if rows:
        terminalreporter.section("faults")
        for line in lines(sorted(rows, key=lambda row: (row["backend"], row["fault"]))):
            terminalreporter.write_line(line)
