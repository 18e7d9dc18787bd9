"""Whatever a publisher hands in, by whichever way: it is refused with its reason, and nobody else notices."""

import asyncio
import contextlib
import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from sqlalchemy import func, select

from consumers.families import EVENTS
from consumers.wire import Message
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import MOST_BYTES
from delivery.store import dead_letters, tables
from delivery.store.cursors import PageRequest
from delivery.store.dead_letters import DeadLetter
from tests.hostile.publishers import BAD_TRACES, ODD, ODD_IDS, UNUSABLE, Parcel, messages, sized, written
from tests.service.conftest import address, house, receiver
from tests.service.house import Account, Answer, House, open_house
from tests.support.polling import until
from tests.support.receiver import Receiver
from tests.support.samples import envelope
from tests.support.stores import database_url, prepared_postgres, store

__all__ = ["address", "database_url", "house", "prepared_postgres", "receiver", "store"]

JSON = {"Content-Type": "application/json"}

#: One type of each of the five consumers.
FAMILIES = {kind.family: kind.name for kind in PUBLISHED.values()}.values()

#: Words that only the inside of the service uses.
INTERNALS = ("Traceback", 'File "', ".py", "aiohttp", "sqlalchemy", "sqlite", "asyncpg", "pydantic", "jsonschema")


async def count(house: House, table: Any) -> int:
    async with house.runtime.store.reading() as tx:
        return int((await tx.execute(select(func.count()).select_from(table))).scalar_one())


async def publish(account: Account, body: bytes, **headers: str) -> Answer:
    return await account.key.call("POST", "/api/events", data=io.BytesIO(body), headers=JSON | headers)


def verdict(answer: Answer) -> tuple[int, str, str | None]:
    """How something was refused; every refusal has words, and none tells of the inside."""
    assert answer.body.keys() <= {"error", "code", "field"}
    assert not [word for word in INTERNALS if word in answer.body["error"]], answer.body
    return answer.status, answer.code, answer.body.get("field")


# -- over HTTP ---------------------------------------------------------------------------------------------------------


async def test_over_http_what_nobody_can_use_is_refused_and_nothing_of_it_is_stored(house: House) -> None:
    account = await house.account()
    answers = {name: await publish(account, one.spoil(envelope())) for name, one in UNUSABLE.items()}
    assert {name: verdict(answer) for name, answer in answers.items()} == {
        name: (one.status, one.code, one.field) for name, one in UNUSABLE.items()
    }
    assert await count(house, tables.events) == 0


async def test_in_a_batch_the_good_ones_are_taken_between_those_that_nobody_can_use(
    house: House, receiver: Receiver
) -> None:
    account = await house.account()
    await account.key.register(receiver.url)
    # what is not even JSON leaves nothing to take apart
    bad = {name: one for name, one in UNUSABLE.items() if one.code not in ("invalid_json", "payload_too_large")}
    events = [
        event
        for number, one in enumerate(bad.values())
        for event in (one.spoil(envelope()), written(envelope(job_id=f"good_{number}")))
    ]

    answer = await publish_batch(account, events)

    assert (answer.status, answer.body["accepted"], answer.body["errors_count"]) == (200, len(bad), len(bad))
    refused = dict(zip(bad, answer.body["errors"], strict=True))
    assert {name: (error["code"], error.get("field")) for name, error in refused.items()} == {
        name: (one.code, one.field) for name, one in bad.items()
    }
    assert [error["index"] for error in answer.body["errors"]] == list(range(0, 2 * len(bad), 2))
    await house.quiet()
    assert len(receiver.calls) == len(bad)


@pytest.mark.parametrize("name", ["half a surrogate pair", "a NUL, escaped", "1e400", "101 levels of lists", "5 MB"])
async def test_in_a_batch_what_no_database_could_keep_is_one_events_fault(house: House, name: str) -> None:
    account = await house.account()
    answer = await publish_batch(account, [UNUSABLE[name].spoil(envelope()), written(envelope(job_id="good"))])
    assert (answer.status, answer.body["accepted"]) == (200, 1)
    assert [(error["index"], error["code"]) for error in answer.body["errors"]] == [(0, UNUSABLE[name].code)]


