"""Each planted mistake is found, within some seeds, by the name of a promise that it breaks."""

import pytest

from tests.simulation.bugs import PLANTED, Plant
from tests.simulation.run import simulate

#: So many seeds are tried at the most.
_SEEDS = 100


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    found: set[str] = set()
    for seed in range(_SEEDS):
        found |= {violation.invariant for violation in simulate(seed).violations}
        if found & PLANTED[plant]:
            return
    pytest.fail(f"not found in {_SEEDS} seeds; found {found or 'nothing'}")
