"""The laws of the histogram: where its percentiles lie, and that parts add up to the whole."""

from collections.abc import Sequence
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.histogram import BOUNDS_MS, bin_of, percentile

durations = st.floats(0, BOUNDS_MS[-1])
shares = st.floats(0.01, 1)


def histogram_of(those: Sequence[float]) -> list[int]:
    histogram = [0] * len(BOUNDS_MS)
    for duration in those:
        histogram[bin_of(duration)] += 1
    return histogram


@given(st.lists(durations, min_size=1), shares)
def test_a_percentile_is_within_a_bins_width_of_the_exact_one(those: list[float], share: float) -> None:
    exact = sorted(those)[ceil(share * len(those)) - 1]
    found = percentile(histogram_of(those), share)
    assert found is not None
    number = bin_of(exact)
    assert (BOUNDS_MS[number - 1] if number else 0) <= found <= BOUNDS_MS[number]


@given(st.lists(durations, min_size=1), shares, shares)
def test_a_larger_share_took_no_less(those: list[float], one: float, other: float) -> None:
    found = [percentile(histogram_of(those), share) for share in sorted((one, other))]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] <= found[1]


@given(st.lists(durations), st.lists(durations))
def test_histograms_of_parts_add_up_to_that_of_the_whole(one: list[float], other: list[float]) -> None:
    added = [a + b for a, b in zip(histogram_of(one), histogram_of(other), strict=True)]
    assert added == histogram_of([*one, *other])


@given(st.floats(0, 1e9))
def test_every_duration_has_its_bin(duration: float) -> None:
    number = bin_of(duration)
    assert duration <= BOUNDS_MS[number] or number == len(BOUNDS_MS) - 1
    assert number == 0 or duration > BOUNDS_MS[number - 1]