async def publish_batch(account: Account, events: Sequence[bytes]) -> Answer:
    body = b'{"events": [' + b", ".join(events) + b"]}"
    return await account.key.call("POST", "/api/events/batch", data=io.BytesIO(body), headers=JSON)


async def test_over_http_nobody_publishes_for_another_account(house: House) -> None:
    ada, bob = await house.account(), await house.account("bob@example.com")
    for named in (bob.id, 7, [ada.id], "acc_nobody", "", "acc_1\r\nX-Evil: 1", "a" * 10_000):
        answer = await publish(ada, written(envelope() | {"account_id": named}))
        assert verdict(answer) == (403, "forbidden", "account_id")
    assert await count(house, tables.events) == 0

    await publish(ada, written(envelope()), **{"account-id": bob.id, "X-Account-Id": bob.id})
    (event,) = (await ada.key.get("/api/events")).body["items"]
    assert event["account_id"] == ada.id
    assert (await bob.key.get("/api/events")).body["items"] == []


# -- over a bus --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "rabbit"])
def bus_url(request: pytest.FixtureRequest) -> str:
    """The address of each bus."""
    return "memory://" if request.param == "memory" else request.getfixturevalue("rabbit_url")


@pytest.fixture
async def bused(bus_url: str, address: str) -> AsyncIterator[House]:
    """The service with each bus."""
    async with open_house(address, bus_url=bus_url) as opened:
        await until(lambda: all(one.up for one in opened.runtime.bus.health()))
        yield opened


class Publisher:
    """Somebody with a client of the bus's own, who knows nothing of the service but the names of the contract."""

    def __init__(self, house: House, channel: AbstractChannel | None) -> None:
        self._house = house
        self._channel = channel

    async def send(self, parcel: Parcel, case: str = "") -> None:
        headers = {**parcel.headers, "case": case}
        if self._channel is None:
            said = {name: value if isinstance(value, str) else json.dumps(value) for name, value in headers.items()}
            message = Message(parcel.body, parcel.routing_key, said, parcel.content_type, parcel.message_id)
            await self._house.runtime.bus.publish(message)
            return
        exchange = await self._channel.get_exchange(EVENTS, ensure=False)
        # without any the client would make one, which would then go before the id in the body
        message_id = parcel.message_id or "unnamed by its publisher"
        raw = aio_pika.Message(
            parcel.body, headers=headers, content_type=parcel.content_type, message_id=message_id, delivery_mode=2
        )
        await exchange.publish(raw, parcel.routing_key)


@pytest.fixture
async def publisher(bused: House) -> AsyncIterator[Publisher]:
    """A client of the bus."""
    url = bused.runtime.settings.bus_url
    if url.startswith("memory"):
        yield Publisher(bused, None)
        return
    async with await aio_pika.connect(url) as connection:
        yield Publisher(bused, await connection.channel())


async def reasons(house: House) -> dict[str, str]:
    """The reason of each dead letter, by its case; no case has two."""
    found: list[DeadLetter] = []
    cursor: str | None = None
    async with house.runtime.store.reading() as tx:
        while not found or cursor is not None:
            page = await dead_letters.browse(tx, PageRequest(100, cursor))
            found, cursor = [*found, *page.items], page.next
    by_case = {letter.headers["case"]: letter.reason for letter in found}
    assert len(by_case) == len(found)
    return by_case


async def test_over_a_bus_it_is_parked_once_with_its_reason_and_its_neighbours_are_delivered(
    bused: House, publisher: Publisher, receiver: Receiver
) -> None:
    account = await bused.account()
    await account.key.register(receiver.url)
    ours = {"account-id": account.id}
    groups = [{name: parcel} for name, parcel in messages(account.id).items()]
    for name, one in UNUSABLE.items():
        spoilt = {event_type: one.spoil(envelope(event_type)) for event_type in FAMILIES}
        groups.append(
            {f"{kind}: {name}": Parcel(body, one.code, ours, routing_key=kind) for kind, body in spoilt.items()}
        )

    sending = []
    for number, (group, kind) in enumerate(zip((*groups, {}), itertools.cycle(FAMILIES))):
        good = Parcel(written(envelope(kind, job_id=f"good_{number}")), "", ours, routing_key=kind)
        sending += [publisher.send(good), *(publisher.send(parcel, name) for name, parcel in group.items())]
    await asyncio.gather(*sending)

    expected = {name: parcel.reason for group in groups for name, parcel in group.items()}
    await until(lambda: len(receiver.calls) >= len(groups) + 1, within_s=60)
    await bused.quiet()
    assert await settled(bused, len(expected)) == expected
    assert await count(bused, tables.events) == len(receiver.calls) == len(groups) + 1
    assert all(one.up for one in bused.runtime.bus.health()), "nobody stumbled"


