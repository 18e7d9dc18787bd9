"""What every bus promises, on every store."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from consumers.bus import open_bus
from consumers.health import BusUnavailable
from consumers.letters import revived
from consumers.wire import Message, publication
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import MOST_BYTES, write_json
from delivery.store.engine import Store
from tests.conformance.buses import MEMORY, Setting, a_bus, saying, setting
from tests.servers.postgresql import PostgreSQL
from tests.support.polling import until
from tests.support.samples import envelope
from tests.support.stores import ACCOUNT, NEIGHBOUR

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

QUEUES = {
    "annotation.completed": "hookline.annotation",
    "batch.completed": "hookline.batch",
    "batch.failed": "hookline.batch",
    "file.completed": "hookline.file",
    "project.drift_alert": "hookline.drift",
    "review.submitted": "hookline.review",
}

#: Messages that nobody can use, by their reason.
USELESS: dict[str, tuple[str, Message]] = {
    "not-json": ("invalid_json", saying(b"nonsense")),
    "nothing": ("invalid_json", saying(b"")),
    "not-utf-8": ("invalid_json", saying(b"\xff\xfe{}")),
    "a-lone-surrogate": ("invalid_json", saying(json.dumps(envelope(text="\ud800")).encode())),
    "a-nul": ("invalid_json", saying(json.dumps(envelope(text="\x00")).encode())),
    "an-unknown-type": ("invalid_event_type", saying(envelope() | {"event": "annotation.unheard"})),
    "another-family": ("invalid_event_type", saying(envelope("batch.failed"))),
    "no-family": ("invalid_event_type", saying(envelope(), routing_key="audio.completed")),
    "against-the-schema": ("invalid_payload", saying(envelope(processing_ms="fast"))),
    "an-unknown-account": ("unknown_account", saying(envelope(), headers={"account-id": "acc_9"})),
    "no-account": ("unknown_account", saying(envelope(), headers={})),
    "too-large": ("payload_too_large", saying(write_json(envelope() | {"x": ""}).ljust(MOST_BYTES + 1))),
}


@pytest.fixture(params=["memory", "rabbit"])
def bus_url(request: pytest.FixtureRequest) -> str:
    """The address of each bus."""
    return MEMORY if request.param == "memory" else request.getfixturevalue("rabbit_url")


@pytest.fixture
async def at_work(bus_url: str, store: Store) -> AsyncIterator[Setting]:
    """A bus at work on a store."""
    async with setting(bus_url, store) as opened:
        yield opened


async def test_every_type_is_accepted_for_its_account(at_work: Setting) -> None:
    for number, event_type in enumerate(PUBLISHED):
        account = ACCOUNT if number % 2 else NEIGHBOUR
        await at_work.bus.publish(publication(envelope(event_type), account, external_id=f"mine-{number}"))
    accepted = {event.type: event for event in await at_work.accepted(len(PUBLISHED))}
    for number, event_type in enumerate(PUBLISHED):
        event = accepted[event_type]
        assert event.account_id == (ACCOUNT if number % 2 else NEIGHBOUR)
        assert (event.external_id, json.loads(event.body)) == (f"mine-{number}", envelope(event_type))


async def test_the_same_message_id_is_accepted_once(at_work: Setting) -> None:
    for job in ("ann_1", "ann_2"):
        await at_work.bus.publish(saying(envelope(job_id=job), message_id="mine"))
    await at_work.bus.publish(saying(envelope(job_id="ann_3"), message_id="another"))
    accepted = await at_work.accepted(2)
    assert {event.external_id for event in accepted} == {"mine", "another"}
    assert await at_work.letters() == []


async def test_without_message_ids_the_same_job_is_accepted_once(at_work: Setting) -> None:
    for job in ("ann_1", "ann_1", "ann_2"):
        await at_work.bus.publish(publication(envelope(job_id=job), ACCOUNT))
    assert {event.identity for event in await at_work.accepted(2)} == {
        "annotation.completed ann_1",
        "annotation.completed ann_2",
    }


async def test_identities_of_different_accounts_never_meet(at_work: Setting) -> None:
    for account in (ACCOUNT, NEIGHBOUR):
        await at_work.bus.publish(publication(envelope(), account, external_id="mine"))
    assert {event.account_id for event in await at_work.accepted(2)} == {ACCOUNT, NEIGHBOUR}


async def test_what_cannot_be_used_is_parked_with_its_reason_and_holds_nobody_up(at_work: Setting) -> None:
    for name, (_, message) in USELESS.items():
        named = Message(message.body, message.routing_key, message.headers, "text/x-test", name)
        await at_work.bus.publish(named)
        await at_work.bus.publish(saying(envelope(job_id=name)))
    await at_work.accepted(len(USELESS))
    letters = {letter.headers["hookline-message-id"]: letter for letter in await at_work.parked(len(USELESS))}
    assert {name: letter.reason for name, letter in letters.items()} == {
        name: why for name, (why, _) in USELESS.items()
    }
    for name, (_, message) in USELESS.items():
        letter = letters[name]
        assert letter.body == message.body
        assert (letter.content_type, letter.routing_key) == ("text/x-test", message.routing_key)
        assert letter.queue == QUEUES.get(message.routing_key, "hookline.unrouted")
        assert letter.headers.get("account-id") == message.headers.get("account-id")
        assert letter.detail


async def test_what_was_parked_can_be_published_again(at_work: Setting) -> None:
    await at_work.bus.publish(
        saying(envelope(), headers={"account-id": "acc_later", "traceparent": TRACE}, message_id="mine")
    )
    [letter] = await at_work.parked()
    async with at_work.store.writing() as tx:
        await tx.execute(text("UPDATE accounts SET id = 'acc_later' WHERE id = 'acc_2'"))
    await at_work.bus.publish(revived(letter))
    [event] = await at_work.accepted(1)
    assert (event.account_id, event.external_id, event.traceparent) == ("acc_later", "mine", TRACE)


@pytest.mark.parametrize("mode", ["structured", "binary"])
async def test_cloud_events_are_understood(at_work: Setting, mode: str) -> None:
    sample = envelope("review.submitted")
    attributes = {
        "specversion": "1.0",
        "id": "ce-1",
        "source": "/x",
        "type": sample["event"],
        "time": sample["timestamp"],
    }
    headers = {"account-id": ACCOUNT}
    if mode == "structured":
        message = Message(
            write_json(attributes | {"data": sample["data"]}), sample["event"], headers, "application/cloudevents+json"
        )
    else:
        headers |= {f"cloudEvents_{name}": value for name, value in attributes.items()}
        message = Message(write_json(sample["data"]), sample["event"], headers, "application/json")
    await at_work.bus.publish(message)
    [event] = await at_work.accepted(1)
    assert (event.type, event.external_id, json.loads(event.body)) == ("review.submitted", "ce-1", sample)


async def test_the_trace_is_kept(at_work: Setting) -> None:
    await at_work.bus.publish(publication(envelope(), ACCOUNT, traceparent=TRACE))
    [event] = await at_work.accepted(1)
    assert event.traceparent == TRACE


async def test_a_burst_arrives_complete(at_work: Setting) -> None:
    messages = [publication(envelope(job_id=f"ann_{number}"), ACCOUNT) for number in range(2000)]
    await asyncio.gather(*(at_work.bus.publish(message) for message in messages))
    await at_work.accepted(2000, within_s=60)
    assert await at_work.count() == 2000


async def test_a_burst_of_rubbish_is_parked_complete(at_work: Setting) -> None:
    await asyncio.gather(*(at_work.bus.publish(saying(b"%d" % number)) for number in range(90)))
    assert {letter.body for letter in await at_work.parked(90)} == {b"%d" % number for number in range(90)}


async def test_a_row_that_the_database_refuses_is_parked_alone(at_work: Setting) -> None:
    messages = [publication(envelope(job_id=f"ann_{number}"), ACCOUNT) for number in range(40)]
    async with refusing(at_work.store, "ann_13"):
        await asyncio.gather(*(at_work.bus.publish(message) for message in messages))
        await at_work.accepted(39)
        [letter] = await at_work.parked()
    assert (letter.reason, json.loads(letter.body)["data"]["job_id"]) == ("unstorable", "ann_13")


@asynccontextmanager
async def refusing(store: Store, job_id: str) -> AsyncIterator[None]:
    """Let the database refuse a job while the block is open."""
    begin, end = (
        (f"ALTER TABLE events ADD CONSTRAINT no CHECK (job_id <> '{job_id}')", "ALTER TABLE events DROP CONSTRAINT no")
        if store.dialect == "postgresql"
        else (
            f"CREATE TRIGGER no BEFORE INSERT ON events WHEN NEW.job_id='{job_id}' BEGIN SELECT RAISE(ABORT, ''); END",
            "DROP TRIGGER no",
        )
    )
    async with store.writing() as tx:
        await tx.execute(text(begin))
    try:
        yield
    finally:
        async with store.writing() as tx:
            await tx.execute(text(end))


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_database_that_is_away_is_waited_for(postgres: PostgreSQL, at_work: Setting) -> None:
    await at_work.bus.publish(saying(envelope(job_id="before")))
    await at_work.accepted(1)
    await asyncio.to_thread(postgres.stop)
    try:
        messages = [saying(envelope(job_id=f"ann_{number}")) for number in range(5)] + [saying(b"nonsense")]
        publishing = [asyncio.create_task(at_work.bus.publish(message)) for message in messages]
        await until(lambda: any("database is away" in one.why for one in at_work.bus.health()))
    finally:
        await asyncio.to_thread(postgres.start)
    await asyncio.gather(*publishing)
    await at_work.accepted(6)
    [letter] = await at_work.parked()
    await at_work.up()
    assert letter.reason == "invalid_json"


async def test_health_and_survey_say_that_all_is_well(at_work: Setting) -> None:
    health = {one.name: one for one in at_work.bus.health()}
    assert {"annotation", "batch", "file", "drift", "review"} <= health.keys()
    assert all(one.up and not one.why for one in health.values())
    survey = await at_work.bus.survey()
    assert survey.problems == {}
    assert set(QUEUES.values()) <= {depth.queue for depth in survey.depths}
    assert all(depth.consumers == 1 for depth in survey.depths if depth.queue in QUEUES.values())


async def test_a_bus_that_ended_consumes_nothing_and_begins_again(bus_url: str, store: Store) -> None:
    at_work = Setting(bus_url, store, a_bus(bus_url, store))
    for count, job in enumerate(("ann_1", "ann_2"), start=1):
        async with at_work.bus.running():
            await at_work.up()
            await at_work.bus.publish(saying(envelope(job_id=job)))
            await at_work.accepted(count)
        assert at_work.bus.health() == ()


async def test_in_memory_a_message_is_settled_when_publishing_returns(store: Store) -> None:
    async with setting(MEMORY, store) as at_work:
        await at_work.bus.publish(saying(envelope()))
        assert await at_work.count() == 1
        await at_work.bus.publish(saying(b"nonsense"))
        assert len(await at_work.letters()) == 1


async def test_in_memory_nobody_publishes_where_nobody_consumes(store: Store) -> None:
    bus = a_bus(MEMORY, store)
    async with bus.running(consume=False):
        assert bus.health() == ()
        with pytest.raises(BusUnavailable):
            await bus.publish(saying(envelope()))


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_in_memory_an_end_while_the_database_is_away_is_told_to_the_publisher(
    postgres: PostgreSQL, store: Store
) -> None:
    await asyncio.to_thread(postgres.stop)
    try:
        async with setting(MEMORY, store) as at_work:
            publishing = asyncio.create_task(at_work.bus.publish(saying(envelope())))
            await until(lambda: any("database is away" in one.why for one in at_work.bus.health()))
        with pytest.raises(BusUnavailable):
            await publishing
    finally:
        await asyncio.to_thread(postgres.start)


@pytest.mark.parametrize("url", ["kafka://here", "", "redis"])
def test_an_address_of_no_bus_is_refused(url: str) -> None:
    nobody: Any = None
    with pytest.raises(ValueError, match="memory://"):
        open_bus(url, intake=nobody, store=nobody, around=nobody)
