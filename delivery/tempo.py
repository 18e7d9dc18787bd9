"""Tempo: what is known of how long an endpoint's requests take, and what share that gives it.

An endpoint is *slow* when the last that was learnt of it is a request that took long, or is taking long right now;
*quick* when that request was over soon; *new* before that. Of whatever is scarce the slow ones together may have half,
the slow and the new ones three quarters, so that there is always room for those who need little of it.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from math import ceil

from delivery.domain.model import AccountId, EndpointId, Parcel, Tempo

#: A request that takes longer than this is slow, in seconds.
SLOW_S = 1.0

#: The share that endpoints of a tempo may have, together with those before them.
SHARES: dict[Tempo, float] = {"slow": 0.5, "new": 0.75, "quick": 1.0}

#: One part in so many is kept for accounts that have next to nothing: what is above it is open to any origin that has
#: nothing, whatever its account has.
RESERVE = 4

_REMEMBERED_ENDPOINTS = 16_384


def left(whole: int, taken: Mapping[Tempo, int]) -> dict[Tempo, int]:
    """How much of a whole is left to each tempo; none or less: nothing.

    >>> left(100, {"slow": 10, "new": 70, "quick": 5})
    {'slow': -5, 'new': -5, 'quick': 15}
    """
    room: dict[Tempo, int] = {}
    together = sum(taken.values())
    least = whole
    for tempo in reversed(SHARES):  # whoever counts among others must not take what is theirs
        least = min(least, ceil(whole * SHARES[tempo]) - together)
        room[tempo] = least
        together -= taken.get(tempo, 0)
    return {tempo: room[tempo] for tempo in SHARES}


class Tempos:
    """The tempos of the endpoints of which something was learnt last, and where they were then."""

    def __init__(self) -> None:
        # not a cache of the library's: there, to list the entries would count as using them
        self._known: OrderedDict[EndpointId, tuple[AccountId, Tempo, str]] = OrderedDict()

    def of(self, endpoint_id: EndpointId) -> Tempo:
        """The tempo of an endpoint."""
        known = self._known.get(endpoint_id)
        return known[1] if known else "new"

    def meet(self, parcel: Parcel) -> None:
        """Believe the store about an endpoint of which nothing was learnt here, or that has moved since."""
        known = self._known.get(parcel.endpoint_id)
        if known is not None and known[2] == parcel.origin:
            return
        if parcel.tempo != "new":
            self.learn(parcel, parcel.tempo)
        elif known is not None:
            del self._known[parcel.endpoint_id]

    def learn(self, parcel: Parcel, tempo: Tempo) -> None:
        """Remember the tempo of a parcel's endpoint."""
        self._known[parcel.endpoint_id] = (parcel.account_id, tempo, parcel.origin)
        self._known.move_to_end(parcel.endpoint_id)
        if len(self._known) > _REMEMBERED_ENDPOINTS:
            self._known.popitem(last=False)

    def known(self, pools: Collection[tuple[str, ...]]) -> list[EndpointId]:
        """The endpoints in one of these pools: an account at a tempo, or just its endpoints at one origin."""
        if not pools:
            return []
        return [name for name, place in self._known.items() if place in pools or place[:2] in pools]