async def settled(house: House, cases: int) -> dict[str, str]:
    """The reasons, once so many are parked, or the time for it is over."""

    async def all_parked() -> bool:
        return await count(house, tables.dead_letters) >= cases

    with contextlib.suppress(AssertionError):  # what is missing says more than how many
        await until(all_parked, within_s=60)
    return await reasons(house)


# -- what looks odd and passes -----------------------------------------------------------------------------------------


async def test_what_looks_odd_is_delivered_as_it_was_published(house: House, receiver: Receiver) -> None:
    account = await house.account()
    await account.key.register(receiver.url)
    sent = {
        name: written(envelope(job_id=f"odd_{number}", metadata={"x": "HERE"})).replace(b'"HERE"', text.encode())
        for number, (name, text) in enumerate(ODD.items())
    }
    answers = {name: await publish(account, body) for name, body in sent.items()}
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(ODD, 202)
    await house.quiet()

    received = {json.loads(call.body)["data"]["job_id"]: call.body for call in receiver.calls}
    for number, (name, body) in enumerate(sent.items()):
        assert json.loads(received[f"odd_{number}"]) == json.loads(body), name
        shown = await account.key.call("GET", f"/api/events/{answers[name].body['id']}")
        assert shown.body["data"] == json.loads(body)["data"], name
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Content-Type"].startswith("application/json")


async def test_over_a_bus_what_looks_odd_is_delivered_as_it_was_published(
    bused: House, publisher: Publisher, receiver: Receiver
) -> None:
    account = await bused.account()
    await account.key.register(receiver.url)
    sent = [
        written(envelope(job_id=f"odd_{number}", metadata={"x": "HERE"})).replace(b'"HERE"', text.encode())
        for number, text in enumerate(ODD.values())
    ]
    largest = sized(envelope(job_id="largest"), MOST_BYTES)
    for body in (*sent, largest):
        await publisher.send(Parcel(body, "", {"account-id": account.id}))
    await until(lambda: len(receiver.calls) == len(sent) + 1)
    assert {json.dumps(json.loads(call.body)) for call in receiver.calls} == {
        json.dumps(json.loads(body)) for body in (*sent, largest)
    }
    assert largest in {call.body for call in receiver.calls}, "256 KiB are taken, and go out byte by byte"


@pytest.mark.parametrize("name", ODD_IDS)
async def test_whatever_a_publisher_calls_an_event_it_goes_out_under_an_id_of_ours(
    house: House, receiver: Receiver, name: str
) -> None:
    account = await house.account()
    await account.key.register(receiver.url)
    answer = await publish(account, written(envelope() | {"id": ODD_IDS[name]}))
    await house.quiet()
    (call,) = receiver.calls
    assert call.headers["webhook-id"] == answer.body["id"]
    assert re.fullmatch(r"evt_[0-9a-z]+", call.headers["webhook-id"])
    assert ODD_IDS[name] != answer.body["id"]
    shown = await account.key.get(f"/api/events/{answer.body['id']}")
    assert shown.body["external_id"] == ODD_IDS[name]


async def test_a_trace_that_is_none_goes_no_further(house: House, receiver: Receiver) -> None:
    account = await house.account()
    await account.key.register(receiver.url)
    for number, trace in enumerate(BAD_TRACES.values()):
        answer = await publish(account, written(envelope(job_id=f"traced_{number}")), traceparent=trace)
        assert answer.status == 202
    await house.quiet()
    assert len(receiver.calls) == len(BAD_TRACES)
    assert not [call for call in receiver.calls if "traceparent" in call.headers]
