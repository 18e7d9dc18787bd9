"""The store of a simulation: a real SQLite file, reached through connections that can fail in every way a server can.

``Connection`` is to SQLAlchemy what a connection of aiosqlite is, but has no thread: statements run where they are
called, between two pauses of virtual time. In those pauses things happen: another process takes its turn, this one
dies, the statement or its answer is lost.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine

from delivery.store.engine import Store, open_store
from delivery.store.tables import metadata
from tests.simulation.loop import LIFE, Life
from tests.simulation.troubles import LOST, Step, Troubles

#: How long a writer waits for the turn of another one, as in service.
_PATIENCE_S = 15.0

#: What the watchers of a run see of each commit; written by triggers, so that what is rolled back was never there.
_JOURNAL = """
CREATE TABLE journal (n INTEGER PRIMARY KEY, noun TEXT, id TEXT);
CREATE TRIGGER watch_new_delivery AFTER INSERT ON deliveries
  BEGIN INSERT INTO journal (noun, id) VALUES ('delivery', NEW.id); END;
CREATE TRIGGER watch_delivery AFTER UPDATE ON deliveries
  BEGIN INSERT INTO journal (noun, id) VALUES ('delivery', NEW.id); END;
CREATE TRIGGER watch_gone_delivery AFTER DELETE ON deliveries
  BEGIN INSERT INTO journal (noun, id) VALUES ('delivery', OLD.id); END;
CREATE TRIGGER watch_gone_event AFTER DELETE ON events
  BEGIN INSERT INTO journal (noun, id) VALUES ('event', OLD.id); END;
CREATE TRIGGER watch_new_endpoint AFTER INSERT ON endpoints
  BEGIN INSERT INTO journal (noun, id) VALUES ('endpoint', NEW.id); END;
CREATE TRIGGER watch_endpoint AFTER UPDATE ON endpoints
  BEGIN INSERT INTO journal (noun, id) VALUES ('endpoint', NEW.id); END;
CREATE TRIGGER watch_new_event AFTER INSERT ON events
  BEGIN INSERT INTO journal (noun, id) VALUES ('event', NEW.id); END;
CREATE TRIGGER watch_attempt AFTER INSERT ON attempts
  BEGIN INSERT INTO journal (noun, id) VALUES ('attempt', NEW.id); END;
CREATE TRIGGER watch_new_replay AFTER INSERT ON replays
  BEGIN INSERT INTO journal (noun, id) VALUES ('replay', NEW.id); END;
CREATE TRIGGER watch_replay AFTER UPDATE ON replays
  BEGIN INSERT INTO journal (noun, id) VALUES ('replay', NEW.id); END;
CREATE TRIGGER watch_letter AFTER INSERT ON dead_letters
  BEGIN INSERT INTO journal (noun, id) VALUES ('letter', NEW.id); END;
