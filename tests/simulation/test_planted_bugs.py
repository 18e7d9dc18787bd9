"""Each planted mistake is found, within some seeds, by the name of a promise that it breaks."""

from pathlib import Path

import pytest

from tests.simulation.bugs import PLANTED, Plant
from tests.simulation.run import simulate

#: So many seeds are tried at the most.
_SEEDS = 100


# what a mistake has broken off is left where it stood, and says so when it is swept up
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
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


def test_each_is_told_of_where_people_read_of_tests() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    for plant, promises in PLANTED.items():
        assert f"| {plant.__name__.replace('_', ' ')} | {', or '.join(sorted(promises))} |" in text
