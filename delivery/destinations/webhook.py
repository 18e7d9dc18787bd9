"""Deliveries to a customer's URL, as the setup guide promises them."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from delivery import VERSION
from delivery.destinations.failures import classify, judge_status
from delivery.destinations.journey import Journey, request, travelling
from delivery.domain.guard import EgressPolicy, parse_target
from delivery.domain.model import Answer, Outcome
from delivery.domain.signing import seed_signature, standard_signature
from delivery.ports import Shipment
from delivery.telemetry import warn

#: How much of an answer's body is kept, and how long it may take after the headers.
MOST_BODY = 16 * 1024
BODY_PATIENCE = 1.0

#: How many characters of an answer's headers are kept.
_MOST_HEADER_TEXT = 16 * 1024

#: URLs that are kept in the form in which they are dialled.
_ROUTES_KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Route:
    """A URL that the policy permits, ready to dial."""

    url: URL
    host: str
    by_name: bool


class _Names(NamedTuple):
    """The headers that are called after the brand."""

    signature: str
    event: str
    delivery: str
    attempt: str


class WebhookDestination:
    """Carries shipments to the URL of their endpoint: one POST each, and no second one that the log would not show."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        policy: EgressPolicy,
        *,
        brand: str = "Tagmatic",
        attempt_timeout: float = 10.0,
        body_patience: float = BODY_PATIENCE,
    ) -> None:
        self._session = session
        self._policy = policy
        self._attempt_timeout = attempt_timeout
        # aiohttp's own timer is cheaper than one around it; without the threshold it rounds 5 s and more up to seconds
        self._limit = aiohttp.ClientTimeout(total=attempt_timeout, ceil_threshold=math.inf)
        self._body_patience = body_patience
        self._names = _Names(*(f"X-{brand}-{last}" for last in ("Signature", "Event", "Delivery", "Attempt")))
        self._always = {
            "Content-Type": "application/json",
            "User-Agent": f"{brand}-Webhooks/{VERSION}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        self._route = lru_cache(_ROUTES_KEPT)(self._find_route)

    async def send(self, shipment: Shipment) -> Outcome:
        """Make one request. Whatever the other side does is an outcome; a cancellation passes through."""
        url = shipment.endpoint.url
        headers: dict[str, str] = {}
        journey = Journey()
        answer: Answer | None = None
        try:
            route = self._route(url)
            journey.by_name = route.by_name
            headers = self._headers(shipment, route)
            with travelling(journey):
                answer = await self._exchange(route, headers, shipment.parcel.body, journey)
            failure = judge_status(answer.status)
        except Exception as error:  # noqa: BLE001 - the table in ``failures`` has a row for everything
            failure = classify(error, journey, self._attempt_timeout)
            if failure.error == "internal_error":
                warn("attempt.broken", delivery=shipment.parcel.delivery_id, exc_info=error)
        return Outcome(url, headers, journey.timings(), answer, failure, journey.address)

    def _find_route(self, url: str) -> _Route:
        """Parse again what was accepted at registration: the policy may have changed since."""
        target = parse_target(url, self._policy)
        dialled = URL(target.url, encoded=True)
        return _Route(dialled, dialled.host_port_subcomponent or "", by_name=target.address is None)

    def _headers(self, shipment: Shipment, route: _Route) -> dict[str, str]:
        """Build all headers that go out, none left to the HTTP client, so that the log shows what was sent."""
        parcel, names = shipment.parcel, self._names
        timestamp = int(shipment.at.timestamp())
        headers = {
            **self._always,
            "Host": route.host,
            "Content-Length": str(len(parcel.body)),
            names.signature: seed_signature(parcel.body, shipment.secrets[0]),
            names.event: parcel.event_type,
            names.delivery: parcel.delivery_id,
            names.attempt: str(shipment.number),
            "webhook-id": parcel.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": standard_signature(parcel.event_id, timestamp, parcel.body, shipment.secrets),
        }
        if parcel.traceparent:
            headers["traceparent"] = parcel.traceparent
        return _beside(headers, shipment.endpoint.headers) if shipment.endpoint.headers else headers

    async def _exchange(self, route: _Route, headers: dict[str, str], body: bytes, journey: Journey) -> Answer:
        response: aiohttp.ClientResponse | None = None
        try:
            response = await request(self._session, "POST", route.url, headers=headers, data=body, timeout=self._limit)
            journey.arrive()
            text, truncated = await self._read(response.content)
            return Answer(response.status, _legible(response.raw_headers), text[:MOST_BODY], truncated=truncated)
        finally:
            if response is None:
                journey.abandon()
            elif response.connection is not None:  # else it was read to its end, and its connection serves others now
                response.close()
                journey.abandon()

    async def _read(self, content: aiohttp.StreamReader) -> tuple[bytes, bool]:
        """Read the body as far as it is kept, and say whether there was more. Nothing in it can fail the delivery."""
        if content.is_eof() and content.exception() is None:  # it came along with the headers, as most do
            text = content.read_nowait()
            return text, len(text) > MOST_BODY
        read = bytearray()
        try:
            async with asyncio.timeout(self._body_patience):
                while len(read) <= MOST_BODY and (more := await content.readany()):
                    read += more
        except Exception:  # noqa: BLE001 - slow, broken off or nonsense, and the status has decided already
            return bytes(read), True
        return bytes(read), len(read) > MOST_BODY


def _beside(ours: dict[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Add the customer's headers. They cannot displace ours, except that they may say what they accept."""
    merged = CIMultiDict(ours)
    for name, value in theirs.items():
        if name not in merged or name.lower() == "accept":
            merged[name] = value
    return dict(merged.items())


def _legible(raw: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Make headers text, whatever their bytes: UTF-8, or else the Latin-1 of the old days, which takes everything."""
    headers: list[tuple[str, str]] = []
    size = 0
    for name, value in raw:
        size += len(name) + len(value)
        if size > _MOST_HEADER_TEXT:
            break
        try:
            headers.append((name.decode(), value.decode()))
        except UnicodeDecodeError:
            headers.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(headers)
