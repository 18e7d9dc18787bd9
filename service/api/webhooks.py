"""Webhooks: a customer's endpoints."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from delivery.domain.errors import NotFound
from delivery.domain.gate import is_open
from delivery.domain.model import Endpoint
from delivery.domain.signing import standard_secret
from delivery.registry import Wishes
from delivery.store import endpoints, events, log
from delivery.store.cursors import PageRequest
from delivery.store.endpoints import Health as RecentHealth
from delivery.store.engine import Transaction
from service.api.attempts import Attempt, attempt_shape
from service.api.calls import Call
from service.api.deliveries import Deliveries, OfWebhookQuery, page_of
from service.api.shapes import Body, Listing, Moment, PageQuery, Shape, without_defaults

_DAY_S = 86_400

#: JSON Schema of members that are judged by the rules for URLs and headers, whatever they hold.
_URL: dict[str, JsonValue] = {
    "type": "string",
    "format": "uri",
    "maxLength": 2048,
    "examples": ["https://yourapp.com/webhooks/tagmatic"],
}
_HEADERS: dict[str, JsonValue] = {
    "additionalProperties": {"type": "string"},
    "examples": [{"Authorization": "Bearer abc"}],
}


class NewWebhook(Body):
    """What is asked of a webhook; without a secret one is made."""

    url: Any = Field(json_schema_extra=_URL)
    events: list[str] = Field(examples=[["annotation.completed", "batch.*"]])
    secret: str | None = None
    description: str = Field("", max_length=1000)
    headers: dict[str, Any] = Field({}, json_schema_extra=_HEADERS)
    filter: dict[str, Any] | None = Field(None, examples=[{"data.project_id": ["proj_a", "proj_b"]}])
    rate_limit: int | None = Field(
        None, ge=1, le=10_000, description="the most requests in a second, over all processes"
    )
    retry_schedule: list[int] | None = Field(None, description="seconds before each retry")
    signing: Literal["hmac-sha256"] = "hmac-sha256"
    kind: Literal["webhook"] = "webhook"


class WebhookChanges(Body):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    url: Any = Field(None, json_schema_extra=_URL)
    events: list[str] = Field([])
    description: str = Field("", max_length=1000)
    headers: dict[str, Any] = Field({}, json_schema_extra=_HEADERS)
    filter: dict[str, Any] | None = None
    rate_limit: int | None = Field(
        None, ge=1, le=10_000, description="the most requests in a second, over all processes"
    )
    retry_schedule: list[int] | None = Field(None, description="seconds before each retry")
    active: bool = True


class Rotation(Body):
    """A new secret; without one it is made. The old one stays valid beside it for a while."""

    secret: str | None = None
    overlap_seconds: int = Field(_DAY_S, ge=0, le=30 * _DAY_S)


class Secret(Shape):
    """A signing secret that is valid, without the secret itself."""

    last4: str
    created_at: Moment
    expires_at: Moment | None


class Health(Shape):
    """How the last deliveries went. ``success_rate`` is null before the first one ended.

    ``open`` is the state of a circuit: after five failures in a row one request at a time is sent, until one succeeds.
    """

    state: Literal["ok", "failing", "open", "disabled"]
    success_rate: float | None
    last_delivery_at: Moment | None


class Webhook(Shape):
    """An endpoint that gets events."""

    id: str
    account_id: str
    url: str
    events: Sequence[str]
    description: str
    active: bool
    disabled_reason: str | None
    kind: str
    headers: Mapping[str, str]
    filter: Mapping[str, Any] | None
    rate_limit: int | None
    retry_schedule: Sequence[int] | None
    secrets: Sequence[Secret]
    health: Health
    created_at: Moment
    updated_at: Moment


class WebhookWithSecret(Webhook):
    """A webhook whose secret was just set: it is shown in this answer and never again.

    ``standard_webhooks_secret`` is the same key in the form that the libraries of Standard Webhooks take.
    """

    secret: str
    standard_webhooks_secret: str


class Webhooks(Listing[Webhook]):
    """A page of webhooks."""


class TestAttempt(Attempt):
    """The attempt that a test call made, and the delivery under which it is in the log."""

    delivery_id: str


async def create(call: Call[NewWebhook]) -> WebhookWithSecret:
    """Register a webhook."""
    asked = call.asked.model_dump(exclude={"secret", "signing"})
    endpoint, secret = await call.runtime.registry.register(
        call.principal.account_id, Wishes(**asked), call.asked.secret, by=call.principal.by
    )
    return _with_secret(call, endpoint, RecentHealth(None, None), secret)


async def browse(call: Call[PageQuery]) -> Webhooks:
    """List webhooks."""
    async with call.runtime.store.reading() as tx:
        page = await endpoints.browse(tx, call.reach, call.asked.request())
        items = [await _shape(tx, call, endpoint) for endpoint in page.items]
    return Webhooks(items=items, next=page.next)


async def newest(call: Call[Any], most: int) -> Sequence[Endpoint]:
    """The newest webhooks, where only their names are wanted."""
    async with call.runtime.store.reading() as tx:
        return (await endpoints.browse(tx, call.reach, PageRequest(most))).items


async def find(call: Call[None]) -> Webhook:
    """Show one webhook."""
    async with call.runtime.store.reading() as tx:
        return await _shape(tx, call, await _found(tx, call))


async def change(call: Call[WebhookChanges]) -> Webhook:
    """Change a webhook. It holds from the next attempt on."""
    changes = call.asked.model_dump(exclude_unset=True)
    endpoint = await call.runtime.registry.change(call.reach, call.id, changes, by=call.principal.by)
    async with call.runtime.store.reading() as tx:
        return await _shape(tx, call, endpoint)


async def remove(call: Call[None]) -> None:
    """Delete a webhook. Its log stays."""
    await call.runtime.registry.remove(call.reach, call.id, by=call.principal.by)


async def rotate(call: Call[Rotation]) -> WebhookWithSecret:
    """Give a webhook a new secret."""
    endpoint, secret = await call.runtime.registry.rotate(
        call.reach, call.id, call.asked.secret, overlap_s=call.asked.overlap_seconds, by=call.principal.by
    )
    async with call.runtime.store.reading() as tx:
        return _with_secret(call, endpoint, await endpoints.health(tx, endpoint.id), secret)


async def test(call: Call[None]) -> TestAttempt:
    """Send a signed sample now."""
    delivery_id, attempt = await call.runtime.registry.test(call.reach, call.id, by=call.principal.by)
    async with call.runtime.store.reading() as tx:
        delivery = await log.find(tx, call.reach, delivery_id)
        found = await events.find(tx, call.reach, delivery.event_id) if delivery else None
    body = found[0].body if found else b""
    return TestAttempt(**attempt_shape(attempt, body).model_dump(by_alias=False), delivery_id=delivery_id)


async def show_log(call: Call[OfWebhookQuery]) -> Deliveries:
    """List a webhook's deliveries."""
    async with call.runtime.store.reading() as tx:
        endpoint = await _found(tx, call)
    return await page_of(call, endpoint.id)


