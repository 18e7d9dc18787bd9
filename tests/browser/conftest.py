"""The service as a program on each database in turn, and somebody with a browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from delivery.store.engine import Store
from tests.browser.chromium import Person, at_a_page, browsing
from tests.support.program import Program
from tests.support.receiver import Receiver, receiving
from tests.support.stores import database_url, prepared_postgres, store

__all__ = ["database_url", "prepared_postgres", "store"]


@pytest.fixture
async def program(tmp_path: Path, store: Store) -> AsyncIterator[Program]:
    """The service, with an account that may use it, and nothing of the tests before."""
    program = Program(tmp_path, {"DATABASE_URL": store.engine.url.render_as_string(hide_password=False)})
    await program.bootstrap()
    async with program.serving():
        yield program


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest.fixture
async def person(program: Program, browser: Browser) -> AsyncIterator[Person]:
    """Somebody at the first page, who has not signed in."""
    async with at_a_page(browser, program.settings["URL"]) as person:
        await person.goes_to("/")
        yield person
    assert person.faults == [], "the browser has nothing to complain about"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened
