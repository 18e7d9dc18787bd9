"""Some hundred seeds hold; ``make simulate`` runs as many as wanted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.run import simulate

_CHUNK = 15
_CHUNKS = 20
_ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, _CHUNK * _CHUNKS, _CHUNK))
def test_nothing_is_found(first: int) -> None:
    found = [
        f"python -m tests.simulation --seed {seed} --trace: {violation}"
        for seed in range(first, first + _CHUNK)
        for violation in simulate(seed).violations
    ]
    assert not found, "\n".join(found)


def story(seed: int, hash_seed: str) -> str:
    """What another process tells of a seed."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("seed "))


def test_the_same_seed_is_the_same_story_in_every_process() -> None:
    for seed in (4, 13):
        first = story(seed, "1")
        assert first.count("\n") > 50
        assert first == story(seed, "2")


def test_another_seed_is_another_story() -> None:
    assert simulate(1).digest != simulate(2).digest
