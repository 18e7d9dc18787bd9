"""Changing the master key while everything runs: what older keys sealed is sealed anew with the newest one.

Any process opens what any key of its ring has sealed, so deliveries go on meanwhile, in every process that has the
newest key in its ring. Each owner, an endpoint or a source, is a transaction that holds its row: who changes it at the
same moment comes before or after, neither overwrites the other, and who holds one row only never waits in a circle.
Broken off, it goes on where it was when it is started again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from delivery.domain.model import Endpoint
from delivery.domain.sealing import KeyRing, UnreadableSecretError, sealed_with
from delivery.domain.sources import Source
from delivery.ports import Surroundings
from delivery.store import endpoints, sources
from delivery.store.engine import Store, Transaction

#: Endpoints or sources that are read at once.
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
    """What was done: secrets sealed anew, and the ids of whose secrets could not be opened."""

    secrets: int
    unreadable: tuple[str, ...]


#: Whose secrets are sealed.
_Owner = Endpoint | Source


class _Following(Protocol):
    """Reads the owners that come next by their id."""

    async def __call__(self, tx: Transaction, after: str, *, limit: int) -> Sequence[_Owner]: ...


class Resealing:
    """Seals what is stored with the newest key of the ring."""

    def __init__(self, store: Store, ring: KeyRing, around: Surroundings) -> None:
        self._store = store
        self._ring = ring
        self._around = around

    async def survey(self) -> Survey:
        """Count what each key has sealed, of what is deleted, too."""
        sealed: Counter[str] = Counter()
        async for page in self._pages():
            sealed.update(sealed_with(text) for owner in page for text in _sealed(owner))
        return Survey(sealed, self._ring.newest, frozenset(sealed) - self._ring.names)

    async def run(self, done: Callable[[int], None] = lambda _: None) -> Resealed:
        """Seal everything anew that another key has sealed; ``done`` is told of each owner how many that were."""
        total = 0
        unreadable: list[str] = []
        async for page in self._pages():
            for owner in filter(self._waits, page):
                try:
                    count = await self._reseal(owner)
                except UnreadableSecretError:  # its key is missing: the others need not wait for it
                    unreadable.append(owner.id)
                else:
                    total += count
                    done(count)
        return Resealed(total, tuple(unreadable))

    async def _pages(self) -> AsyncIterator[Sequence[_Owner]]:
        """Every endpoint and every source there is, oldest first."""
        for following in (endpoints.following, sources.following):
            after = ""
            while page := await self._page(following, after):
                yield page
                after = page[-1].id

    async def _page(self, following: _Following, after: str) -> Sequence[_Owner]:
        async with self._store.reading() as tx:
            return await following(tx, after, limit=_PAGE)

    async def _reseal(self, owner: _Owner) -> int:
        """Seal an owner's secrets anew, as they are now."""
        async with self._store.writing() as tx:
            match owner:
                case Endpoint():
                    [endpoint] = await endpoints.by_ids(tx, [owner.id], for_update=True)
                    before = [secret.sealed for secret in endpoint.secrets]
                    after = [self._anew(text, owner.id) for text in before]
                    pairs = zip(endpoint.secrets, after, strict=True)
                    await endpoints.reseal(tx, endpoint.id, [replace(secret, sealed=text) for secret, text in pairs])
                case Source():
                    before = [(await sources.lock(tx, owner.id)).credentials]
                    after = [self._anew(text, owner.id) for text in before]
                    await sources.reseal(tx, owner.id, after[0])
                case _:
                    assert_never(owner)
        return sum(new != old for new, old in zip(after, before, strict=True))

    def _anew(self, sealed: str, owner: str) -> str:
        if sealed_with(sealed) == self._ring.newest:
            return sealed
        return self._ring.seal(self._ring.open(sealed, owner=owner), owner=owner, entropy=self._around.entropy)

    def _waits(self, owner: _Owner) -> bool:
        return any(sealed_with(text) != self._ring.newest for text in _sealed(owner))


def _sealed(owner: _Owner) -> Sequence[str]:
    match owner:
        case Endpoint():
            return [secret.sealed for secret in owner.secrets]
        case Source():
            return [owner.credentials]
        case _:
            assert_never(owner)
