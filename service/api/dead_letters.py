"""Dead letters: messages that the bus could not use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consumers.letters import revived
from consumers.wire import Message
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.deeds import Deed, Members, What
from delivery.domain.envelope import read_json, write_json
from delivery.domain.errors import NotFound
from delivery.store import dead_letters
from delivery.store.engine import Transaction
from service.api.calls import Call
from service.api.shapes import Body, Encoding, Listing, Moment, PageQuery, Shape, legible


class DeadLetter(Shape):
    """A message, and why it could not be used."""

    id: str
    received_at: Moment
    queue: str
    routing_key: str
    reason: str
    detail: str
    content_type: str | None
    headers: Mapping[str, str]
    size: int


class DeadLetterInFull(DeadLetter):
    """A message with its body, as it came."""

    body: str
    encoding: Encoding


class DeadLetters(Listing[DeadLetter]):
    """A page of dead letters."""


class Requeue(Body):
    """With a ``body``, an object or text, that is published in the place of the message's own."""

    body: str | dict[str, Any] | None = None


async def browse(call: Call[PageQuery]) -> DeadLetters:
    """List dead letters."""
    async with call.runtime.store.reading() as tx:
        page = await dead_letters.browse(tx, call.asked.request())
    return DeadLetters(items=[DeadLetter(**_members(letter)) for letter in page.items], next=page.next)


async def count(call: Call[Any], most: int) -> int:
    """Count dead letters, up to a limit."""
    async with call.runtime.store.reading() as tx:
        return await dead_letters.count(tx, most=most)


async def find(call: Call[None]) -> DeadLetterInFull:
    """Show one dead letter."""
    async with call.runtime.store.reading() as tx:
        letter = await _found(tx, call.id)
    body, encoding = legible(letter.body)
    return DeadLetterInFull(**_members(letter), body=body, encoding=encoding)


async def requeue(call: Call[Requeue]) -> None:
    """Publish the message again. It is forgotten here once the bus has it; what still cannot be used comes back."""
    async with call.runtime.store.reading() as tx:
        letter = await _found(tx, call.id)
    message = revived(letter)
    if call.asked.body is not None:
        message = _edited(message, call.asked.body)
    await call.runtime.bus.publish(message)
    edited = None if call.asked.body is None else {"body": "another one"}
    async with call.runtime.store.writing() as tx:
        await dead_letters.discard(tx, letter.id)
        await call.note(tx, _deed("dead_letter.requeued", letter, edited))


async def discard(call: Call[None]) -> None:
    """Delete a dead letter."""
    async with call.runtime.store.writing() as tx:
        letter = await _found(tx, call.id)
        if not await dead_letters.discard(tx, letter.id):  # somebody was quicker
            raise NotFound("dead letter")
        await call.note(tx, _deed("dead_letter.discarded", letter))


def _deed(what: What, letter: dead_letters.DeadLetter, after: Members | None = None) -> Deed:
    """A letter is no account's: nobody knows whose it was to be."""
    return Deed(what, None, letter.id, f"{letter.reason} in {letter.queue}", after=after)


async def _found(tx: Transaction, letter_id: str) -> dead_letters.DeadLetter:
    letter = await dead_letters.find(tx, letter_id)
    if letter is None:
        raise NotFound("dead letter")
    return letter


def _edited(message: Message, body: str | dict[str, Any]) -> Message:
    """Give a message another body. What it is about may have changed with it, and so may the consumer that wants it."""
    raw = body.encode() if isinstance(body, str) else write_json(body)
    value = read_json(raw)
    event = value.get("event") if isinstance(value, dict) else None
    routing_key = event if isinstance(event, str) and event in PUBLISHED else message.routing_key
    return replace(message, body=raw, routing_key=routing_key)


def _members(letter: dead_letters.DeadLetter) -> dict[str, Any]:
    same = {name: getattr(letter, name) for name in DeadLetter.model_fields if name != "size"}
    return same | {"size": len(letter.body)}
