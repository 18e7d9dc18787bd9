"""What the README shows is what happens."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from delivery.domain.signing import seed_signature, standard_secret, standard_signature
from tests.documents.blocks import ROOT, blocks
from tests.servers.process import free_port

_README_BLOCKS = {
    "See it": 2,
    "Five minutes to a verified webhook": 5,
    "Verifying a signature": 1,
}


def test_every_block_of_the_readme_is_run_by_a_test_below() -> None:
    assert {heading: len(found) for heading, found in blocks("README.md", "sh").items()} == _README_BLOCKS
    assert {heading: len(found) for heading, found in blocks("README.md", "python").items()} == {
        "Verifying a signature": 2
    }


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


_SHELL = ("bash", "-euo", "pipefail", "-c")


def _environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **settings}


def _run(line: str, folder: Path, **settings: str) -> str:
    environment = _environment(folder, settings)
    done = subprocess.run([*_SHELL, line], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextmanager
def _shell(script: str, folder: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A shell with what it starts in the background; all of it ends with the block."""
    with subprocess.Popen(
        [*_SHELL, script],
        cwd=folder,
        env=_environment(folder, settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.slow
def test_five_minutes_lead_to_a_verified_webhook(tmp_path: Path) -> None:
    port, receiver = free_port(), free_port()
    steps = blocks("README.md", "sh")["Five minutes to a verified webhook"]
    ready = (
        f"until curl -sf http://127.0.0.1:{port}/readyz >/dev/null; do sleep 0.1; done",
        "",
        f"until curl -s http://127.0.0.1:{receiver}/ >/dev/null; do sleep 0.1; done",
        "",
        "",
    )
    script = "\n".join(step + wait for step, wait in zip(steps, ready, strict=True)) + "\nsleep 30"
    script = script.replace(":8080", f":{port}").replace("9000", str(receiver))
    lines = []
    with _shell(script, tmp_path, HOOKLINE_PORT=str(port), COLUMNS="200") as shell:
        assert shell.stdout is not None
        deadline = time.monotonic() + 60
        for line in shell.stdout:
            lines.append(line)
            seen = "".join(lines)
            if "verif" in seen and re.search(r"dlv_\w+.*annotation\.completed|annotation\.completed.*dlv_\w+", seen):
                return
            assert time.monotonic() < deadline, seen
    pytest.fail("the shell ended early:\n" + "".join(lines))


def test_a_change_of_the_schema_is_written_as_contributing_says(tmp_path: Path) -> None:
    _, steps = blocks("CONTRIBUTING.md", "sh")["Contributing"]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    before = set((tmp_path / "migrations" / "versions").glob("*.py"))
    _run(steps.replace(".venv/bin/", "").replace("/tmp/scratch.db", f"{tmp_path}/scratch.db"), tmp_path)
    [written] = set((tmp_path / "migrations" / "versions").glob("*.py")) - before
    assert "what_changes" in written.name


def _snippet(index: int, name: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(blocks("README.md", "python")["Verifying a signature"][index], namespace)
    return namespace[name]


def test_the_snippet_for_the_plain_signature_knows_a_genuine_request() -> None:
    is_genuine = _snippet(0, "is_genuine")
    signature = seed_signature(b'{"a":1}', "your-webhook-signing-secret")
    assert is_genuine(b'{"a":1}', signature, "your-webhook-signing-secret")
    assert not is_genuine(b'{"a":2}', signature, "your-webhook-signing-secret")


def test_the_snippet_for_standard_webhooks_knows_a_genuine_request() -> None:
    read, now = _snippet(1, "read"), int(time.time())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": standard_signature("evt_1", now, b'{"a":1}', ["your-webhook-signing-secret"]),
    }
    assert read(b'{"a":1}', headers, standard_secret("your-webhook-signing-secret")) == {"a": 1}


def test_the_line_for_the_shell_makes_the_same_signature(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(b'{"a":1}')
    [line] = blocks("README.md", "sh")["Verifying a signature"]
    printed = _run(line, tmp_path, SECRET="your-webhook-signing-secret")
    assert printed == seed_signature(b'{"a":1}', "your-webhook-signing-secret")


def test_master_keys_are_made_as_the_example_says(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "example.env").read_text()
    [command] = re.findall(r"^# (echo .*)$", example, re.MULTILINE)
    name, _, key = _run(command, tmp_path).partition(":")
    assert name == "k1"
    assert len(base64.b64decode(key, validate=True)) == 32
