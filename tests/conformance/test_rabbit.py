"""What the bus on RabbitMQ promises beyond what every bus does: whatever happens to the broker, it comes back."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aio_pika
import aiormq
import pytest
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pamqp import encode

from consumers.families import DEAD, DEAD_LETTERS, EVENTS, UNROUTED
from consumers.health import BusUnavailable
from consumers.rabbit import bus as rabbit_bus
from consumers.rabbit import publisher as rabbit_publisher
from consumers.rabbit import session as rabbit_session
from consumers.rabbit.session import Session
from consumers.wire import publication
from delivery.domain.envelope import write_json
from delivery.store.engine import Store
from tests.conformance.buses import Setting, a_bus, channel_to, locked, publish_raw, saying, setting
from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ
from tests.support.polling import until
from tests.support.samples import envelope
from tests.support.stores import ACCOUNT

ANNOTATION = "hookline.annotation"

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def at_work(rabbit_url: str, store: Store) -> AsyncIterator[Setting]:
    """The bus at work on a virtual host of its own."""
    async with setting(rabbit_url, store) as opened:
        yield opened


async def publish(setting: Setting, job: str) -> None:
    await setting.bus.publish(publication(envelope(job_id=job), ACCOUNT))


async def ready(url: str, queue: str = ANNOTATION) -> int:
    """Messages in a queue that nobody holds."""
    async with channel_to(url) as channel:
        return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0


async def taken_from(channel: AbstractChannel, name: str) -> AbstractIncomingMessage:
    """The next message of a queue, as soon as there is one."""
    queue = await channel.get_queue(name)
    found: list[AbstractIncomingMessage] = []

    async def there() -> bool:
        found.extend(filter(None, [await queue.get(fail=False)]))
        return bool(found)

    await until(there)
    return found[0]


async def cut(rabbitmq: RabbitMQ) -> None:
    """Let the broker close every connection."""
    closing = '[rabbit_networking:close_connection(Pid, "a test") || Pid <- rabbit_networking:connections()].'
    await asyncio.to_thread(rabbitmq.evaluate, closing)


# --- the broker comes and goes ----------------------------------------------------------------------------------------


async def test_a_message_is_acknowledged_only_after_the_commit(rabbitmq: RabbitMQ, at_work: Setting) -> None:
    async with locked(at_work.store):
        await publish(at_work, "ann_1")

        await until(lambda: _holds(at_work.url, 0))
        await cut(rabbitmq)
        await until(lambda: _holds(at_work.url, 1))
        assert await at_work.count() == 0
    await at_work.accepted(1)
    await at_work.up()
    await publish(at_work, "ann_2")
    await at_work.accepted(2)
    await until(lambda: _holds(at_work.url, 0))
    assert await at_work.count() == 2


@pytest.mark.slow
@on_sqlite
async def test_consumers_come_back_when_the_broker_does(rabbitmq: RabbitMQ, at_work: Setting) -> None:
    """An orderly stop first: RabbitMQ loses quorum queues when it is killed in the second after declaring them."""
    for end in (rabbitmq.stop, rabbitmq.kill):
        count = await at_work.count()
        await publish(at_work, f"before-{count}")
        await at_work.accepted(count + 1)
        await asyncio.to_thread(end)
        try:
            await until(lambda: not any(one.up for one in at_work.bus.health()))
            assert all(one.why for one in at_work.bus.health())
            publishing = asyncio.create_task(publish(at_work, f"meanwhile-{count}"))
        finally:
            await asyncio.to_thread(rabbitmq.start)
        await publishing
        await at_work.up(within_s=60)
        await publish(at_work, f"after-{count}")
        await at_work.accepted(count + 3)


@pytest.mark.slow
@on_sqlite
async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    rabbitmq: RabbitMQ, rabbit_url: str, store: Store
) -> None:
    bus = a_bus(rabbit_url, store)
    await asyncio.to_thread(rabbitmq.stop)
    try:
        running = bus.running()
        await running.__aenter__()
        await until(lambda: any("connection to the broker" in one.why for one in bus.health()))
    finally:
        await asyncio.to_thread(rabbitmq.start)
    late = Setting(rabbit_url, store, bus)
    await late.up(within_s=60)
    await publish(late, "ann_1")
    await late.accepted(1)
    await running.__aexit__(None, None, None)


@on_sqlite
async def test_a_broker_that_stays_away_does_not_hold_up_the_end(store: Store) -> None:
    bus = a_bus("amqp://guest:guest@127.0.0.1:1/", store)
    async with bus.running():
        await until(lambda: any("connection to the broker" in one.why for one in bus.health()))
        began = time.monotonic()
    assert time.monotonic() - began < 3


@on_sqlite
async def test_publishing_to_a_broker_that_stays_away_ends_with_a_clear_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_publisher, "_PATIENCE_S", 1.0)
    bus = a_bus("amqp://guest:guest@127.0.0.1:1/", store)
    async with bus.running(consume=False):
        assert bus.health() == ()
        with pytest.raises(BusUnavailable, match="did not confirm the message in 1 s"):
            await bus.publish(saying(envelope()))
        with pytest.raises(BusUnavailable):
            await bus.survey()


@on_sqlite
async def test_connections_that_the_broker_closes_are_opened_again(rabbitmq: RabbitMQ, at_work: Setting) -> None:
    for number in range(3):
        await publish(at_work, f"ann_{number}")
        await cut(rabbitmq)
    await at_work.accepted(3)
    await at_work.up()


@on_sqlite
async def test_a_burst_survives_connections_that_break_in_its_midst(rabbitmq: RabbitMQ, at_work: Setting) -> None:
    publishing = asyncio.gather(*(publish(at_work, f"ann_{number}") for number in range(1000)))
    await at_work.accepted(1)
    await cut(rabbitmq)
    await publishing
    await at_work.accepted(1000)
    assert await at_work.count() == 1000
    assert await at_work.letters() == []


# --- somebody tidies up -----------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_queue_that_was_deleted_is_declared_and_consumed_again(at_work: Setting) -> None:
    async with channel_to(at_work.url) as channel:
        await channel.queue_delete(ANNOTATION)
    await publish_until_accepted(at_work)
    await at_work.up()


async def publish_until_accepted(setting: Setting) -> None:
    """Publish until one arrives: what comes while its queue is missing goes to the dead letters, not here."""

    async def arrives() -> bool:
        await publish(setting, "ann_1")
        return await setting.count() > 0

    await until(arrives)


@on_sqlite
@pytest.mark.parametrize("exchange", [EVENTS, DEAD, UNROUTED])
async def test_an_exchange_that_was_deleted_is_declared_again(at_work: Setting, exchange: str) -> None:
    async with channel_to(at_work.url) as channel:
        await channel.exchange_delete(exchange)
    await at_work.bus.publish(saying(b"nonsense"))
    await publish_until_accepted(at_work)
    await at_work.parked()


@on_sqlite
async def test_what_got_lost_without_a_word_is_found(
    rabbit_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_bus, "_WATCH_S", 0.2)
    async with setting(rabbit_url, store) as at_work:
        async with channel_to(rabbit_url) as channel:
            await channel.queue_delete(DEAD_LETTERS)
            queue = await channel.get_queue(ANNOTATION)
            await queue.unbind(EVENTS, "annotation.#")

        async def whole_again() -> bool:
            return not (await at_work.bus.survey()).problems

        await publish_until_accepted(at_work)
        await until(whole_again)


@on_sqlite
async def test_a_consumer_that_ended_unnoticed_begins_again(
    rabbit_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before our client library had it right, the broker's word that it cancels a consumer went unheard."""
    lose = Session.lose
    monkeypatch.setattr(Session, "lose", lambda self, why: None if "cancelled" in why else lose(self, why))
    monkeypatch.setattr(rabbit_bus, "_WATCH_S", 0.2)
    with structlog.testing.capture_logs() as lines:
        async with setting(rabbit_url, store) as at_work:
            async with channel_to(rabbit_url) as channel:
                await channel.queue_delete(ANNOTATION)
            # whoever publishes first makes the queue anew, and the broker goes on telling of the old one's consumer
            await until(lambda: "consumer.troubled" in [line["event"] for line in lines])
            await publish_until_accepted(at_work)


