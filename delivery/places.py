"""Who holds how many places in this process: for accounts, their endpoints, and each endpoint's types of event.

An account may hold as many places as are free, no more (the dynamic threshold of Choudhury and Hahne, 1998): a single
account takes half of them, two take a third each, and whoever comes next always finds room. The same goes for the types
of event within an endpoint's share.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from delivery.domain.model import EndpointId, Parcel

#: A holder: ``()`` is everybody, then an account, an endpoint of it, a type of event for that endpoint.
Holder = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one process: requests at a time, requests at a time to one endpoint, and parcels in memory."""

    parallel: int = 256
    per_endpoint: int = 16

    @property
    def places(self) -> int:
        """Parcels in memory, being sent or about to: enough that no lane runs dry between two sweeps."""
        return 4 * self.parallel

    @property
    def places_per_lane(self) -> int:
        """Parcels in memory for one endpoint, so that one flood cannot take all places."""
        return max(2 * self.per_endpoint, self.places // 8)


@dataclass(frozen=True, slots=True)
class Crowded:
    """Who holds so much that nothing more is fetched for them. ``kinds`` are endpoints with a type of event."""

    accounts: Collection[str] = ()
    endpoints: Collection[str] = ()
    kinds: Collection[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a process would take from the store: how much in all, how much of one endpoint, and of whom none now."""

    limit: int
    per_endpoint: int
    crowded: Crowded = Crowded()


def holders(parcel: Parcel) -> tuple[Holder, Holder, Holder, Holder]:
    """Everybody in whose name a parcel takes its place, the largest first."""
    account, endpoint = parcel.account_id, parcel.endpoint_id
    return (), (account,), (account, endpoint), (account, endpoint, parcel.event_type)


class Places:
    """The places of one process. Plain counting."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: Counter[Holder] = Counter()
        self._caps: dict[EndpointId, int] = {}

    @property
    def taken(self) -> int:
        """Places taken, in all."""
        return self._held[()]

    @property
    def free(self) -> int:
        """Places free, in all."""
        return self._limits.places - self.taken

    def take(self, parcel: Parcel) -> bool:
        """Take a place for a parcel; False: there is none for it."""
        names = holders(parcel)
        if any(self._held[name] >= self._bound(name) for name in names):
            return False
        self._held.update(names)
        return True

    def give_back(self, parcel: Parcel) -> None:
        """Give a parcel's place back."""
        for name in holders(parcel):
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]

    def held_for(self, endpoint_id: EndpointId, account_id: str) -> int:
        """Places that an endpoint holds."""
        return self._held[account_id, endpoint_id]

    def cap(self, endpoint_id: EndpointId, most: int | None) -> None:
        """Let an endpoint hold at most so many places; None: as many as any other."""
        if most is None:
            self._caps.pop(endpoint_id, None)
        else:
            self._caps[endpoint_id] = min(most, self._limits.places_per_lane)

    def is_crowded(self, name: Holder) -> bool:
        """Whether a holder has more than half of what it may have."""
        return self._held[name] * 2 > self._bound(name)

    def terms(self) -> Terms:
        """What to take from the store now: no more than there are places for, whoever it turns out to be for."""
        if self.free == 0:
            return Terms(0, 0)
        crowded = list(self.crowded())
        return Terms(
            limit=-(-self.free // 4),
            per_endpoint=max(1, self._limits.places_per_lane // 4),
            crowded=Crowded(
                accounts=[name[0] for name in crowded if len(name) == 1],
                endpoints=[name[1] for name in crowded if len(name) == 2],  # noqa: PLR2004 - as ``Holder`` says
                kinds=[(name[1], name[2]) for name in crowded if len(name) == 3],  # noqa: PLR2004 - the same
            ),
        )

    def crowded(self) -> Iterator[Holder]:
        """Everybody who is crowded, the house as a whole left out."""
        return (name for name in self._held if name and self.is_crowded(name))

    def _bound(self, name: Holder) -> int:
        match name:
            case ():
                return self._limits.places
            case (_,):
                return self.free
            case (_, endpoint):
                return self._cap(EndpointId(endpoint))
            case (account, endpoint, _):
                return self._cap(EndpointId(endpoint)) - self._held[account, endpoint]
            case _:
                raise ValueError(name)

    def _cap(self, endpoint_id: EndpointId) -> int:
        return self._caps.get(endpoint_id, self._limits.places_per_lane)
