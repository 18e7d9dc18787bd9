"""The signature debugger: what a receiver got and the secret it has, and which part is wrong."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from delivery.domain.debugging import diagnose
from delivery.domain.errors import HooklineError, InvalidInput, NotFound
from service.api import deliveries as log
from service.api.calls import Call, fields
from service.api.deliveries import DeliveryInFull, DeliveryQuery
from service.api.shapes import Query, Word
from service.dashboard import findings
from service.dashboard.findings import Note
from service.dashboard.pages import show
from service.dashboard.pasted import pasted_of, read_headers
from service.failures import refused

#: Held by whoever is being answered: it takes a core, and deliveries want one, too.
AT_WORK = web.AppKey("debugging", asyncio.Lock)

_ID = re.compile(r"[A-Za-z0-9_]{1,64}\Z")


class Asked(Query):
    """The delivery to begin with."""

    delivery: Word | None = None


async def ask(call: Call[Asked]) -> web.Response:
    """The form; with what was last sent for a delivery, if one is named."""
    if call.asked.delivery is None:
        return _page(call, {})
    return _page(call, _typed_of(await log.in_full(call, call.asked.delivery), call.runtime.settings.brand))


async def debug(call: Call[None]) -> web.Response:
    """Say what is wrong. The secret stays in this request: no page shows it, and no log."""
    typed = await fields(call.request)
    try:
        notes = await _notes(call, typed)
    except InvalidInput as error:  # people read it where they typed
        return _page(call, typed, error=error)
    return _page(call, typed, notes=notes)


async def _notes(call: Call[None], typed: Mapping[str, str]) -> list[Note]:
    brand = call.runtime.settings.brand
    headers = read_headers(typed.get("headers", ""), brand)
    pasted = pasted_of(_body(typed), headers, brand)
    _refuse_incomplete(typed, signed=pasted.seed is not None or pasted.standard is not None)
    # a large body is written and signed anew some hundred times: others get their turns meanwhile
    async with call.request.app[AT_WORK]:
        diagnosis = await asyncio.to_thread(diagnose, pasted, typed["secret"], call.runtime.around.clock.now())
    notes = findings.of_diagnosis(diagnosis, f"X-{brand}-Signature")
    delivery = await _logged(call, headers)
    if delivery is not None:
        secret = await call.runtime.registry.recognise(call.reach, delivery.webhook_id, typed["secret"])
        notes += findings.of_log(delivery, pasted.body, _telling(headers, brand), secret)
    return notes


def _body(typed: Mapping[str, str]) -> bytes:
    """The body as it was pasted: browsers send each line break of a form as two characters."""
    return typed.get("body", "").replace("\r\n", "\n").encode()


def _refuse_incomplete(typed: Mapping[str, str], *, signed: bool) -> None:
    if not typed.get("body"):
        raise InvalidInput("invalid_payload", "Paste the body of the request", field="body")
    if not signed:
        raise InvalidInput(
            "invalid_payload", "There is no signature in it. Paste at least one header that holds one", field="headers"
        )
    if not typed.get("secret"):
        raise InvalidInput("invalid_payload", "Type the secret that your receiver uses", field="secret")


async def _logged(call: Call[None], headers: Mapping[str, str]) -> DeliveryInFull | None:
    """The delivery that the headers are of, if they tell and it is in the log."""
    named = headers.get(f"x-{call.runtime.settings.brand.lower()}-delivery", "")
    event = headers.get("webhook-id", "")
    if not _ID.match(named) and _ID.match(event):
        asked = DeliveryQuery(event_id=event, limit=2)
        found = (await log.browse(Call(call.request, call.runtime, asked))).items
        named = found[0].id if len(found) == 1 else ""
    try:
        return await log.in_full(call, named) if _ID.match(named) else None
    except NotFound:  # somebody else's, or deleted with age: then there is nothing to compare with
        return None


def _typed_of(delivery: DeliveryInFull, brand: str) -> dict[str, str]:
    """What somebody would have pasted of its last attempt."""
    if not delivery.attempts:
        return {}
    sent = delivery.attempts[-1].request
    lines = [f"{name}: {value}" for name, value in _telling(sent.headers, brand).items()]
    return {"body": sent.body, "headers": "\n".join(lines)}


def _telling(headers: Mapping[str, str], brand: str) -> dict[str, str]:
    """Those headers that are ours: the others, proxies may change."""
    ours = ("webhook-", f"x-{brand.lower()}-")
    return {name: value for name, value in headers.items() if name.lower().startswith(ours)}


def _page(
    call: Call[Any], typed: Mapping[str, str], *, notes: list[Note] | None = None, error: HooklineError | None = None
) -> web.Response:
    return show(
        call,
        "debugger",
        status=refused(call.request, error).status if error else 200,
        brand=call.runtime.settings.brand,
        typed={name: typed.get(name, "") for name in ("body", "headers")},
        notes=notes or [],
        wrong=error.field if error else None,
        problem=error.message if error else None,
    )
