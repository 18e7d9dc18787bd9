"""The last look before a request goes out.

Between the commit that made a parcel and the moment of sending, its delivery may have been cancelled, its lease may
have run out, its endpoint may have a new secret, or be gone. So every attempt asks the store once more, many of them in
one query, and whatever a customer changed holds from the next attempt on, in every process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cachetools import LRUCache

from delivery.domain.gate import NotBefore, needs_gate
from delivery.domain.model import Endpoint, EndpointId, Parcel
from delivery.domain.sealing import KeyRing, UnreadableSecretError
from delivery.gates import Gates
from delivery.ports import Clock
from delivery.store import deliveries, endpoints
from delivery.store.deliveries import Clearance
from delivery.store.engine import Store, Transaction, is_database_fault
from delivery.telemetry import warn

_REMEMBERED_ENDPOINTS = 4096
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cleared:
    """Go: the endpoint as it is now and its valid secrets, open, newest first.

    One delivery can take several requests while a secret changes; none of them starts after ``until``, or it could
    outlast the lease.
    """

    endpoint: Endpoint
    secrets: tuple[str, ...] = field(repr=False)
    until: datetime = _FOREVER


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Leave it: the delivery is no longer this process's to send."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """There is nowhere to send it, and that ends the delivery."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """Not yet: its endpoint's rate limit or open circuit asks it to wait."""

    until: NotBefore


Decision = Cleared | Lapsed | Held | Grounded


class Departures:
    """Clears parcels for sending. ``longest_s`` is the longest that sending one can take: two slow requests."""

    def __init__(self, store: Store, ring: KeyRing, clock: Clock, *, longest_s: float) -> None:
        self._store = store
        self._ring = ring
        self._gates = Gates(store, clock, longest_s=longest_s)
        self._clock = clock
        self._longest = timedelta(seconds=longest_s)
        self._endpoints: LRUCache[EndpointId, Endpoint] = LRUCache(_REMEMBERED_ENDPOINTS)

    async def clear(self, parcels: Sequence[Parcel]) -> Sequence[Decision]:
        """Decide for each parcel whether it may leave now."""
        async with self._store.reading() as tx:
            found = await deliveries.clearances(tx, [parcel.delivery_id for parcel in parcels])
            await self._refresh(tx, found.values())
        now = self._clock.now()
        decisions = [self._decide(parcel, found.get(parcel.delivery_id), now) for parcel in parcels]
        await self._ask_the_gates(parcels, decisions)
        # while the gates were asked, the leases went on: those of the others in the batch, too
        now = self._clock.now()
        return [
            Lapsed() if isinstance(decision, Cleared) and self._runs_out(found[parcel.delivery_id], now) else decision
            for parcel, decision in zip(parcels, decisions, strict=True)
        ]

    async def _ask_the_gates(self, parcels: Sequence[Parcel], decisions: list[Decision]) -> None:
        """Hold those cleared ones whose endpoints let nobody out now. A test that a person asked for waits for none."""
        asks = {
            index: (parcel.delivery_id, decision.endpoint)
            for index, (parcel, decision) in enumerate(zip(parcels, decisions, strict=True))
            if isinstance(decision, Cleared) and needs_gate(decision.endpoint) and parcel.asked != "test"
        }
        if not asks:
            return
        for index, answer in zip(asks, await self._gates.answer(list(asks.values())), strict=True):
            if answer is not None:
                decisions[index] = Held(answer)

    async def _refresh(self, tx: Transaction, current: Iterable[Clearance]) -> None:
        """Read again the endpoints that changed since they were last read here."""
        known = self._endpoints
        stale = {
            entry.endpoint_id
            for entry in current
            if entry.endpoint_id not in known or known[entry.endpoint_id].version != entry.endpoint_version
        }
        if stale:
            for endpoint in await endpoints.by_ids(tx, stale):
                known[endpoint.id] = endpoint

    def _decide(self, parcel: Parcel, clearance: Clearance | None, now: datetime) -> Decision:
        if clearance is None or clearance.lease != parcel.lease or self._runs_out(clearance, now):
            return Lapsed()
        endpoint = self._endpoints[clearance.endpoint_id]
        if endpoint.deleted_at is not None:
            return Grounded("endpoint deleted")
        if not endpoint.active:
            return Grounded(f"endpoint disabled: {endpoint.disabled_reason or 'switched off'}")
        return self._open(endpoint, now)

    def _runs_out(self, clearance: Clearance, now: datetime) -> bool:
        """Whether the lease could run out before the answer is in."""
        return clearance.wake_at is None or now + self._longest > clearance.wake_at

    def _open(self, endpoint: Endpoint, now: datetime) -> Decision:
        secrets = self._opened(endpoint, now)
        return Cleared(endpoint, secrets, until=now + self._longest / 2) if secrets else Lapsed()

    def _opened(self, endpoint: Endpoint, now: datetime) -> tuple[str, ...]:
        valid = [s for s in endpoint.secrets if s.expires_at is None or s.expires_at > now]
        try:
            return tuple(self._ring.open(s.sealed, owner=endpoint.id) for s in valid)
        except UnreadableSecretError as error:
            # a master key is missing from the ring: an operator's mistake, which must not cost a customer a delivery
            warn("secret.unreadable", endpoint_id=endpoint.id, error=str(error))
            return ()

    async def secrets_now(self, endpoint_id: EndpointId) -> Sequence[str]:
        """The secrets that are valid at this moment, open, newest first; none where the store cannot say."""
        try:
            async with self._store.reading() as tx:
                found = await endpoints.by_ids(tx, [endpoint_id])
        except Exception as error:
            if not is_database_fault(error):
                raise
            # a request was just made and has yet to be logged: it must not be lost for a second look
            warn("secrets.unknown", endpoint_id=endpoint_id, error=type(error).__name__)
            return ()
        return self._opened(found[0], self._clock.now()) if found else ()
