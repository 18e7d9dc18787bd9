"""Requests under way, by tempo: how many there may be, and of whom.

Of what is not known to be quick an account may have as many under way as could still begin (the dynamic threshold of
``places.py``): however many of its endpoints hang, others find room at once. Quick ones give back what they take.
"""

from collections import Counter
from collections.abc import Sequence

from delivery.domain.model import AccountId, Parcel
from delivery.places import Limits
from delivery.tempo import SHARES, Tempo, left


class Requests:
    """The requests of one process. Plain counting."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._on_the_way: dict[tuple[str, str], Tempo] = {}
        self._count: dict[Tempo, int] = dict.fromkeys(SHARES, 0)
        self._of: Counter[tuple[AccountId, Tempo]] = Counter()

    @property
    def count(self) -> int:
        """All that are under way."""
        return len(self._on_the_way)

    def tempos(self) -> Sequence[Tempo]:
        """The tempos that have requests left, the one with the fewest under way first."""
        room = left(self._limits.parallel, self._count)
        return sorted((tempo for tempo in SHARES if room[tempo] > 0), key=self._count.__getitem__)

    def may(self, account_id: AccountId, tempo: Tempo) -> bool:
        """Whether an account may have one more of this tempo."""
        return tempo == "quick" or self._of[account_id, tempo] < left(self._limits.parallel, self._count)[tempo]

    def start(self, parcel: Parcel, tempo: Tempo) -> None:
        """A request goes out."""
        self._on_the_way[parcel.delivery_id, parcel.lease] = tempo
        self._count[tempo] += 1
        self._of[parcel.account_id, tempo] += 1

    def end(self, parcel: Parcel) -> None:
        """A request is over."""
        tempo = self._on_the_way.pop((parcel.delivery_id, parcel.lease))
        self._count[tempo] -= 1
        self._of[parcel.account_id, tempo] -= 1
        if not self._of[parcel.account_id, tempo]:
            del self._of[parcel.account_id, tempo]
