"""Listening without a public address: a stream of the account's events as they are accepted, signed like deliveries."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from aiohttp import web

from delivery import VERSION
from delivery.domain.catalogue import TEST_TYPE, known_patterns
from delivery.domain.errors import InvalidInput
from delivery.domain.filters import subscribes
from delivery.domain.ids import new_id
from delivery.domain.model import AccountId, Event
from delivery.domain.signing import accept_secret, make_secret, seed_signature, standard_signature
from delivery.store import events
from service.api.calls import Call
from service.api.shapes import Query, Shape
from service.api.streams import position_of, stream
from service.api.tails import Tail
from service.runtime import Runtime

#: An event may appear this much later than the moment in its id.
_LATE = timedelta(seconds=5)

_SECRET_BYTES = 32


class ListenQuery(Query):
    """What to listen to: types, families or ``*``, separated by commas."""

    events: str = "*"


class Hello(Shape):
    """The first message: the secret that was made, where the request brought none in ``X-Listen-Secret``."""

    secret: str | None
    events: Sequence[str]


class Heard(Shape):
    """Every further message: a delivery, as an endpoint with that secret would get it."""

    headers: dict[str, str]
    body: str


async def listen(call: Call[ListenQuery]) -> web.StreamResponse:
    """Stream events until the listener, their key or the service goes."""
    patterns = _patterns(call.asked.events)
    given = call.request.headers.get("X-Listen-Secret")
    secret = accept_secret(given) if given else make_secret(call.runtime.around.entropy(_SECRET_BYTES))
    position = position_of(call)
    tail = _tail(call.runtime, call.principal.account_id)
    if position is not None:
        tail.begin_at(position)
    else:
        async with call.runtime.store.reading() as tx:
            await tail.begin_now(tx)

    def say(event: Event) -> Heard | None:
        wanted = event.type != TEST_TYPE and subscribes(patterns, event.type)
        return signed(event, secret, call.runtime) if wanted else None

    return await stream(call, tail, say, Hello(secret=None if given else secret, events=patterns))


def _tail(runtime: Runtime, account_id: AccountId) -> Tail[Event]:
    keys = partial(events.keys, account_id=account_id)
    rows = partial(events.those, account_id=account_id)
    return Tail(runtime.store, runtime.around.clock, keys, rows, late=_LATE)


def signed(event: Event, secret: str, runtime: Runtime) -> Heard:
    """Write an event as the delivery that an endpoint with this secret would get now."""
    brand, now = runtime.settings.brand, runtime.around.clock.now()
    timestamp = int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"{brand}-Webhooks/{VERSION}",
        f"X-{brand}-Signature": seed_signature(event.body, secret),
        f"X-{brand}-Event": event.type,
        f"X-{brand}-Delivery": new_id("dlv", now, runtime.around.luck),
        f"X-{brand}-Attempt": "1",
        "webhook-id": event.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature(event.id, timestamp, event.body, [secret]),
    }
    traced = {"traceparent": event.traceparent} if event.traceparent else {}
    return Heard(headers=headers | traced, body=event.body.decode())


def _patterns(text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    known = known_patterns()
    for name in wanted:
        if name not in known:
            raise InvalidInput("invalid_event_type", f'Unknown event type "{name[:64]}"', field="events")
    return wanted or ["*"]
