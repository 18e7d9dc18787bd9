"""Bringing the database to the newest schema."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import migrations
from delivery.store.engine import Store


@dataclass(frozen=True, slots=True)
class Version:
    """The schema that a database has and the one that this program wants."""

    found: str | None
    wanted: str | None

    @property
    def current(self) -> bool:
        """Whether they agree."""
        return self.found == self.wanted


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


async def migrate(store: Store, revision: str = "head", on_step: Callable[[str], None] = lambda _: None) -> None:
    """Go to a revision, up or down. Several processes may try at once: the steps are one transaction.

    ``on_step`` is told of every step that was made, in words.
    """
    async with store.writing() as tx:
        await tx.run_sync(lambda connection: _move(connection, revision, on_step))


def _move(connection: Connection, revision: str, on_step: Callable[[str], None]) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7210914406181)")  # any number, the same for all of us
    move = command.downgrade if revision == "base" or revision.startswith("-") else command.upgrade
    config = _config(connection)
    config.attributes["on_step"] = lambda step, **_: on_step(f"{step.up_revision.revision} {step.up_revision.doc}")
    move(config, revision)


async def steps_ahead(found: str | None) -> int:
    """How many steps a database with this revision is from the newest schema."""
    script = ScriptDirectory.from_config(_config())
    return await asyncio.to_thread(lambda: len(list(script.iterate_revisions("head", found or "base"))))


async def version(store: Store) -> Version:
    """Compare the database with the program."""
    async with store.reading() as tx:
        found = await tx.run_sync(lambda connection: MigrationContext.configure(connection).get_current_revision())
    wanted = await asyncio.to_thread(lambda: ScriptDirectory.from_config(_config()).get_current_head())
    return Version(found, wanted)
