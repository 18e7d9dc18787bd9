"""What every test can ask for: a fresh database, a fresh virtual host, on servers started once for the whole run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ

# how long an example takes says something about the machine, not about us
settings.register_profile("hookline", deadline=None)
settings.load_profile("hookline")

_SERVERS = {"postgres": PostgreSQL, "rabbitmq": RabbitMQ}


def _started(kind: type[PostgreSQL] | type[RabbitMQ]) -> PostgreSQL | RabbitMQ:
    server = kind()
    server.start()
    return server


def _names(item: pytest.Item) -> set[str]:
    """The fixtures that a test uses, those that it picks by parameter included."""
    names = set(getattr(item, "fixturenames", ()))
    call = getattr(item, "callspec", None)
    for value in call.params.values() if call else ():
        text = str(value)
        if "postgres" in text:
            names.add("postgres")
        if "rabbit" in text:
            names.add("rabbitmq")
    return names


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that the quick tests can leave it out."""
    for item in items:
        if _names(item) & {"postgres", "rabbitmq", "store"}:
            item.add_marker("servers")


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, "Future[PostgreSQL | RabbitMQ]"]]:
    """Both servers, coming up side by side while the first tests that need one wait for just that one."""
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(_started, kind) for name, kind in _SERVERS.items()}
        yield running
        for server in running.values():
            if server.exception() is None:
                server.result().close()


@pytest.fixture(scope="session")
def postgres(_servers: dict[str, "Future[PostgreSQL | RabbitMQ]"]) -> PostgreSQL:
    server = _servers["postgres"].result()
    assert isinstance(server, PostgreSQL)
    return server


@pytest.fixture(scope="session")
def rabbitmq(_servers: dict[str, "Future[PostgreSQL | RabbitMQ]"]) -> RabbitMQ:
    server = _servers["rabbitmq"].result()
    assert isinstance(server, RabbitMQ)
    return server


@pytest.fixture
async def postgres_url(postgres: PostgreSQL) -> AsyncIterator[str]:
    """A fresh, empty database on PostgreSQL."""
    name = await postgres.create_database()
    yield postgres.url(name)
    await postgres.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh SQLite file."""
    return f"sqlite+aiosqlite:///{tmp_path / 'hookline.db'}"


@pytest.fixture
async def rabbit_url(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """A fresh virtual host on RabbitMQ."""
    name = await asyncio.to_thread(rabbitmq.create_vhost)
    yield rabbitmq.url(name)
    await asyncio.to_thread(rabbitmq.delete_vhost, name)
