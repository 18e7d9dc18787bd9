"""How long requests took, in a histogram of fixed bins: enough for percentiles, however many requests there were.

Histograms of the same bins are added number by number, so those of any minutes, endpoints and processes go together.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil

#: The upper bound of each bin in milliseconds: from 1 ms to 65.5 s, each the square root of two times the one before.
BOUNDS_MS = tuple(2 ** (n / 2) for n in range(33))


def bin_of(duration_ms: float) -> int:
    """The number of the bin that a duration falls into. The bound is inside; the last bin takes what is longer, too.

    >>> bin_of(0.2), bin_of(1), bin_of(1.1), bin_of(250), bin_of(90_000)
    (0, 0, 1, 16, 32)
    """
    return min(bisect_left(BOUNDS_MS, duration_ms), len(BOUNDS_MS) - 1)


def percentile(histogram: Sequence[int], share: float) -> float | None:
    """The duration in milliseconds that this share of all did not exceed, within a bin's width; None: there were none.

    >>> ninety_fast_ten_slow = [0, 0, 90, *[0] * 17, 10, *[0] * 12]
    >>> [round(percentile(ninety_fast_ten_slow, share)) for share in (0.5, 0.9, 0.95)]
    [2, 2, 874]
    >>> percentile([0] * 33, 0.5)
    """
    rank = max(1, ceil(share * sum(histogram)))
    before = 0
    for number, count in enumerate(histogram):
        if before + count >= rank:
            low = BOUNDS_MS[number - 1] if number else 0.0
            return low + (BOUNDS_MS[number] - low) * (rank - before) / count
        before += count
    return None
