"""The servers that everything else rests on."""

import aio_pika
import asyncpg


async def test_postgresql_gives_each_test_an_empty_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    tables = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == []


async def test_rabbitmq_gives_each_test_a_virtual_host_that_keeps_messages(rabbit_url: str) -> None:
    async with await aio_pika.connect(rabbit_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(b"kept"), routing_key="q")
        message = await queue.get(timeout=10)
        assert message is not None
        assert message.body == b"kept"
