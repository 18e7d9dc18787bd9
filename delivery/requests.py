"""Requests under way: the busy ones, and those that hang.

Only a request that is young keeps anything busy, and takes part in what may go out at a time. One that takes longer
than ``SLOW_S`` *hangs*: it costs some memory and a socket, and makes room for others at once. What hangs has a bound of
its own. An account may have as many requests hanging as could still begin to (the dynamic threshold of ``places.py``).
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
        self._young: dict[tuple[str, str], Tempo] = {}
        self._busy: dict[Tempo, int] = dict.fromkeys(SHARES, 0)
        self._hanging: Counter[AccountId] = Counter()
        self._hanging_in_all = 0

    @property
    def count(self) -> int:
        """All that are under way."""
        return len(self._young) + self._hanging_in_all

    @property
    def hanging(self) -> int:
        """Those that have been under way for long."""
        return self._hanging_in_all

    def tempos(self) -> Sequence[Tempo]:
        """The tempos that have requests left, the one with the fewest busy ones first."""
        room = left(self._limits.parallel, self._busy)
        return sorted((tempo for tempo in SHARES if room[tempo] > 0), key=self._busy.__getitem__)

    def may_hang(self, account_id: AccountId, tempo: Tempo) -> bool:
        """Whether an account may risk one more that hangs."""
        room = left(self._limits.hanging, {"slow": self._hanging_in_all})[tempo]
        return self._hanging[account_id] < room

    def start(self, parcel: Parcel, tempo: Tempo) -> None:
        """A request goes out."""
        self._young[parcel.delivery_id, parcel.lease] = tempo
        self._busy[tempo] += 1

    def hang(self, parcel: Parcel) -> None:
        """A request is no longer young."""
        self._busy[self._young.pop((parcel.delivery_id, parcel.lease))] -= 1
        self._hanging[parcel.account_id] += 1
        self._hanging_in_all += 1

    def end(self, parcel: Parcel) -> None:
        """A request is over."""
        tempo = self._young.pop((parcel.delivery_id, parcel.lease), None)
        if tempo is not None:
            self._busy[tempo] -= 1
            return
        self._hanging_in_all -= 1
        self._hanging[parcel.account_id] -= 1
        if not self._hanging[parcel.account_id]:
            del self._hanging[parcel.account_id]
