"""From a publisher's own RabbitMQ client to a customer's receiver, through the whole service on PostgreSQL."""

import json

import aio_pika
from aio_pika.abc import AbstractChannel

from delivery.domain.catalogue import PUBLISHED
from tests.e2e.conftest import prepared_postgres
from tests.service.house import SECRET, open_house
from tests.support.polling import until
from tests.support.receiver import Receiver, verifies

__all__ = ["prepared_postgres"]

#: What cannot be used: routing key, body, and the reason that its dead letter gives.
_UNUSABLE = (
    ("annotation.completed", b"not JSON", "invalid_json"),
    (
        "batch.exploded",
        b'{"event": "batch.exploded", "timestamp": "2026-01-01T00:00:00.000Z", "data": {}}',
        "invalid_event_type",
    ),
    (
        "review.submitted",
        b'{"event": "review.submitted", "timestamp": "2026-01-01T00:00:00.000Z", "data": {}}',
        "invalid_payload",
    ),
)


async def send(channel: AbstractChannel, routing_key: str, body: bytes, account: str) -> None:
    exchange = await channel.get_exchange("hookline.events")
    message = aio_pika.Message(body, headers={"account-id": account}, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(message, routing_key)


async def reasons(channel: AbstractChannel) -> list[str]:
    """What the messages in the dead-letter queue say of themselves; they are put back."""
    queue = await channel.get_queue("hookline.dead-letters")
    found = []
    while (message := await queue.get(fail=False)) is not None:
        found.append(message)
    for message in found:
        await message.nack(requeue=True)
    return sorted(str(message.headers["hookline-reason"]) for message in found)


async def test_all_six_types_reach_their_receiver_and_what_cannot_be_used_stops_none_of_them(
    prepared_postgres: str, rabbit_url: str, receiver: Receiver
) -> None:
    async with open_house(prepared_postgres, bus_url=rabbit_url) as house:
        account = await house.account("broker@example.com")
        await account.user.register(receiver.url)
        await until(lambda: all(one.up for one in house.runtime.bus.health()))
        async with await aio_pika.connect(rabbit_url) as connection:
            channel = await connection.channel()
            for routing_key, body, _ in _UNUSABLE:
                await send(channel, routing_key, body, account.id)
            for kind in PUBLISHED.values():
                await send(channel, kind.name, json.dumps(kind.example).encode(), account.id)
            await until(lambda: len(receiver.calls) == len(PUBLISHED))
            await until(lambda: _all_there(channel))
        await house.quiet()
        log = await account.key.deliveries()
    assert {call.headers["X-Tagmatic-Event"] for call in receiver.calls} == set(PUBLISHED)
    assert all(verifies(call, SECRET) for call in receiver.calls)
    assert [entry["status"] for entry in log] == ["delivered"] * len(PUBLISHED)


async def _all_there(channel: AbstractChannel) -> bool:
    return await reasons(channel) == sorted(reason for _, _, reason in _UNUSABLE)
