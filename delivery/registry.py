"""Endpoints: register, change, rotate, remove, try out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, Literal

from delivery.courier import Courier
from delivery.domain.catalogue import TEST_TYPE, known_patterns
from delivery.domain.deeds import By, done_between, registered, tested
from delivery.domain.envelope import compose, write_json
from delivery.domain.errors import Conflict, InvalidInput, NotFound, TooManyWebhooks
from delivery.domain.filters import accept_filter
from delivery.domain.guard import EgressPolicy, accept_headers, parse_target
from delivery.domain.ids import new_id
from delivery.domain.model import (
    AccountId,
    Attempt,
    DeliveryId,
    Endpoint,
    EndpointId,
    Event,
    EventId,
    Parcel,
    SealedSecret,
)
from delivery.domain.sealing import KeyRing, UnreadableSecretError
from delivery.domain.signing import accept_secret, make_secret, standard_secret
from delivery.ports import Surroundings
from delivery.store import audit, deliveries, endpoints, events
from delivery.store.engine import Store
from delivery.store.reach import Reach

_SECRET_BYTES = 32
#: Endpoints of an account: each of its events is held against all of them.
MOST_ENDPOINTS = 10_000

_MOST_RETRIES = 20
_LONGEST_RETRY_S = 7 * 24 * 3600
_MOST_SECRETS = 5


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a customer asks of an endpoint, as typed; checked before anything of it is used."""

    url: Any
    events: Sequence[str]
    description: str = ""
    headers: Mapping[str, str] | None = None
    filter: Mapping[str, Any] | None = None
    rate_limit: int | None = None
    retry_schedule: Sequence[int] | None = None
    kind: str = "webhook"


@dataclass(frozen=True, slots=True)
class Recognition:
    """Whether a secret is an endpoint's, and the last four characters of those that are valid."""

    standing: Literal["valid", "expired", "unknown"]
    last4s: tuple[str, ...]


