"""Some hundred seeds, clean, and each of them the same story every time."""

import os
import subprocess
import sys

import pytest

from tests.simulation.run import simulate

_CHUNK = 10
_CHUNKS = 30


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, _CHUNK * _CHUNKS, _CHUNK))
def test_whatever_happens_every_promise_is_kept(first: int) -> None:
    for seed in range(first, first + _CHUNK):
        result = simulate(seed)
        told = "\n".join(map(str, result.violations))
        assert not result.violations, f"python -m tests.simulation --seed {seed} --trace\n{told}"


@pytest.mark.parametrize("seed", [1, 7])
def test_a_seed_tells_the_same_story_in_another_process_with_other_hashes(seed: int) -> None:
    command = (sys.executable, "-m", "tests.simulation", "--seed", str(seed))
    elsewhere = os.environ | {"PYTHONHASHSEED": "4242"}
    told = subprocess.run(command, env=elsewhere, capture_output=True, text=True, check=True, timeout=120).stdout
    assert f"story {simulate(seed).digest[:16]}" in told


def test_two_seeds_tell_two_stories() -> None:
    assert simulate(1).digest != simulate(2).digest
