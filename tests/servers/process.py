"""Starting a server program, waiting until it answers, ending it."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class ServerError(Exception):
    """A server that cannot be had: missing, or not coming up. A failure of the test run, never a skip."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now.

    It lies below those that connections get by themselves, or one of the thousands that tests make could have it before
    the server does.
    """
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerError("no free port between 20,000 and 32,000")


def program(*candidates: str, package: str) -> str:
    """The first of these programs that is installed."""
    for candidate in candidates:
        found = shutil.which(candidate)
        if found:
            return found
    raise ServerError(f"{candidates[0]} is missing: apt-get install {package} (make test does it)")


def as_user(name: str) -> list[str]:
    """The words that make a command run as another user, when we are root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def give_to(path: Path, name: str) -> None:
    """Let another user own a folder, when we are root."""
    if os.geteuid() == 0:
        shutil.chown(path, name)


def start(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server in a process group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, log: Path, what: str, patience_s: float = 60
) -> None:
    """Ask again and again until the server answers."""
    deadline = time.monotonic() + patience_s
    while not ready():
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            end(process)
            tail = log.read_text(errors="replace")[-2000:]
            raise ServerError(f"{what} did not come up (exit code {code}):\n{tail}")
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes], with_signal: int = signal.SIGTERM, *, patience_s: float = 30) -> None:
    """End the server and everything that it started."""
    for number in (with_signal, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            return
