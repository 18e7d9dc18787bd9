"""Requests under way, by tempo: how many there may be, of whom, and to where.

An account may have as many under way as could still begin (the dynamic threshold of ``places.py``), and as many to one
origin as could still begin for the account; of quick ones, which give back soon what they take, twice as many. Where
nothing goes yet one may always go, as long as a quarter is left, of quick ones an eighth. So whatever hangs, be it all
of an account or all at one server, whoever is elsewhere finds room at once.
"""

from collections.abc import Mapping, Sequence

from delivery.domain.model import AccountId, Parcel, Tempo
from delivery.places import Limits
from delivery.tempo import RESERVE, SHARES, left

#: How many times what is left an account may have.
_EAGERNESS: Mapping[Tempo, int] = {"slow": 1, "new": 1, "quick": 2}


class Requests:
    """The requests of one process. Plain counting."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._on_the_way: dict[tuple[str, str], Tempo] = {}
        self._count: dict[Tempo, int] = dict.fromkeys(SHARES, 0)
        self._of: dict[tuple[str, ...], int] = {}
        self._left = left(limits.parallel, self._count)

    @property
    def count(self) -> int:
        """All that are under way."""
        return len(self._on_the_way)

    def tempos(self) -> Sequence[Tempo]:
        """The tempos that have requests left, the one with the fewest under way first."""
        return sorted((tempo for tempo in SHARES if self._left[tempo] > 0), key=self._count.__getitem__)

    def may(self, tempo: Tempo, account_id: AccountId, origin: str | None = None) -> bool:
        """Whether an account may have one more of this tempo, and to this origin."""
        eagerness, rest = _EAGERNESS[tempo], self._left[tempo]
        room = eagerness * rest - self._of.get((account_id, tempo), 0)
        is_spare = rest > self._limits.parallel // (RESERVE * eagerness)
        if origin is None:
            return room > 0 or is_spare
        there = self._of.get((account_id, tempo, origin), 0)
        return there < eagerness * room or (is_spare and there == 0)

    def start(self, parcel: Parcel, tempo: Tempo) -> None:
        """A request goes out."""
        self._on_the_way[parcel.delivery_id, parcel.lease] = tempo
        self._add(parcel, tempo, 1)

    def slow_down(self, parcel: Parcel) -> None:
        """A request takes long: it counts among the slow ones, as far as those have room."""
        name = parcel.delivery_id, parcel.lease
        tempo = self._on_the_way.get(name)
        if tempo not in (None, "slow") and self.may("slow", parcel.account_id, parcel.origin):
            self._on_the_way[name] = "slow"
            self._add(parcel, tempo, -1)
            self._add(parcel, "slow", 1)

    def end(self, parcel: Parcel) -> None:
        """A request is over."""
        self._add(parcel, self._on_the_way.pop((parcel.delivery_id, parcel.lease)), -1)

    def _add(self, parcel: Parcel, tempo: Tempo, number: int) -> None:
        self._count[tempo] += number
        for name in ((parcel.account_id, tempo), (parcel.account_id, tempo, parcel.origin)):
            self._of[name] = self._of.get(name, 0) + number
            if not self._of[name]:
                del self._of[name]
        self._left = left(self._limits.parallel, self._count)