class Registry:
    """Changes endpoints. Every change is one that the next attempt in every process sees, and is in the audit trail."""

    def __init__(  # noqa: PLR0913 - its parts, handed in once by the composition root
        self,
        *,
        store: Store,
        ring: KeyRing,
        policy: EgressPolicy,
        brand: str,
        courier: Courier,
        around: Surroundings,
        lease_s: float,
    ) -> None:
        self._store = store
        self._ring = ring
        self._policy = policy
        self._brand = brand
        self._courier = courier
        self._around = around
        self._lease = timedelta(seconds=lease_s)

    async def register(
        self, account_id: AccountId, wishes: Wishes, secret: str | None, *, by: By
    ) -> tuple[Endpoint, str]:
        """Add an endpoint; return it and its secret, which is shown this once.

        Raises:
            Unprocessable: the URL must not be called, a header must not be set, the secret is too weak.
            InvalidInput: an unknown event type, a malformed filter or schedule.
            TooManyWebhooks: the account has as many as one may have.
        """
        now = self._around.clock.now()
        endpoint_id = EndpointId(new_id("wh", now, self._around.luck))
        plain = accept_secret(secret) if secret is not None else make_secret(self._around.entropy(_SECRET_BYTES))
        blank = Endpoint(
            id=endpoint_id,
            account_id=account_id,
            url="",
            events=(),
            secrets=(self._seal(endpoint_id, plain, now),),
            created_at=now,
            updated_at=now,
        )
        endpoint = self._fulfil(blank, wishes)
        async with self._store.writing() as tx:
            if await endpoints.has(tx, account_id, MOST_ENDPOINTS):
                raise TooManyWebhooks(MOST_ENDPOINTS)
            await endpoints.add(tx, endpoint)
            await audit.note(tx, by, registered(endpoint), now=now, luck=self._around.luck)
        return endpoint, plain

    async def change(self, reach: Reach, endpoint_id: str, changes: Mapping[str, Any], *, by: By) -> Endpoint:
        """Change some of an endpoint's wishes, or switch it on and off with ``active``."""

        def changed(endpoint: Endpoint) -> Endpoint:
            wishes = {name: changes.get(name, getattr(endpoint, name)) for name in Wishes.__dataclass_fields__}
            result = self._fulfil(endpoint, Wishes(**wishes))
            if result.url != endpoint.url:  # another receiver: what the old one did says nothing about it
                result = replace(result, failing_since=None, failures=0, tempo="new")
            active = changes.get("active", endpoint.active)
            if active == endpoint.active:
                return result
            reason = None if active else "switched off"
            return replace(result, active=active, disabled_reason=reason, failing_since=None, failures=0)

        return await self._update(reach, endpoint_id, by, changed)

    async def remove(self, reach: Reach, endpoint_id: str, *, by: By) -> None:
        """Delete an endpoint. Its log stays; what still waits for it ends as cancelled."""
        now = self._around.clock.now()
        await self._update(reach, endpoint_id, by, lambda endpoint: replace(endpoint, deleted_at=now, active=False))

    async def rotate(
        self, reach: Reach, endpoint_id: str, secret: str | None, *, overlap_s: int, by: By
    ) -> tuple[Endpoint, str]:
        """Give an endpoint a new secret; the old ones stay valid beside it for ``overlap_s`` at most."""
        now = self._around.clock.now()
        plain = accept_secret(secret) if secret is not None else make_secret(self._around.entropy(_SECRET_BYTES))
        end = now + timedelta(seconds=overlap_s)

        def rotated(endpoint: Endpoint) -> Endpoint:
            older = [
                replace(old, expires_at=min(old.expires_at or end, end))
                for old in endpoint.secrets
                if old.expires_at is None or old.expires_at > now
            ]
            new = self._seal(endpoint.id, plain, now)
            return replace(endpoint, secrets=(new, *older)[:_MOST_SECRETS])

        return await self._update(reach, endpoint_id, by, rotated), plain

    async def recognise(self, reach: Reach, endpoint_id: str, secret: str) -> Recognition | None:
        """Say whether a secret is an endpoint's; None: there is no such endpoint, or a master key is missing."""
        async with self._store.reading() as tx:
            endpoint = await endpoints.find(tx, reach, endpoint_id)
        if endpoint is None:
            return None
        now = self._around.clock.now()
        valid = {one for one in endpoint.secrets if one.expires_at is None or one.expires_at > now}
        try:
            found = {one for one in endpoint.secrets if self._opens_as(one, endpoint, secret)}
        except UnreadableSecretError:  # the deliveries that wait for it tell of it
            return None
        standing: Literal["valid", "expired", "unknown"] = (
            "valid" if found & valid else "expired" if found else "unknown"
        )
        return Recognition(standing, tuple(one.last4 for one in endpoint.secrets if one in valid))

    async def test(self, reach: Reach, endpoint_id: str, *, by: By) -> tuple[DeliveryId, Attempt]:
        """Send a signed sample now and wait for what becomes of it."""
        async with self._store.reading() as tx:
            endpoint = await endpoints.find(tx, reach, endpoint_id)
        if endpoint is None:
            raise NotFound("webhook")
        if not endpoint.active:
            raise Conflict("webhook_disabled", f"The webhook is disabled: {endpoint.disabled_reason}")
        event, parcel = self._sample(endpoint)
        async with self._store.writing() as tx:
            await events.insert_one(tx, event)
            await deliveries.insert_new(tx, [parcel], leased={parcel.delivery_id})
            await audit.note(tx, by, tested(endpoint), now=event.accepted_at, luck=self._around.luck)
        attempts = await self._courier.deliver(parcel)
        if not attempts:
            raise Conflict("webhook_disabled", "The webhook was changed while the test was about to be sent")
        return parcel.delivery_id, attempts[-1]

    # -- how -----------------------------------------------------------------------------------------------------------

    def _fulfil(self, endpoint: Endpoint, wishes: Wishes) -> Endpoint:
        return replace(
            endpoint,
            url=self._judged(endpoint, wishes.url),
            events=_known_events(wishes.events),
            description=wishes.description,
            headers=accept_headers(wishes.headers or {}, self._brand),
            filter=accept_filter(wishes.filter) if wishes.filter is not None else None,
            rate_limit=wishes.rate_limit,
            retry_schedule=_sane_schedule(wishes.retry_schedule),
            kind=wishes.kind,
        )

    def _judged(self, endpoint: Endpoint, url: Any) -> str:
        """Judge a URL, unless it is kept: whoever switches an endpoint off must be able to. A new one has none yet."""
        kept = endpoint.url and url == endpoint.url
        return endpoint.url if kept else parse_target(url, self._policy).url

    def _opens_as(self, sealed: SealedSecret, endpoint: Endpoint, secret: str) -> bool:
        """Whether a secret is this one, in the form that was shown or in that for libraries."""
        plain = self._ring.open(sealed.sealed, owner=endpoint.id)
        return any(compare_digest(form.encode(), secret.encode()) for form in (plain, standard_secret(plain)))

    def _seal(self, endpoint_id: EndpointId, plain: str, now: datetime) -> SealedSecret:
        sealed = self._ring.seal(plain, owner=endpoint_id, entropy=self._around.entropy)
        return SealedSecret(sealed, plain[-4:], now)

    async def _update(self, reach: Reach, endpoint_id: str, by: By, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        async with self._store.writing() as tx:
            endpoint = await endpoints.find(tx, reach, endpoint_id, for_update=True)
            if endpoint is None:
                raise NotFound("webhook")
            now = self._around.clock.now()
            changed = replace(change(endpoint), version=endpoint.version + 1, updated_at=now)
            await endpoints.save(tx, changed)
            await audit.note(tx, by, *done_between(endpoint, changed), now=now, luck=self._around.luck)
            return changed

    def _sample(self, endpoint: Endpoint) -> tuple[Event, Parcel]:
        now = self._around.clock.now()
        event_id = EventId(new_id("evt", now, self._around.luck))
        data = {"job_id": event_id, "webhook_id": endpoint.id, "message": "A test of your webhook"}
        event = Event(
            id=event_id,
            account_id=endpoint.account_id,
            type=TEST_TYPE,
            timestamp=now,
            accepted_at=now,
            identity=f"id={event_id}",
            external_id=None,
            job_id=event_id,
            body=write_json(compose(TEST_TYPE, now, data)),
        )
        parcel = Parcel(
            delivery_id=DeliveryId(new_id("dlv", now, self._around.luck)),
            account_id=endpoint.account_id,
            endpoint_id=endpoint.id,
            origin=endpoint.origin,
            tempo=endpoint.tempo,
            event_id=event_id,
            event_type=TEST_TYPE,
            job_id=event_id,
            body=event.body,
            traceparent=None,
            standing="pending",
            attempts_made=0,
            retries_used=0,
            next_attempt_at=None,
            asked="test",
            lease=self._courier.new_lease(),
            leased_until=now + self._lease,
            created_at=now,
        )
        return event, parcel


def _known_events(wanted: Sequence[str]) -> tuple[str, ...]:
    known = known_patterns()
    if not wanted:
        raise InvalidInput("invalid_payload", "Name at least one event type", field="events")
    for name in wanted:
        if name not in known:
            raise InvalidInput(
                "invalid_event_type",
                f'Unknown event type "{name[:64]}"; known are {", ".join(sorted(known))}',
                field="events",
            )
    return tuple(dict.fromkeys(wanted))


def _sane_schedule(waits: Sequence[int] | None) -> tuple[int, ...] | None:
    if waits is None:
        return None
    if len(waits) > _MOST_RETRIES or not all(1 <= wait <= _LONGEST_RETRY_S for wait in waits):
        raise InvalidInput(
            "invalid_payload",
            f"A retry schedule has at most {_MOST_RETRIES} waits of 1 to {_LONGEST_RETRY_S} seconds",
            field="retry_schedule",
        )
    return tuple(waits)
