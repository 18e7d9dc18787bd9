"""Listening without a public address: a stream of the account's events as they are accepted, signed like deliveries."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from aiohttp import web

from delivery import VERSION
from delivery.domain.catalogue import TEST_TYPE, known_patterns
from delivery.domain.errors import InvalidInput
from delivery.domain.filters import subscribes
from delivery.domain.ids import first_id, new_id
from delivery.domain.model import AccountId, Event, EventId
from delivery.domain.signing import accept_secret, make_secret, seed_signature, standard_signature
from delivery.ports import Clock
from delivery.store import events
from delivery.store.engine import Store, is_database_fault
from service.api.calls import CREDENTIALS, Call
from service.api.shapes import Query, Shape
from service.credentials import Unauthorised
from service.platform import PlatformAway
from service.runtime import Runtime

#: Set when the application begins to shut down.
CLOSING = web.AppKey("closing", asyncio.Event)

#: Seconds between two looks into the store, and looks between two signs of life on a silent stream.
_PAUSE_S = 0.5
_LOOKS_PER_SIGN = 30

#: Ids are made before the commit, so an event may appear this much later than one with a higher id.
_LATE = timedelta(seconds=2)

_PAGE = 50
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


class Tail:
    """The end of an account's list of events, from one moment on."""

    def __init__(self, store: Store, clock: Clock, account_id: AccountId) -> None:
        self._store = store
        self._clock = clock
        self._account_id = account_id
        self._start = first_id("evt", clock.now())
        self._seen: set[EventId] = set()

    async def fresh(self) -> list[Event]:
        """Events that were accepted since the last call."""
        last = max(self._start, first_id("evt", self._clock.now() - _LATE))
        found: list[Event] = []
        async with self._store.reading() as tx:
            while page := await events.after(tx, self._account_id, last, limit=_PAGE):
                found += page
                last = page[-1].id
        new = [event for event in found if event.id not in self._seen]
        self._seen = {event.id for event in found}
        return new


async def listen(call: Call[ListenQuery]) -> web.StreamResponse:
    """Stream events until the listener, their key or the service goes."""
    patterns = _patterns(call.asked.events)
    given = call.request.headers.get("X-Listen-Secret")
    secret = accept_secret(given) if given else make_secret(call.runtime.around.entropy(_SECRET_BYTES))
    tail = Tail(call.runtime.store, call.runtime.around.clock, call.principal.account_id)
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await stream.prepare(call.request)
    try:
        await _say(stream, Hello(secret=None if given else secret, events=patterns))
        looks = 0
        while await another_look(call):
            looks += 1
            for event in await _fresh(tail):
                if event.type != TEST_TYPE and subscribes(patterns, event.type):
                    await _say(stream, signed(event, secret, call.runtime))
            if looks % _LOOKS_PER_SIGN == 0:
                await stream.write(b": still here\n\n")
    except ConnectionError:  # the listener went away, as listeners do
        pass
    return stream


async def another_look(call: Call[ListenQuery]) -> bool:
    """Wait a little; False when the service shuts down, the listener is gone, or their key is no longer good."""
    try:
        async with asyncio.timeout(_PAUSE_S):
            await call.request.app[CLOSING].wait()
    except TimeoutError:  # nothing but the pause is over
        transport = call.request.transport
        return transport is not None and not transport.is_closing() and await _still_known(call)
    return False


async def _still_known(call: Call[ListenQuery]) -> bool:
    try:
        await call.runtime.auth.identify(call.request[CREDENTIALS])
    except Unauthorised:  # revoked or expired meanwhile
        return False
    except PlatformAway:  # nor can this be known while the platform is away
        return True
    except Exception as error:
        # whether the key is still good cannot be known while the database is away, and nothing is sent meanwhile
        if not is_database_fault(error):
            raise
    return True


async def _fresh(tail: Tail) -> list[Event]:
    try:
        return await tail.fresh()
    except Exception as error:
        # a database that is away comes back, and the listener waits for it like everybody else
        if not is_database_fault(error):
            raise
        return []


async def _say(stream: web.StreamResponse, message: Shape) -> None:
    await stream.write(b"data: " + message.model_dump_json().encode() + b"\n\n")


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
