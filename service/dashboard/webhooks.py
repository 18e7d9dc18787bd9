"""Webhooks: how they do, what they get, and everything that can be done with one."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web
from pydantic import Field

from delivery.domain.errors import HooklineError
from service.api import stats, webhooks
from service.api.calls import Call, fields, validated
from service.api.deliveries import OfWebhookQuery, page_of
from service.api.shapes import PageQuery, Word
from service.dashboard import webhook_form
from service.dashboard.charts import Period, charts_of
from service.dashboard.forms import Form, filled
from service.dashboard.live import stream
from service.dashboard.pages import part, see, show
from service.failures import refused

_RECENT = 10


class ListQuery(PageQuery):
    """Which part of the list, and what was done just before."""

    said: Literal["deleted"] | None = None


class Said(Period):
    """How far back to look, and what was done just before: the page says so. ``tested`` is the delivery of a test."""

    said: Literal["changed", "paused", "resumed"] | None = None
    tested: Word | None = None


class Rotation(Form):
    """A new secret, and how long the old ones stay valid beside it."""

    secret: str | None = None
    overlap_seconds: int = Field(86_400, ge=0)


async def browse(call: Call[ListQuery]) -> web.Response:
    """All of them, newest first."""
    found = await webhooks.browse(_with(call, PageQuery(limit=call.asked.limit, cursor=call.asked.cursor)))
    older = found.next and urlencode({"cursor": found.next})
    return show(call, "webhooks", found=found, older=older, said=call.asked.said)


async def new(call: Call[None]) -> web.Response:
    """The form of a new one."""
    return _form(call, {})


async def create(call: Call[None]) -> web.Response:
    """Register it. Its secret is on this page and on no other."""
    typed = await fields(call.request)
    try:
        members = webhook_form.asked(typed)
        if secret := typed.get("secret", "").strip():
            members["secret"] = secret
        made = await webhooks.create(_with(call, validated(webhooks.NewWebhook, members)))
    except HooklineError as error:  # people read it where they typed
        return _form(call, typed, error=error)
    return show(call, "webhook_secret", webhook=made, what="registered", brand=call.runtime.settings.brand)


async def find(call: Call[Said]) -> web.Response:
    """One webhook."""
    return await _one(call, call.asked)


async def watch(call: Call[Period]) -> web.StreamResponse:
    """How it does, as that changes."""

    async def render() -> str:
        webhook = await webhooks.find(_with(call, None))
        return part(call, "webhook", webhook=webhook, **await _figures(call, call.asked))

    return await stream(call, render)


async def edit(call: Call[None]) -> web.Response:
    """The form, with what it is now."""
    webhook = await webhooks.find(call)
    return _form(call, webhook_form.typed_of(webhook), webhook)


async def change(call: Call[None]) -> web.Response:
    """Change it to what the form says."""
    webhook, typed = await webhooks.find(call), await fields(call.request)
    try:
        await webhooks.change(_with(call, validated(webhooks.WebhookChanges, webhook_form.asked(typed))))
    except HooklineError as error:  # people read it where they typed
        return _form(call, typed, webhook, error)
    return see(f"/webhooks/{call.id}?said=changed")


async def pause(call: Call[None]) -> web.Response:
    """Send it nothing."""
    await webhooks.change(_with(call, webhooks.WebhookChanges(active=False)))
    return see(f"/webhooks/{call.id}?said=paused")


async def resume(call: Call[None]) -> web.Response:
    """Send to it again."""
    await webhooks.change(_with(call, webhooks.WebhookChanges(active=True)))
    return see(f"/webhooks/{call.id}?said=resumed")


async def test(call: Call[None]) -> web.Response:
    """Send a signed sample, and show what came of it."""
    try:
        made = await webhooks.test(call)
    except HooklineError as error:  # it is disabled: the page says why
        return await _one(call, Said(), error)
    return see(f"/webhooks/{call.id}?tested={made.delivery_id}")


async def rotate(call: Call[None]) -> web.Response:
    """Give it another secret, that is on this page and on no other."""
    try:
        wanted = await filled(call, Rotation)
        made = await webhooks.rotate(_with(call, validated(webhooks.Rotation, wanted.model_dump())))
    except HooklineError as error:  # people read it where they typed
        return await _one(call, Said(), error)
    return show(call, "webhook_secret", webhook=made, what="rotated", brand=call.runtime.settings.brand)


async def remove(call: Call[None]) -> web.Response:
    """Delete it; its log stays."""
    await webhooks.remove(call)
    return see("/webhooks?said=deleted")


async def _one(call: Call[Any], asked: Said, error: HooklineError | None = None) -> web.Response:
    webhook = await webhooks.find(_with(call, None))
    recent = await page_of(_with(call, OfWebhookQuery(limit=_RECENT)), webhook.id)
    tested = await page_of(_with(call, OfWebhookQuery(q=asked.tested, limit=1)), webhook.id) if asked.tested else None
    return show(
        call,
        "webhook",
        status=refused(call.request, error).status if error else 200,
        webhook=webhook,
        recent=recent.items,
        tested=tested.items[0] if tested and tested.items else None,
        said=asked.said,
        wrong=error.field if error else None,
        problem=error.message if error else None,
        **await _figures(call, asked),
    )


async def _figures(call: Call[Any], asked: Period) -> dict[str, Any]:
    found = await stats.report(_with(call, asked.stats(call.id)))
    return {"period": asked.period, "totals": found.totals, "charts": charts_of(found)}


def _form(
    call: Call[Any],
    typed: Mapping[str, str],
    webhook: webhooks.Webhook | None = None,
    error: HooklineError | None = None,
) -> web.Response:
    """The form, with a mistake told at the field where it was made."""
    return show(
        call,
        "webhook_form",
        status=refused(call.request, error).status if error else 200,
        webhook=webhook,
        typed=typed,
        choices=webhook_form.CHOICES,
        ticked=webhook_form.TICKED,
        wrong=(error.field or "").partition(".")[0] if error else None,
        problem=error.message if error else None,
    )


def _with(call: Call[Any], asked: Any) -> Call[Any]:
    return Call(call.request, call.runtime, asked)
