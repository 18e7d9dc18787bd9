"""A fresh store on each database in turn. Import the fixtures in the ``conftest.py`` that needs them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from delivery.domain.model import AccountId
from delivery.store import accounts
from delivery.store.engine import Store, open_store
from delivery.store.tables import metadata
from service.schema import migrate
from tests.servers.postgresql import PostgreSQL
from tests.support.clock import NOON

ACCOUNT = AccountId("acc_1")
NEIGHBOUR = AccountId("acc_2")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """Open a store for as long as the block lasts."""
    store = open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def prepare(url: str) -> None:
    """Bring a database to the newest schema."""
    async with opened(url) as store:
        await migrate(store)


@pytest.fixture(scope="session")
def prepared_postgres(postgres: PostgreSQL) -> Iterator[str]:
    """One database for all tests, emptied before each of them: making a new one takes longer than most of them."""
    name = asyncio.run(postgres.create_database())
    asyncio.run(prepare(postgres.url(name)))
    yield postgres.url(name)
    asyncio.run(postgres.drop_database(name))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with the newest schema."""
    if request.param == "postgresql":
        shared: str = request.getfixturevalue("prepared_postgres")
        return shared
    fresh: str = request.getfixturevalue("sqlite_url")
    asyncio.run(prepare(fresh))
    return fresh


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store that is empty but for two accounts."""
    async with opened(database_url) as store:
        async with store.writing() as tx:
            if store.dialect == "postgresql":
                await tx.execute(text("TRUNCATE " + ", ".join(metadata.tables)))
            for account_id in (ACCOUNT, NEIGHBOUR):
                await accounts.add_account(tx, accounts.Account(account_id, "enterprise", None, NOON))
        yield store
