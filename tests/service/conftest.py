"""A house on each database in turn, an account in it, and a receiver to deliver to."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest
import structlog
from argon2 import PasswordHasher

from delivery.store.engine import Store
from tests.service.house import Account, House, open_house
from tests.support.receiver import Receiver, receiving
from tests.support.stores import database_url, prepared_postgres, store

__all__ = ["database_url", "prepared_postgres", "store"]


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost next to nothing; how slow they are in service is not what these tests are about."""
    monkeypatch.setattr(
        "service.credentials.PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    )


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was logged since the last look; commands that run in this process may have set up logging otherwise."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield lambda: capsys.readouterr().out
    structlog.configure(**before)


@pytest.fixture
def address(store: Store) -> str:
    """The URL of a database with the newest schema and nobody's rows in it."""
    return store.engine.url.render_as_string(hide_password=False)


@pytest.fixture
async def house(address: str) -> AsyncIterator[House]:
    """The service, at noon."""
    async with open_house(address) as opened:
        yield opened


@pytest.fixture
async def ada(house: House) -> Account:
    """A customer who is not metered."""
    return await house.account()


@pytest.fixture
async def operator(house: House) -> Account:
    """Somebody who runs the service."""
    return await house.account("operator@example.com", operator=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A customer's receiver."""
    async with receiving() as opened:
        yield opened
