"""Opening the database, and its two kinds of transaction."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ARRAY, Row, Select, String, event, func, literal, select
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Transaction = AsyncConnection

#: A row of whatever columns.
AnyRow = Row[*tuple[Any, ...]]

#: How long PostgreSQL may take to answer a statement.
_PATIENCE_S = 15.0

#: How long a writer on SQLite waits for its turn among us, and then for other processes to let go of the file.
_SQLITE_PATIENCE_S = 10.0

#: How long PostgreSQL lets a transaction of ours rest before it ends it. Whoever began it has long given up then, or is
#: gone without a word, and its locks would hide deliveries from everybody else.
_RESTING_MS = 30_000

#: How long opening connections may take, and closing all of them.
_CONNECT_S = 5.0
_CLOSE_S = 1.0

#: SQLSTATE classes of statements that will never succeed: data exceptions, constraint violations.
_POISON = ("22", "23")


class Store:
    """One database, open."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        sqlite = self.dialect == "sqlite"
        self._one_at_a_time = asyncio.Lock() if sqlite else None
        self._reader = engine if sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Statements that change nothing. On PostgreSQL each one sees what is committed when it starts."""
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Transaction]:
        """One transaction: committed when the block is left, rolled back when it raises."""
        async with self._turn(), self.engine.connect() as connection:
            await connection.execution_options(writing=True)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Stand in line. SQLite has one writer at a time: queueing here is fair, queueing on its file lock is not."""
        if self._one_at_a_time is None:
            yield
            return
        async with asyncio.timeout(_SQLITE_PATIENCE_S):
            await self._one_at_a_time.acquire()
        try:
            yield
        finally:
            self._one_at_a_time.release()

    async def close(self) -> None:
        """Give the connections back."""
        with suppress(TimeoutError):  # a server that says nothing does not say good-bye, either
            async with asyncio.timeout(_CLOSE_S):
                await self.engine.dispose()


def open_store(
    url: str,
    *,
    pool_size: int = 10,
    patience_s: float | None = _PATIENCE_S,
    connect: Callable[..., Awaitable[Any]] | None = None,
) -> Store:
    """Open a database: ``sqlite+aiosqlite:///file`` or ``postgresql+asyncpg://…``. Connects at first use.

    ``patience_s`` bounds each statement; None: it may take as long as it takes. ``connect`` opens SQLite's connections
    in the driver's stead, for a simulation of one. Errors do not quote what statements were called with: it may be a
    secret, and errors are logged.
    """
    if url.startswith("sqlite"):
        how = {"timeout": _SQLITE_PATIENCE_S} | ({"async_creator_fn": connect} if connect else {})
        engine = create_async_engine(url, connect_args=how, hide_parameters=True)
        _prepare_sqlite(engine)
    else:
        settings = {"idle_in_transaction_session_timeout": str(_RESTING_MS)}
        bounds = {"timeout": _CONNECT_S, "command_timeout": patience_s, "server_settings": settings}
        engine = create_async_engine(
            url, pool_size=pool_size, max_overflow=0, hide_parameters=True, connect_args=bounds
        )
        _give_up_silence(engine)
    return Store(engine)


def _give_up_silence(engine: AsyncEngine) -> None:
    """Count a statement without an answer as a lost connection.

    The server may be gone without a word, and another one be there at its address: no connection of the pool is to be
    trusted then, and to ask over this one once more, be it for a rollback, would wait for ever. What is given up is
    dropped at once; by itself the library would say good-bye for two seconds, and each of ours after the other.
    """

    def drop(given_up: Any) -> None:
        given_up.driver_connection.terminate()

    engine.dialect.do_terminate = drop  # type: ignore[assignment] # takes the connection by any name

    @event.listens_for(engine.sync_engine, "handle_error")
    def judge(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, TimeoutError):
            context.is_disconnect = True


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """Write-ahead log, durable commits, and transactions that say at their start whether they will write.

    A transaction that begins as a reader and then writes fails at once when another one wrote in between, and no
    patience helps; ``BEGIN IMMEDIATE`` waits its turn instead.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions by itself, always deferred
        cursor = connection.cursor()
        # The mode belongs to the file. To set it on a new file takes a lock that no patience waits for: whoever finds
        # it taken is beside somebody who sets it this very moment, or leaves it to the next connection.
        with suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def is_poison(error: BaseException) -> bool:
    """True where a statement failed because of its data and would fail again; False where trying again can help."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state is not None:
            return str(state).startswith(_POISON)
        return type(error).__name__ in ("DataError", "IntegrityError")
    # a value that cannot be made a parameter; SQLite's driver says so in Python's own words
    return isinstance(error, (StatementError, UnicodeEncodeError, OverflowError))


def is_database_fault(error: BaseException) -> bool:
    """True where the database could not be reached or could not do its work, whatever was asked of it."""
    return isinstance(error, (DBAPIError, OSError, TimeoutError, PoolTimeoutError)) and not is_poison(error)


async def time_of(tx: Transaction) -> datetime:
    """What time it is for a PostgreSQL server."""
    now: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    return now


def listed(tx: Transaction, values: Iterable[str]) -> Select[Any]:
    """Strings as a one-column query, for ``column.in_(…)``: one parameter, so one statement text for every length."""
    if tx.dialect.name == "sqlite":
        return select(func.json_each(orjson.dumps(list(values)).decode()).table_valued("value").c.value)
    return select(func.unnest(literal(list(values), ARRAY(String))))
