"""What the migrations promise: from any schema to the newest one and back, and it is the schema of the tables."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from delivery.store import accounts
from delivery.store.accounts import Account
from delivery.store.engine import Store, open_store
from delivery.store.tables import metadata
from service.schema import _config, migrate, version
from tests.support.clock import NOON
from tests.support.stores import ACCOUNT, opened


@pytest.fixture(params=["sqlite_url", "postgres_url"], ids=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database without any schema."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Store]:
    async with opened(empty_url) as store:
        yield store


def differences(connection: Connection) -> list[Any]:
    """What autogenerate would still have to do."""
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "render_as_batch": connection.dialect.name == "sqlite",
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def names(connection: Connection) -> set[str]:
    """Every table and index, as ``table`` and ``table.index``."""
    seen = inspect(connection)
    tables = seen.get_table_names()
    return set(tables) | {f"{table}.{index['name']}" for table in tables for index in seen.get_indexes(table)}


async def look(store: Store, at: Any) -> Any:
    async with store.reading() as tx:
        return await tx.run_sync(at)


async def test_the_newest_schema_is_that_of_the_tables(empty: Store) -> None:
    await migrate(empty)
    assert await look(empty, differences) == []


async def test_every_index_of_the_tables_is_in_the_database(empty: Store) -> None:
    await migrate(empty)
    wanted = {f"{table.name}.{index.name}" for table in metadata.tables.values() for index in table.indexes}
    assert wanted <= await look(empty, names)


async def test_each_step_goes_up_down_and_up_again(empty: Store) -> None:
    steps = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
    for step in steps:
        await migrate(empty, step)
        after = await look(empty, names)
        await migrate(empty, "-1")
        await migrate(empty, step)
        assert await look(empty, names) == after
    await migrate(empty, "base")
    assert await look(empty, names) <= {"alembic_version"}
    await migrate(empty)
    assert await look(empty, differences) == []


async def test_the_version_says_what_is_there_and_what_is_wanted(empty: Store) -> None:
    before = await version(empty)
    assert (before.found, before.current) == (None, False)
    await migrate(empty)
    after = await version(empty)
    assert (after.found, after.current) == (before.wanted, True)


async def test_migrating_again_changes_nothing_and_keeps_what_is_stored(empty: Store) -> None:
    await migrate(empty)
    account = Account(ACCOUNT, "pro", 100_000, NOON)
    async with empty.writing() as tx:
        await accounts.add_account(tx, account)
    await migrate(empty)
    async with empty.reading() as tx:
        assert await accounts.find_account(tx, ACCOUNT) == account


async def test_many_who_migrate_at_once_in_one_process_do_not_disturb_each_other(empty: Store, empty_url: str) -> None:
    others = [open_store(empty_url) for _ in range(3)]
    await asyncio.gather(*(migrate(store) for store in (empty, *others)))
    assert (await version(empty)).current
    for store in others:
        await store.close()


PROGRAM = """
import asyncio, sys
from delivery.store.engine import open_store
from service.schema import migrate

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = open_store(sys.argv[1])
    await migrate(store)
    await store.close()

asyncio.run(main())
"""


async def test_two_processes_that_migrate_at_once_both_succeed(empty: Store, empty_url: str) -> None:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    command = (sys.executable, "-c", PROGRAM, empty_url)
    programs = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(2)]
    for program in programs:
        assert program.stdout is not None
        assert await program.stdout.readline() == b"ready\n"
    said = await asyncio.gather(*(program.communicate(b"go\n") for program in programs))
    assert [program.returncode for program in programs] == [0, 0], said
    assert await look(empty, differences) == []
