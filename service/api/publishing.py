"""Publishing events: one, or up to a thousand at once."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import Submission, submit
from delivery.domain.errors import HooklineError, InvalidEvent, InvalidInput
from delivery.domain.model import AccountId, valid_traceparent
from delivery.fanout import Receipt
from delivery.intake import Offer, Refused
from service.api.calls import Call
from service.api.shapes import Body, Shape
from service.auth import Principal
from service.credentials import Forbidden

MOST_EVENTS = 1000

#: So many events are checked between two turns of the event loop.
_HANDFUL = 50

_ACCOUNT = re.compile(r"[\x21-\x7e]{1,40}")


class Publication(RootModel[Any]):
    """An event: its envelope, and beside it the publisher's own ``id`` and the account, both taken out again.

    What ``data`` holds is said by the schema of the type, see ``GET /api/event-types``.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe what ``submit`` accepts."""
        handler(schema)
        return {
            "type": "object",
            "title": cls.__name__,
            "description": cls.__doc__,
            "required": ["event", "timestamp", "data"],
            "properties": {
                "event": {"type": "string", "enum": list(PUBLISHED)},
                "timestamp": {"type": "string", "format": "date-time", "examples": ["2024-03-14T10:23:45.000Z"]},
                "data": {"type": "object", "required": ["job_id"], "properties": {"job_id": {"type": "string"}}},
                "id": {"type": "string", "maxLength": 255, "description": "the event's identity"},
                "account_id": {"type": "string", "description": "whose event it is; for keys that operate"},
            },
        }


class Batch(Body):
    """Up to 1,000 events, each as for ``POST /api/events``."""

    events: list[Any] = Field(json_schema_extra={"items": {"$ref": "#/components/schemas/Publication"}})


class Accepted(Shape):
    """What became of an event. A duplicate bears the id under which it was accepted before."""

    id: str
    duplicate: bool
    deliveries: int


class ItemError(Shape):
    """Why the event at ``index`` was not taken."""

    index: int
    error: str
    code: str
    field: str | None = Field(None, exclude_if=lambda field: field is None)


class BatchResult(Shape):
    """What became of a batch: accepted + duplicates + errors_count events came in."""

    accepted: int
    duplicates: int
    errors_count: int
    errors: Sequence[ItemError]


async def publish(call: Call[Publication]) -> Accepted:
    """Publish one event. When this answers, the event and its deliveries are committed."""
    [result] = await _hand_in(call, [_submission(call, call.asked.root)])
    if isinstance(result, Refused):
        raise result.error
    return Accepted(id=result.event_id, duplicate=result.duplicate, deliveries=result.deliveries)


async def publish_batch(call: Call[Batch]) -> BatchResult:
    """Publish many events. Good ones are taken though others fail; what does not fit the quota is refused whole."""
    if len(call.asked.events) > MOST_EVENTS:
        raise InvalidInput("batch_too_large", f"Batch requests are limited to {MOST_EVENTS:,} events", field="events")
    good: dict[int, Submission] = {}
    errors: dict[int, HooklineError] = {}
    for index, event in enumerate(call.asked.events):
        try:
            good[index] = _submission(call, event)
        except HooklineError as error:  # this one's own fault: the others are none the worse for it
            errors[index] = error
        if index % _HANDFUL == 0:
            await asyncio.sleep(0)
    results = await _hand_in(call, list(good.values())) if good else []
    taken: list[Receipt] = []
    for index, result in zip(good, results, strict=True):
        if isinstance(result, Refused):
            errors[index] = result.error
        else:
            taken.append(result)
    duplicates = sum(receipt.duplicate for receipt in taken)
    return BatchResult(
        accepted=len(taken) - duplicates,
        duplicates=duplicates,
        errors_count=len(errors),
        errors=[_item_error(index, errors[index]) for index in sorted(errors)],
    )


async def _hand_in(call: Call[Any], submissions: Sequence[Submission]) -> Sequence[Receipt | Refused]:
    reply = await call.runtime.offers.hand_in(Offer(submissions, call.principal.meter))
    if isinstance(reply, Refused):
        raise reply.error
    call.charge(len(submissions))
    return reply


def _submission(call: Call[Any], event: Any) -> Submission:
    if not isinstance(event, dict):
        raise InvalidEvent("invalid_payload", "An event is a JSON object")
    envelope = dict(event)
    external_id, account_id = envelope.pop("id", None), envelope.pop("account_id", None)
    if external_id is not None and not isinstance(external_id, str):
        raise InvalidEvent("invalid_payload", '"id" is not a string', field="id")
    return submit(
        envelope,
        _account(call.principal, account_id),
        external_id=external_id,
        traceparent=valid_traceparent(call.request.headers.get("traceparent")),
    )


def _account(principal: Principal, named: Any) -> AccountId:
    """Whose event it is: the caller's own, unless they operate."""
    if named is None or named == principal.account_id:
        return principal.account_id
    if "operate" not in principal.scopes:
        raise Forbidden("forbidden", "Only keys that operate publish for other accounts", field="account_id")
    if not isinstance(named, str) or not _ACCOUNT.fullmatch(named):
        raise InvalidEvent("unknown_account", "No such account", field="account_id")
    return AccountId(named)


def _item_error(index: int, error: HooklineError) -> ItemError:
    return ItemError(index=index, error=error.message, code=error.code, field=error.field)