@on_sqlite
async def test_a_consumer_that_gets_nothing_though_messages_wait_begins_again(
    rabbit_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue is deleted and made anew at once: the old one's consumer hears nothing, and goes on being counted."""
    lose = Session.lose
    monkeypatch.setattr(Session, "lose", lambda self, why: lose(self, why) if "none is delivered" in why else None)
    monkeypatch.setattr(rabbit_bus, "_WATCH_S", 0.2)
    async with setting(rabbit_url, store) as at_work:
        async with channel_to(rabbit_url) as channel:
            await channel.queue_delete(ANNOTATION)
        await publish_until_accepted(at_work)
        monkeypatch.undo()


@on_sqlite
async def test_a_queue_that_differs_is_reported_once_and_used_all_the_same(rabbit_url: str, store: Store) -> None:
    async with channel_to(rabbit_url) as channel:
        await channel.declare_queue(ANNOTATION, durable=True)
    with structlog.testing.capture_logs() as lines:
        bus = a_bus(rabbit_url, store)
        async with bus.running():
            at_work = Setting(rabbit_url, store, bus)
            await publish_until_accepted(at_work)
            health = {one.name: one for one in bus.health()}
            assert not health["annotation"].up
            assert "x-dead-letter-exchange" in health["annotation"].why
            await until(lambda: all(one.up for one in bus.health() if one.name != "annotation"))
            assert ANNOTATION in (await bus.survey()).problems
            async with channel_to(rabbit_url) as channel:
                await channel.queue_delete(ANNOTATION)
            await at_work.up()
            assert (await bus.survey()).problems == {}
    reports = [line for line in lines if line["event"] == "consumer.troubled" and line["aspect"] == "topology"]
    assert len(reports) == 1


@on_sqlite
async def test_an_exchange_that_differs_concerns_everybody(rabbit_url: str, store: Store) -> None:
    async with channel_to(rabbit_url) as channel:
        await channel.declare_exchange(EVENTS, "topic", durable=True)
    bus = a_bus(rabbit_url, store)
    async with bus.running():
        await publish_until_accepted(Setting(rabbit_url, store, bus))
        assert not any(one.up for one in bus.health())
        assert all("alternate-exchange" in one.why for one in bus.health())


# --- dead letters -----------------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_dead_letter_lies_on_the_broker_and_in_the_store(at_work: Setting) -> None:
    await at_work.bus.publish(saying(b"nonsense", headers={"account-id": ACCOUNT, "mine": "1"}, message_id="mine"))
    async with channel_to(at_work.url) as channel:
        dead = await taken_from(channel, DEAD_LETTERS)
        await dead.ack()
    [letter] = await at_work.parked()
    headers = dead.headers
    assert (dead.body, dead.message_id, dead.routing_key) == (b"nonsense", "mine", "annotation.completed")
    assert dead.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (headers["hookline-reason"], headers["hookline-queue"]) == ("invalid_json", ANNOTATION)
    assert headers["hookline-routing-key"] == "annotation.completed"
    assert "not valid json" in str(headers["hookline-detail"]).lower()
    assert (headers["account-id"], headers["mine"]) == (ACCOUNT, "1")
    assert (letter.id, letter.detail) == (headers["hookline-id"], headers["hookline-detail"])


@on_sqlite
async def test_a_dead_letter_that_comes_twice_is_kept_once(at_work: Setting) -> None:
    await at_work.bus.publish(saying(b"nonsense"))
    [letter] = await at_work.parked()
    async with channel_to(at_work.url) as channel:
        dead = await taken_from(channel, DEAD_LETTERS)
        await dead.ack()
        again = aio_pika.Message(dead.body, headers=dead.headers, delivery_mode=2)
        await (await channel.get_exchange(DEAD)).publish(again, "annotation.completed")
    await at_work.bus.publish(saying(b"more nonsense"))
    letters = await at_work.parked(2)
    assert [one.id for one in letters].count(letter.id) == 1
    assert len(letters) == 2


@on_sqlite
async def test_what_is_delivered_too_often_is_parked_by_the_broker(rabbit_url: str, store: Store) -> None:
    at_work = Setting(rabbit_url, store, a_bus(rabbit_url, store))
    async with at_work.bus.running(consume=False):
        await at_work.bus.publish(saying(envelope(), message_id="mine"))
    async with channel_to(rabbit_url) as channel:
        for _ in range(21):
            await (await taken_from(channel, ANNOTATION)).nack(requeue=True)
    async with at_work.bus.running():
        [letter] = await at_work.parked()
    assert (letter.reason, letter.queue, letter.routing_key) == ("delivery_limit", ANNOTATION, "annotation.completed")
    assert json.loads(letter.body) == envelope()
    assert letter.headers["hookline-message-id"] == "mine"


# --- publishers that know nothing of us -------------------------------------------------------------------------------


@on_sqlite
async def test_a_publisher_with_any_library_is_understood(at_work: Setting) -> None:
    headers: dict[str, Any] = {
        "account-id": bytearray(ACCOUNT.encode()),
        "number": 7,
        "table": {"a": [1, None]},
        "price": Decimal("1.5"),
    }
    async with channel_to(at_work.url) as channel:
        await publish_raw(channel, "review.submitted", write_json(envelope("review.submitted")), headers=headers)
        await publish_raw(channel, "review.submitted", b"nonsense", headers=headers)
    await at_work.accepted(1)
    [letter] = await at_work.parked()
    assert {
        "account-id": ACCOUNT,
        "number": "7",
        "table": '{"a": [1, null]}',
        "price": "1.5",
    }.items() <= letter.headers.items()


def a_table_without_end() -> bytes:
    """A field table in a field table in a field table, deeper than any recursion goes."""
    table = b""
    for _ in range(2000):
        entry = b"\x01t" + b"F" + struct.pack(">I", len(table)) + table
        table = entry
    return struct.pack(">I", len(table)) + table


def as_it_is(kind: str) -> Callable[[Any], bytes]:
    """An encoder that lets bytes pass and leaves the rest to the real one."""
    strict = encode.METHODS[kind]
    return lambda value: value if isinstance(value, bytes) else strict(value)


@on_sqlite
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("timestamp", struct.pack(">Q", 2**63), None),
        ("message_id", b"\x04caf\xe9", "invalid_payload"),
        ("headers", a_table_without_end(), "unreadable_message"),
    ],
    ids=["a date beyond all years", "an id in Latin-1", "a table without end"],
)
async def test_strange_properties_cost_no_connection(
    at_work: Setting, monkeypatch: pytest.MonkeyPatch, name: str, value: bytes, reason: str | None
) -> None:
    properties = aiormq.spec.Basic.Properties(delivery_mode=2, headers={"account-id": ACCOUNT}, message_id="mine")
    setattr(properties, name, value)
    with structlog.testing.capture_logs() as lines:
        async with channel_to(at_work.url) as channel:
            with monkeypatch.context() as patched:
                for kind in ("timestamp", "shortstr", "table"):
                    patched.setitem(encode.METHODS, kind, as_it_is(kind))
                raw = await channel.get_underlay_channel()
                await raw.basic_publish(
                    write_json(envelope()), exchange=EVENTS, routing_key="annotation.completed", properties=properties
                )
        await publish(at_work, "behind")
        await at_work.accepted(1 if reason else 2)
        letters = await at_work.parked(1 if reason else 0)
    assert [letter.reason for letter in letters] == ([reason] if reason else [])
    assert not [line for line in lines if line["event"] == "consumer.troubled"]