async def _found(tx: Transaction, call: Call[Any]) -> Endpoint:
    endpoint = await endpoints.find(tx, call.reach, call.id)
    if endpoint is None:
        raise NotFound("webhook")
    return endpoint


async def _shape(tx: Transaction, call: Call[Any], endpoint: Endpoint) -> Webhook:
    health = await endpoints.health(tx, endpoint.id)
    return Webhook(**_members(endpoint, health, call.runtime.around.clock.now()))


def _with_secret(call: Call[Any], endpoint: Endpoint, health: RecentHealth, secret: str) -> WebhookWithSecret:
    members = _members(endpoint, health, call.runtime.around.clock.now())
    return WebhookWithSecret(**members, secret=secret, standard_webhooks_secret=standard_secret(secret))


def _members(endpoint: Endpoint, health: RecentHealth, now: datetime) -> dict[str, Any]:
    same = {name: getattr(endpoint, name) for name in Webhook.model_fields if name not in ("secrets", "health")}
    valid = [secret for secret in endpoint.secrets if secret.expires_at is None or secret.expires_at > now]
    return same | {
        "secrets": [Secret(last4=s.last4, created_at=s.created_at, expires_at=s.expires_at) for s in valid],
        "health": Health(
            state=_state(endpoint), success_rate=health.success_rate, last_delivery_at=health.last_delivery_at
        ),
    }


def _state(endpoint: Endpoint) -> Literal["ok", "failing", "open", "disabled"]:
    if not endpoint.active:
        return "disabled"
    if is_open(endpoint):
        return "open"
    return "ok" if endpoint.failing_since is None else "failing"
