"""The database at the start of a program: there, and with the schema that this program wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.engine import make_url

from consumers.patience import pauses
from delivery.store.engine import Store, is_database_fault, open_store
from delivery.telemetry import warn
from service.schema import migrate, version
from service.settings import Settings
from service.trouble import Trouble


class SchemaError(Trouble):
    """The database has another schema than this program wants; the message says how to mend it."""


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Store]:
    """Open the database of the settings for a command.

    Raises:
        SchemaError: it is not at the newest schema. SQLite is brought there by itself.
    """
    store = open_store(settings.database_url, pool_size=1)
    try:
        await prepare(store)
        yield store
    finally:
        await store.close()


async def prepare(store: Store) -> None:
    """See to the schema: bring SQLite to the newest one, ask of PostgreSQL that it is there."""
    if store.dialect == "sqlite":
        await migrate(store)
        return
    found = await version(store)
    if not found.current:
        has = f"has schema {found.found}" if found.found else "has no schema yet"
        raise SchemaError(f"The database {has}, this program wants {found.wanted}: run `hookline migrate`")


async def until_prepared(settings: Settings, report: Callable[[str], None]) -> None:
    """Wait for the database, for as long as it takes; ``report`` is told why it is not usable yet."""
    where = shown(settings.database_url)
    for pause in pauses():
        try:
            async with open_database(settings):
                return
        except Exception as error:
            # away is what servers sometimes are; a file that cannot be opened would not get better by waiting
            if settings.sqlite_file is not None or not is_database_fault(error):
                raise
            report(f"The database {where} is away: {first_line(error)}")
            warn("database.away", database=where, error=first_line(error), again_in_s=pause)
        await asyncio.sleep(pause)


def shown(url: str) -> str:
    """A database's address without its password.

    >>> shown("postgresql+asyncpg://hook:line@db/hookline")
    'postgresql+asyncpg://hook:***@db/hookline'
    """
    return make_url(url).render_as_string(hide_password=True)


def first_line(error: BaseException) -> str:
    """What a driver says, without the statement and the links that follow it."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return said.splitlines()[0].removeprefix("<class '").replace("'>:", ":")
