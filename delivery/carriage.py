"""One delivery's next attempt: the request, further ones where a rotation calls for them, and the verdict."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from delivery.departures import Cleared
from delivery.domain.ids import new_id
from delivery.domain.model import Attempt, AttemptId, Endpoint, EndpointId, Outcome, Parcel, Trigger
from delivery.domain.retry import decide
from delivery.ledger import Entry
from delivery.ports import Destinations, Shipment, Surroundings

_REFUSES_SIGNATURE = frozenset({401, 403})

#: The secrets of an endpoint that are valid at this moment, open, newest first; none where the store cannot say.
SecretsNow = Callable[[EndpointId], Awaitable[Sequence[str]]]


class Carriage:
    """Carries cleared parcels to their destinations. ``schedule`` is that of endpoints without one of their own."""

    def __init__(
        self, destinations: Destinations, secrets_now: SecretsNow, around: Surroundings, *, schedule: Sequence[int]
    ) -> None:
        self._destinations = destinations
        self._secrets_now = secrets_now
        self._around = around
        self._schedule = schedule

    async def carry(self, parcel: Parcel, cleared: Cleared) -> Entry:
        """Make the attempt; return what is to be written of it."""
        attempts = await self._requests(parcel, cleared)
        now = self._around.clock.now()
        verdict = decide(
            parcel,
            attempts[-1].outcome,
            schedule=self._schedule_of(parcel, cleared.endpoint),
            started_at=attempts[0].started_at,
            now=now,
            spread=self._around.luck.random(),
        )
        return Entry(parcel, verdict, now, attempts, cleared.endpoint)

    async def _requests(self, parcel: Parcel, cleared: Cleared) -> Sequence[Attempt]:
        """Send it, signed with the newest secret; while the signature is refused, at once again with another one.

        Who refuses slowly leaves no time for all of them, so with each retry another one is the first of the older.

        The receiver may have taken a secret that was not there yet at the last look, so after a refusal they are
        looked at again.
        """
        secrets: Sequence[str] = cleared.secrets
        attempts: list[Attempt] = []
        tried: set[str] = set()
        while (secret := _untried(secrets, tried, turn=parcel.retries_used)) is not None:
            tried.add(secret)
            others = [other for other in secrets if other != secret]
            trigger = "rotation" if attempts else parcel.trigger
            attempts.append(
                await self._attempt(parcel, cleared.endpoint, (secret, *others), trigger, len(attempts) + 1)
            )
            if not _refused_signature(attempts[-1].outcome):
                break
            secrets = await self._secrets_now(cleared.endpoint.id) or secrets
            if self._around.clock.now() > cleared.until:
                break
        return attempts

    async def _attempt(
        self, parcel: Parcel, endpoint: Endpoint, secrets: Sequence[str], trigger: Trigger, nth: int
    ) -> Attempt:
        started_at = self._around.clock.now()
        number = parcel.attempts_made + nth
        shipment = Shipment(parcel, endpoint, secrets, number, trigger, started_at)
        outcome = await self._destinations[endpoint.kind].send(shipment)
        attempt_id = AttemptId(new_id("att", started_at, self._around.luck))
        return Attempt(attempt_id, parcel.delivery_id, parcel.account_id, number, trigger, started_at, outcome)

    def _schedule_of(self, parcel: Parcel, endpoint: Endpoint) -> Sequence[int]:
        if parcel.asked == "test":
            return ()
        return self._schedule if endpoint.retry_schedule is None else endpoint.retry_schedule


def _untried(secrets: Sequence[str], tried: Collection[str], *, turn: int) -> str | None:
    """The secret to sign with next: the newest, then the older ones, each the first of them at another turn.

    >>> secrets = ["new", "older", "oldest"]
    >>> _untried(secrets, {}, turn=1), _untried(secrets, {"new"}, turn=0), _untried(secrets, {"new"}, turn=1)
    ('new', 'older', 'oldest')
    """
    older = secrets[1:]
    first = turn % len(older) if older else 0
    return next((one for one in (*secrets[:1], *older[first:], *older[:first]) if one not in tried), None)


def _refused_signature(outcome: Outcome) -> bool:
    return outcome.answer is not None and outcome.answer.status in _REFUSES_SIGNATURE