"""


def make_template(path: Path, accounts: Sequence[str]) -> None:
    """Make the file that every run begins with a copy of: the schema, the journal, and some accounts."""
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.executescript("PRAGMA journal_mode=WAL;" + _JOURNAL)
        connection.executemany(
            "INSERT INTO accounts (id, plan, created_at) VALUES (?, 'enterprise', '2026-01-01 00:00:00.000000')",
            [(account,) for account in accounts],
        )
    connection.close()


class Database:
    """One file for all processes of a run. ``on_commit`` is called after each commit with the life that made it."""

    def __init__(self, path: Path, luck: Random, troubles: Troubles) -> None:
        self.path = path
        self.luck = luck
        self.troubles = troubles
        self.on_commit: Callable[[Life], None] = lambda _: None
        self._connections: dict[Life, list[Connection]] = {}
        self._freed = asyncio.Event()

    async def connect(self, life: Life) -> "Connection":
        """Open a connection."""
        await self.troubles.pass_through("connect", life)
        connection = Connection(self, life)
        self._connections.setdefault(life, []).append(connection)
        return connection

    def abandon(self, life: Life) -> None:
        """Let a process be gone: what it has not committed never was."""
        for connection in self._connections.pop(life, ()):
            connection.drop()

    def free(self) -> None:
        """Tell those who wait for their turn that somebody's has ended."""
        self._freed.set()
        self._freed = asyncio.Event()

    async def turn(self, begin: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Begin to write, as soon as nobody else does."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return begin()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or asyncio.get_running_loop().time() >= deadline:
                    raise
            try:
                async with asyncio.timeout_at(deadline):
                    await self._freed.wait()
            except TimeoutError:  # one last try, whose error is the caller's
                continue
            await asyncio.sleep(self.luck.random() * 0.005)


class Connection:
    """A connection, with the surface of aiosqlite's that SQLAlchemy touches."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life
        self._conn = sqlite3.connect(database.path, timeout=0, isolation_level=None, check_same_thread=False)
        self._connection: sqlite3.Connection | None = self._conn
        self._tx = _AtOnce()
        self.isolation_level: str | None = None

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self._conn.create_function(*arguments, **options)

    def cursor(self) -> "Cursor":
        return Cursor(self)

    async def run(self, sql: str, statement: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Run a statement, if everything goes well."""
        if sql.startswith("PRAGMA"):
            return statement()
        step: Step = "begin" if sql.startswith("BEGIN") else "statement"
        answer = await self._database.troubles.pass_through(step, self._life, lose=self.drop)
        self._look_alive()
        done = await self._database.turn(statement) if sql == "BEGIN IMMEDIATE" else statement()
        await answer()
        return done

    async def commit(self) -> None:
        """Commit, or do not, and say so, or do not."""
        self._look_alive()
        writing = self._conn.in_transaction and self._conn.total_changes > 0
        answer = await self._database.troubles.pass_through("commit", self._life, lose=self.drop)
        self._look_alive()
        self._conn.commit()
        self._database.free()
        if writing:
            self._database.on_commit(self._life)
        await answer()

    async def rollback(self) -> None:
        """Undo. Who is asked for this often has lost the connection already."""
        if self._connection is not None:
            self._conn.rollback()
            self._database.free()

    async def close(self) -> None:
        self.drop()

    def stop(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Close without a word: what was not committed is undone."""
        if self._connection is not None:
            self._connection = None
            self._conn.rollback()  # an open cursor would keep the file locked for as long as there is a reference to it
            self._conn.close()
            self._database.free()

    def _look_alive(self) -> None:
        if self._connection is None:
            raise sqlite3.OperationalError(LOST)


class Cursor:
    """A cursor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor = connection._conn.cursor()

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "Cursor":
        await self._connection.run(sql, lambda: self._cursor.execute(sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> "Cursor":
        await self._connection.run(sql, lambda: self._cursor.executemany(sql, parameters))
        return self

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid


class _AtOnce:
    """Stands where aiosqlite has the queue to its thread."""

    def put_nowait(self, errand: tuple["asyncio.Future[Any]", Callable[[], Any]]) -> None:
        future, function = errand
        future.set_result(function())


async def _connect(*_arguments: Any, **_options: Any) -> Connection:
    life = LIFE.get()
    if life is None:  # outside of everybody's life, before a run: nothing goes wrong and no time passes
        return Connection(_current[-1], Life("nobody"))
    return await _current[-1].connect(life)


#: The database of the run that is being made.
_current: list[Database] = []


@contextmanager
def serving(database: Database) -> Iterator[None]:
    """Let stores that are taken reach this database while the block is open."""
    _current.append(database)
    try:
        yield
    finally:
        _current.pop()


#: Engines know all statements in their compiled form, which takes longer to make than a whole run: so they are kept.
_engines: list[AsyncEngine] = []


def take_store() -> Store:
    """Open a store for one process of a run."""
    return Store(_engines.pop() if _engines else _new_engine())


def _new_engine() -> AsyncEngine:
    """Make an engine that has had its first connection, whose questions would make this run differ from a later one."""
    engine = open_store("sqlite+aiosqlite:///simulated.db", connect=_connect).engine
    acquainting = _acquaint(engine)
    try:
        acquainting.send(None)
    except StopIteration:
        return engine
    raise AssertionError("a connection that nothing happens to waits for nothing")


async def _acquaint(engine: AsyncEngine) -> None:
    connection = await engine.connect().start()
    await connection.close()
    await engine.dispose(close=False)


async def put_back(store: Store) -> None:
    """Let the next run have it, without its connections."""
    await store.engine.dispose(close=False)
    _engines.append(store.engine)
