"""A private PostgreSQL."""

import asyncio
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import asyncpg

from tests.servers import process

_USER = "postgres"
_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class PostgreSQL:
    """One cluster. ``durable`` makes it flush to disk as in service; without it tests are quicker.

    ``segment_mib`` is how large the files of its write-ahead log are.
    """

    def __init__(self, *, durable: bool = False, segment_mib: int = 16) -> None:
        self._durable = durable
        self._segment_mib = segment_mib
        self._folder = tempfile.TemporaryDirectory(prefix="hookline-postgresql-", ignore_cleanup_errors=True)
        self._root = Path(self._folder.name)
        self._log = self._root / "server.log"
        self.port = process.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster, if it is not there, and start it."""
        data = self._root / "data"
        if not data.exists():
            self._root.chmod(0o755)
            process.give_to(self._root, _USER)
            command = [*process.as_user(_USER), self._program("initdb"), "-D", str(data), "-U", _USER, "-A", "trust"]
            command += ["-E", "UTF8", "--no-sync", f"--wal-segsize={self._segment_mib}"]
            subprocess.run(command, check=True, capture_output=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._root),
            "max_connections": "300",
            "shared_buffers": "256MB",
            "fsync": "on" if self._durable else "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*process.as_user(_USER), self._program("postgres"), "-D", str(data), *options]
        self._process = process.start(command, log=self._log)
        process.wait_until(self._ready, self._process, log=self._log, what="PostgreSQL")

    def stop(self, *, hard: bool = False) -> None:
        """Stop it: ending sessions, or, ``hard``, as if the power had failed."""
        if self._process is not None:
            process.end(self._process, signal.SIGQUIT if hard else signal.SIGINT)
            self._process = None

    def move(self) -> None:
        """Stop it as if the power had failed, and start it at another address."""
        self.stop(hard=True)
        self.port = process.free_port()
        self.start()

    def let_files_grow(self, most_bytes: int | None) -> None:
        """Let none of its files grow any larger, as on a full disk; None: let them grow again.

        A size that is no multiple of a page makes the server say "disk full" when it writes a part of one.
        """
        assert self._process is not None
        postmaster = self._process.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        limit = f"--fsize={'unlimited' if most_bytes is None else most_bytes}:"
        for pid in (str(postmaster), *children):
            subprocess.run([*process.as_user(_USER), "prlimit", "--pid", pid, limit], check=False, capture_output=True)

    def close(self) -> None:
        """Stop it and forget its data."""
        self.stop()
        self._folder.cleanup()

    def url(self, database: str) -> str:
        """The URL of a database for SQLAlchemy."""
        return f"postgresql+asyncpg://{_USER}@127.0.0.1:{self.port}/{database}"

    async def create_database(self) -> str:
        """Make an empty database; return its name."""
        name = f"test_{uuid.uuid4().hex}"
        await self.administer(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return name

    async def drop_database(self, name: str) -> None:
        """Drop a database, whoever still uses it."""
        await self.administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def administer(self, statement: str) -> str:
        """Run a statement outside of every test's database."""
        connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user=_USER, database="postgres")
        try:
            result: str = await connection.execute(statement)
        finally:
            await connection.close()
        return result

    def _ready(self) -> bool:
        try:
            asyncio.run(self.administer("SELECT 1"))
        except (OSError, asyncpg.PostgresError):  # not listening yet, or still starting up
            return False
        return True

    @staticmethod
    def _program(name: str) -> str:
        return process.program(*(str(folder / name) for folder in reversed(_BIN)), name, package="postgresql")
