"""Schemathesis asks of the service whatever its own description allows, and much that it does not."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.program import Program, Running
from tests.support.receiver import receiving

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 1200

#: `make fuzz` sets both; the tests of every day ask the same few questions each time.
_EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
_SEED = os.environ.get("FUZZ_SEED", "1")

_OPTIONS = {
    "--phases": "examples,coverage,fuzzing",
    "--max-examples": _EXAMPLES,
    "--seed": _SEED,
    "--request-timeout": "30",
    "--suppress-health-check": "all",
    "--exclude-path-regex": "^/api/(listen|deliveries/stream)$",  # streams that do not end
    # not every rule can be said in a schema (a cursor is one of ours, a URL must be public), and an empty field of a
    # form asks nothing
    "--exclude-checks": "positive_data_acceptance,negative_data_rejection",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


async def ask(service: Running, folder: Path, token: str, receiver: str) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis' command line against the service."""
    words = [word for option in _OPTIONS.items() for word in option]
    address = f"{service.url}/api/openapi.json"
    return await asyncio.to_thread(
        subprocess.run,
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            address,
            "-H",
            f"Authorization: Bearer {token}",
            *words,
        ],
        cwd=folder,
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "tests.fuzz.checks",
            "FUZZ_RECEIVER": receiver,
            "PYTHONPATH": str(_ROOT),
            "NO_COLOR": "1",
        },
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(_PATIENCE_S)
async def test_every_answer_is_one_that_the_description_knows_and_none_is_a_fault_of_ours(
    tmp_path: Path, database: str
) -> None:
    program = Program(tmp_path, {"DATABASE_URL": database, "LOG_FORMAT": "json"})
    assert (await program.run("migrate")).code == 0
    async with program.serving() as service, receiving() as receiver:
        operator = await program.bootstrap("--operator")
        await program.register(receiver.url)
        assert (await program.run("trigger", "annotation.completed")).code == 0
        done = await ask(service, tmp_path, operator["token"], urlsplit(receiver.url).netloc)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "tests.fuzz" not in done.stderr
        made = (await program.run("deliveries", "--json", "--limit", "100")).json["items"]
        assert {urlsplit(one["url"]).hostname for one in made} == {"127.0.0.1"}, "nothing was sent off this machine"
        assert not service.told("http.failed")
        assert len(service.told("http.request")) > 500, "it did ask"
