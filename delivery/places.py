"""Who holds how many places in this process: for accounts, where they send to, their endpoints, and types of event.

An account may hold as many places as are free, no more (the dynamic threshold of Choudhury and Hahne, 1998): a single
account takes half of them, two take a third each, and whoever comes next always finds room. The same goes for the types
of event within an endpoint's share; an origin (scheme, host and port) may hold half of what is left to its account, and
one that holds nothing finds room as long as a quarter is left, whatever its account holds.

It holds for each ``Tempo`` by itself: what an account's slow endpoints hold takes nothing from its quick ones.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from delivery.domain.model import EndpointId, Parcel, Tempo
from delivery.tempo import RESERVE, SHARES, Tempos, left

#: A holder: ``()`` is everybody, then an account at a tempo, its endpoints of that tempo at one origin, an endpoint of
#: the account, a type of event for that endpoint.
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
    """Who holds so much that nothing more is fetched for them. ``kinds`` are endpoints with a type of event.

    Of a crowded account, and of a crowded origin of an account, only the endpoints are fetched for that are ``exempt``.
    """

    accounts: Collection[str] = ()
    origins: Collection[tuple[str, str]] = ()
    exempt: Collection[str] = ()
    endpoints: Collection[str] = ()
    kinds: Collection[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a process would take from the store: how much in all, how much of one endpoint, and of whom none now."""

    limit: int
    per_endpoint: int
    crowded: Crowded = Crowded()


def holders(parcel: Parcel, tempo: Tempo) -> tuple[Holder, ...]:
    """Everybody in whose name a parcel takes its place, the largest first."""
    account, endpoint = parcel.account_id, parcel.endpoint_id
    return (
        (),
        (account, tempo),
        (account, tempo, parcel.origin),
        (account, endpoint),
        (account, endpoint, parcel.event_type),
    )


class Places:
    """The places of one process. Plain counting."""

    def __init__(self, limits: Limits, tempos: Tempos) -> None:
        self._limits = limits
        self._tempos = tempos
        self._held: Counter[Holder] = Counter()
        self._held_at: Counter[Tempo] = Counter()
        self._left = left(limits.places, self._held_at)
        self._taken: dict[tuple[str, str], Tempo] = {}
        self._caps: dict[EndpointId, int] = {}

    @property
    def taken(self) -> int:
        """Places taken, in all."""
        return len(self._taken)

    @property
    def free(self) -> int:
        """Places free, in all."""
        return self._limits.places - self.taken

    def take(self, parcel: Parcel) -> bool:
        """Take a place for a parcel; False: there is none for it."""
        tempo = self._tempos.of(parcel.endpoint_id)
        names = holders(parcel, tempo)
        everybody, _, origin, endpoint, kind = names
        bounding = (everybody, endpoint, kind) if self._is_spare(tempo) and not self._held[origin] else names
        if any(self._held[name] >= self._bound(name) for name in bounding):
            return False
        self._held.update(names)
        self._count(tempo, 1)
        self._taken[parcel.delivery_id, parcel.lease] = tempo
        return True

    def give_back(self, parcel: Parcel) -> None:
        """Give a parcel's place back."""
        tempo = self._taken.pop((parcel.delivery_id, parcel.lease))
        self._count(tempo, -1)
        for name in holders(parcel, tempo):
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]

    def _count(self, tempo: Tempo, number: int) -> None:
        self._held_at[tempo] += number
        self._left = left(self._limits.places, self._held_at)

    def held_for(self, endpoint_id: EndpointId, account_id: str) -> int:
        """Places that an endpoint holds."""
        return self._held[account_id, endpoint_id]

    def cap(self, endpoint_id: EndpointId, most: int | None) -> None:
        """Let an endpoint hold at most so many places; None: as many as any other."""
        if most is None:
            self._caps.pop(endpoint_id, None)
        else:
            self._caps[endpoint_id] = min(most, self._limits.places_per_lane)

    def _is_spare(self, tempo: Tempo) -> bool:
        """Whether so much is left that an origin which holds nothing may have some, whatever its account holds."""
        return self._left[tempo] > self._limits.places // RESERVE

    def is_crowded(self, name: Holder) -> bool:
        """Whether a holder has more than half of what it may have."""
        return self._held[name] * 2 > self._bound(name)

    def terms(self) -> Terms:
        """What to take from the store now: no more than there are places for, whoever it turns out to be for."""
        if self.free == 0:
            return Terms(0, 0)
        return Terms(
            limit=-(-self.free // 4),
            per_endpoint=max(1, self._limits.places_per_lane // 4),
            crowded=self._all_crowded(),
        )

    def crowded(self) -> Iterator[Holder]:
        """Everybody who is crowded, the house as a whole left out."""
        return (name for name in self._held if name and self.is_crowded(name))

    def _all_crowded(self) -> Crowded:
        """Put who is crowded into terms that the store knows: it has not heard of tempos.

        An account whose new endpoints are crowded, or an origin of it, is left out as a whole, but for those endpoints
        that are known not to be new.
        """
        pools = set(self._crowded_pools())
        endpoints: list[str] = []
        kinds: list[tuple[str, str]] = []
        for name in self.crowded():
            match name:
                case (_, "slow" | "new" | "quick", *_):
                    pass  # a pool
                case (_, endpoint):
                    endpoints.append(endpoint)
                case (_, endpoint, kind):
                    kinds.append((endpoint, kind))
        accounts = [pool[0] for pool in pools if pool[1:] == ("new",)]
        origins = [(pool[0], pool[2]) for pool in pools if pool[1] == "new" and len(pool) > len(("account", "tempo"))]
        concerned = {*accounts, *(account for account, _ in origins)}
        return Crowded(
            accounts=accounts,
            origins=origins,
            exempt=self._tempos.known({(account, tempo) for account in concerned for tempo in SHARES}),
            endpoints=[*endpoints, *self._tempos.known(pools)],
            kinds=kinds,
        )

    def _crowded_pools(self) -> Iterator[Holder]:
        """The crowded accounts by tempo, and their origins; of an account only these while there is some to spare."""
        for name in self.crowded():
            match name:
                case (account, "slow" | "new" | "quick" as tempo) if self._is_spare(tempo):
                    yield from (other for other in self._held if other[:2] == (account, tempo) and other != name)
                case (_, "slow" | "new" | "quick", *_):
                    yield name

    def _bound(self, name: Holder) -> int:
        match name:
            case ():
                return self._limits.places
            case (_, "slow" | "new" | "quick" as tempo):
                return self._left[tempo]
            case (account, "slow" | "new" | "quick" as tempo, _):
                # half of what is left to the account, which then is not crowded: its other origins are still fetched
                return -(-(self._left[tempo] - self._held[account, tempo]) // 2)
            case (_, endpoint):
                return self._cap(EndpointId(endpoint))
            case (account, endpoint, _):
                return self._cap(EndpointId(endpoint)) - self._held[account, endpoint]
            case _:
                raise ValueError(name)

    def _cap(self, endpoint_id: EndpointId) -> int:
        return self._caps.get(endpoint_id, self._limits.places_per_lane)
