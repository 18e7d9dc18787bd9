"""The simulation finds mistakes: each of the planted ones, by the name of the invariant that it breaks."""

import pytest

from tests.simulation.bugs import PLANTED
from tests.simulation.run import simulate

#: So many seeds are tried at the most. The first one that finds it is usually among the first twenty.
_MOST = 150


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    plant, invariants = PLANTED[name]
    with plant():
        for seed in range(_MOST):
            if invariants & {violation.invariant for violation in simulate(seed).violations}:
                return
    raise AssertionError(f"{_MOST} seeds have not found it")
