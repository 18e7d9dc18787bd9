"""Changing the master key while everything runs: what older keys sealed is sealed anew with the newest one.

Any process opens what any key of its ring has sealed, so deliveries go on meanwhile, in every process that has the
newest key in its ring. Each endpoint is a transaction that holds its row: a customer who changes it at the same moment
comes before or after, neither overwrites the other, and who holds one row only never waits in a circle. Broken off, it
goes on where it was when it is started again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from delivery.domain.model import Endpoint, EndpointId, SealedSecret
from delivery.domain.sealing import KeyRing, UnreadableSecretError, sealed_with
from delivery.ports import Surroundings
from delivery.store import endpoints
from delivery.store.engine import Store

#: Endpoints that are read at once.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """How many secrets each master key has sealed, and which keys of those are not in the ring."""

    sealed: Mapping[str, int]
    newest: str
    missing: frozenset[str]

    @property
    def older(self) -> int:
        """Secrets that wait to be sealed anew."""
        return sum(count for name, count in self.sealed.items() if name != self.newest and name not in self.missing)

    @property
    def lost(self) -> int:
        """Secrets that nobody can open without a key that is missing."""
        return sum(count for name, count in self.sealed.items() if name in self.missing)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was done: secrets sealed anew, and endpoints with one that could not be opened."""

    secrets: int
    unreadable: tuple[EndpointId, ...]


class Resealing:
    """Seals what is stored with the newest key of the ring."""

    def __init__(self, store: Store, ring: KeyRing, around: Surroundings) -> None:
        self._store = store
        self._ring = ring
        self._around = around

    async def survey(self) -> Survey:
        """Count what each key has sealed, of deleted endpoints too."""
        sealed: Counter[str] = Counter()
        async for page in self._pages():
            sealed.update(sealed_with(secret.sealed) for endpoint in page for secret in endpoint.secrets)
        return Survey(sealed, self._ring.newest, frozenset(sealed) - self._ring.names)

    async def run(self, done: Callable[[int], None] = lambda _: None) -> Resealed:
        """Seal everything anew that another key has sealed; ``done`` is told of each endpoint how many that were."""
        total = 0
        unreadable: list[EndpointId] = []
        async for page in self._pages():
            for waiting in [endpoint.id for endpoint in page if self._waits(endpoint)]:
                try:
                    count = await self._reseal(waiting)
                except UnreadableSecretError:  # its key is missing: the others need not wait for it
                    unreadable.append(waiting)
                else:
                    total += count
                    done(count)
        return Resealed(total, tuple(unreadable))

    async def _pages(self) -> AsyncIterator[Sequence[Endpoint]]:
        """Every endpoint there is, oldest first."""
        after = EndpointId("")
        while True:
            async with self._store.reading() as tx:
                page = await endpoints.following(tx, after, limit=_PAGE)
            if not page:
                return
            yield page
            after = page[-1].id

    async def _reseal(self, endpoint_id: EndpointId) -> int:
        async with self._store.writing() as tx:
            [endpoint] = await endpoints.by_ids(tx, [endpoint_id], for_update=True)
            secrets = [self._anew(endpoint, secret) for secret in endpoint.secrets]
            await endpoints.reseal(tx, endpoint.id, secrets)
        return sum(new is not old for new, old in zip(secrets, endpoint.secrets, strict=True))

    def _anew(self, endpoint: Endpoint, secret: SealedSecret) -> SealedSecret:
        if sealed_with(secret.sealed) == self._ring.newest:
            return secret
        plain = self._ring.open(secret.sealed, owner=endpoint.id)
        return replace(secret, sealed=self._ring.seal(plain, owner=endpoint.id, entropy=self._around.entropy))

    def _waits(self, endpoint: Endpoint) -> bool:
        return any(sealed_with(secret.sealed) != self._ring.newest for secret in endpoint.secrets)
