"""The real command line: every call is a process of its own, as people and service managers start it."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.client import ApiError, open_api
from tests.support.polling import until

_ROOT = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-m", "service")
_PATIENCE_S = 60

EMAIL = "ada@example.com"
PASSWORD = "your-password"

#: What PostgreSQL wants beside its address, and what lets deliveries reach this machine.
SETTINGS = {
    "MASTER_KEYS": "k1:" + "A" * 43 + "=",
    "JWT_SECRET": "a secret of at least thirty-two characters",
    "ALLOWED_NETWORKS": "127.0.0.0/8",
    "PORT": "0",
}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Running:
    """A command that goes on; ``out`` and ``err`` are what it has said so far."""

    process: subprocess.Popen[bytes]
    out_file: Path
    err_file: Path
    url: str = ""

    @property
    def out(self) -> str:
        return self.out_file.read_text()

    @property
    def err(self) -> str:
        return self.err_file.read_text()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def listens(self) -> bool:
        """Whether the service has taken its address."""
        return "Listening on " in self.out

    def told(self, event: str) -> list[dict[str, Any]]:
        """The log lines about something."""
        lines = [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, _PATIENCE_S)


@dataclass
class Program:
    """Commands that share a folder and settings; ``environment`` is what is no setting of ours."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def run(self, *words: str, stdin: str = "", **settings: str) -> Done:
        """Run a command to its end."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*_COMMAND, *words],
            cwd=self.folder,
            env=self.environ(settings),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @asynccontextmanager
    async def running(self, *words: str, **settings: str) -> AsyncIterator[Running]:
        """Run a command until the block is left, or it ends by itself."""
        number = next(self._numbers)
        running = self._start(words, settings, self.folder / f"{number}.out", self.folder / f"{number}.err")
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.kill()
            await asyncio.to_thread(running.process.wait)

    def _start(self, words: Sequence[str], settings: dict[str, str], out_file: Path, err_file: Path) -> Running:
        with out_file.open("wb") as out, err_file.open("wb") as err:
            process = subprocess.Popen(
                [*_COMMAND, *words], cwd=self.folder, env=self.environ(settings), stdout=out, stderr=err
            )
        return Running(process, out_file, err_file)

    @asynccontextmanager
    async def serving(self, *words: str, **settings: str) -> AsyncIterator[Running]:
        """Run the service; it is ready when the block begins."""
        async with self.running("serve", *words, **settings) as service:
            await until(lambda: service.listens or service.ended, within_s=_PATIENCE_S, every_s=0.05)
            assert not service.ended, service.err
            service.url = service.out.rpartition("Listening on ")[2].strip()
            await until(lambda: _ready(service.url), within_s=_PATIENCE_S, every_s=0.05)
            self.settings["URL"] = service.url
            yield service

    async def bootstrap(self, *words: str) -> Any:
        """Make an account; its key is what the commands use from now on."""
        done = await self.run("bootstrap", "--email", EMAIL, "--password", PASSWORD, "--json", *words)
        self.settings["API_KEY"] = done.json["api_key"]
        return done.json

    async def register(self, url: str, secret: str = "your-webhook-signing-secret", **wishes: Any) -> Any:
        """Register a webhook for everything, unless the wishes say otherwise."""
        async with open_api(self.settings["URL"], self.settings["API_KEY"]) as api:
            return await api.post("/api/webhooks", {"url": url, "events": ["*"], "secret": secret} | wishes)

    def environ(self, changes: dict[str, str]) -> dict[str, str]:
        """What a command finds in its environment."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
        own = {f"HOOKLINE_{name}": value for name, value in (SETTINGS | self.settings | changes).items()}
        return inherited | {"PYTHONPATH": str(_ROOT)} | own | dict(self.environment)


async def _ready(url: str) -> bool:
    async with open_api(url) as api:
        try:
            await api.get("/readyz")
        except ApiError:
            return False
    return True


def json_lines(events: Sequence[Any]) -> str:
    """Events as a file for `publish`."""
    return "".join(json.dumps(event) + "\n" for event in events)