# --- the database comes and goes, and so do we ------------------------------------------------------------------------


@on_postgresql
async def test_an_end_while_the_database_is_away_loses_nothing(
    postgres: PostgreSQL, rabbit_url: str, store: Store
) -> None:
    at_work = Setting(rabbit_url, store, a_bus(rabbit_url, store))
    async with at_work.bus.running():
        await at_work.up()
        await asyncio.to_thread(postgres.stop)
        try:
            await publish(at_work, "ann_1")
            await until(lambda: any("database is away" in one.why for one in at_work.bus.health()))
        except BaseException:
            await asyncio.to_thread(postgres.start)
            raise
        began = time.monotonic()
    assert time.monotonic() - began < 5
    await asyncio.to_thread(postgres.start)
    async with at_work.bus.running():
        await at_work.accepted(1)


@pytest.mark.slow
@on_postgresql
async def test_in_a_long_outage_of_the_database_nothing_is_held(
    postgres: PostgreSQL, rabbit_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit_session, "_LONGEST_HOLD_S", 0.5)
    async with setting(rabbit_url, store) as at_work:
        await asyncio.to_thread(postgres.stop)
        try:
            await publish(at_work, "ann_1")
            await until(lambda: any("database is away" in one.why for one in at_work.bus.health()))
            await until(lambda: _holds(rabbit_url, 1))
            assert not at_work.bus.health()[0].up
        finally:
            await asyncio.to_thread(postgres.start)
        await at_work.accepted(1)
        await at_work.up()


@pytest.mark.slow
async def test_an_end_in_the_midst_of_a_burst_leaves_the_rest_to_the_next(rabbit_url: str, store: Store) -> None:
    at_work = Setting(rabbit_url, store, a_bus(rabbit_url, store))
    async with at_work.bus.running(consume=False):
        await asyncio.gather(*(publish(at_work, f"ann_{number}") for number in range(3000)))
    async with at_work.bus.running():
        await at_work.accepted(1)
    taken = await at_work.count()
    await until(lambda: _holds(rabbit_url, 3000 - taken))
    async with at_work.bus.running():
        await at_work.accepted(3000)
    assert await at_work.count() == 3000


async def _holds(url: str, count: int) -> bool:
    return await ready(url) == count
