"""What the store promises to those who read: the log, its pages, and that nobody sees another account's rows."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from delivery.domain.deeds import registered
from delivery.domain.errors import InvalidInput
from delivery.domain.gate import OPENS_AFTER
from delivery.domain.ids import new_id
from delivery.domain.model import Answer, KeyId
from delivery.store import accounts, audit, dead_letters, deliveries, endpoints, events, log
from delivery.store.accounts import ApiKey
from delivery.store.audit import AuditFilter
from delivery.store.cursors import Page, PageRequest, encode
from delivery.store.dead_letters import DeadLetter
from delivery.store.endpoints import Turn
from delivery.store.engine import Store, Transaction
from delivery.store.events import EventFilter
from delivery.store.log import DeliveryFilter
from delivery.store.reach import EVERYONE, Reach
from tests.conformance.rows import attempts_in, deliveries_in, delivery_in, endpoint_in, events_in, settle
from tests.support.clock import NOON
from tests.support.samples import BY, a_parcel, an_attempt, an_event, an_outcome
from tests.support.stores import ACCOUNT, NEIGHBOUR

SECOND = timedelta(seconds=1)
ALL = PageRequest(limit=100)

# --- filters ----------------------------------------------------------------------------------------------------------


async def found(store: Store, **asked: Any) -> list[str]:
    async with store.reading() as tx:
        page = await log.browse(tx, EVERYONE, DeliveryFilter(**asked), ALL)
    return [delivery.id for delivery in page.items]


async def test_each_filter_finds_what_it_says_and_nothing_else(store: Store) -> None:
    endpoint = await endpoint_in(store)
    await deliveries_in(store, await endpoint_in(store), 3, job_id="other")
    ours = await delivery_in(
        store, endpoint, leased=True, job_id="ann_7", event_type="batch.failed", created_at=NOON + 60 * SECOND
    )
    await settle(store, ours, standing="failed", last_response_status=503)
    for asked in (
        {"status": "failed"},
        {"event": "batch.failed"},
        {"webhook_id": endpoint.id},
        {"job_id": "ann_7"},
        {"event_id": ours.event_id},
        {"response_status": 503},
        {"from_": NOON + 60 * SECOND},
        {"q": "ann_7"},
        {"q": ours.event_id},
        {"q": ours.delivery_id},
        {"status": "failed", "q": "ann_7", "to": NOON + 61 * SECOND},
    ):
        assert await found(store, **asked) == [ours.delivery_id], asked
    for asked in ({"status": "cancelled"}, {"q": "ann_"}, {"status": "failed", "job_id": "other"}, {"to": NOON}):
        assert await found(store, **asked) == [], asked


async def test_every_state_can_be_asked_for(store: Store) -> None:
    endpoint = await endpoint_in(store)
    made = {"sending": await delivery_in(store, endpoint, leased=True), "pending": await delivery_in(store, endpoint)}
    for standing in ("delivered", "failed", "cancelled"):
        made[standing] = await delivery_in(store, endpoint, leased=True)
        await settle(store, made[standing], standing=standing)
    for status, parcel in made.items():
        assert await found(store, status=status) == [parcel.delivery_id]


async def test_from_is_inside_and_to_is_outside_to_the_millisecond(store: Store) -> None:
    endpoint = await endpoint_in(store)
    moments = [NOON + timedelta(milliseconds=n) for n in range(5)]
    made = [(await delivery_in(store, endpoint, created_at=moment)).delivery_id for moment in moments]
    assert sorted(await found(store, from_=moments[1], to=moments[3])) == made[1:3]


async def test_events_are_found_by_type_and_job(store: Store) -> None:
    one, other = an_event(type="batch.failed", job_id="ann_1"), an_event(job_id="ann_2")
    await events_in(store, one, other)
    async with store.reading() as tx:
        for which in (EventFilter(type="batch.failed"), EventFilter(job_id="ann_1")):
            assert (await events.browse(tx, EVERYONE, which, ALL)).items == [one]


# --- pages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class List:
    """Something that is read page by page: how to add one at a moment, returning its id, and how to read a page."""

    add: Callable[[Store, float], Awaitable[str]]
    read: Callable[[Transaction, PageRequest], Awaitable[Page[Any]]]


async def add_delivery(store: Store, at: float) -> str:
    return (await delivery_in(store, await endpoint_in(store), created_at=NOON + at * SECOND)).delivery_id


async def add_event(store: Store, at: float) -> str:
    event = an_event(accepted_at=NOON + at * SECOND)
    await events_in(store, event)
    return event.id


async def add_endpoint(store: Store, at: float) -> str:
    return (await endpoint_in(store, id=new_id("wh", NOON + at * SECOND, random.Random(at)))).id


async def add_key(store: Store, at: float) -> str:
    key = a_key(KeyId(new_id("key", NOON + at * SECOND, random.Random(at))))
    async with store.writing() as tx:
        await accounts.add_key(tx, key)
    return key.id


async def add_letter(store: Store, at: float) -> str:
    letter = a_letter(id=new_id("dead", NOON + at * SECOND, random.Random(at)))
    async with store.writing() as tx:
        await dead_letters.park(tx, [letter])
    return letter.id


def a_key(key_id: KeyId, **changes: Any) -> ApiKey:
    return replace(ApiKey(key_id, ACCOUNT, "ci", f"digest of {key_id}", "abcd", ("publish",), NOON), **changes)


LISTS = {
    "deliveries": List(add_delivery, lambda tx, ask: log.browse(tx, EVERYONE, DeliveryFilter(), ask)),
    "events": List(add_event, lambda tx, ask: events.browse(tx, EVERYONE, EventFilter(), ask)),
    "endpoints": List(add_endpoint, lambda tx, ask: endpoints.browse(tx, EVERYONE, ask)),
    "keys": List(add_key, lambda tx, ask: accounts.browse_keys(tx, EVERYONE, ask)),
    "dead letters": List(add_letter, dead_letters.browse),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("seed", [1, 2])
async def test_pages_neither_skip_nor_repeat_a_row_while_rows_are_being_added(
    store: Store, name: str, seed: int
) -> None:
    luck, which = random.Random(seed), LISTS[name]
    there = [await which.add(store, at) for at in range(luck.randint(5, 25))]
    seen: list[str] = []
    request = PageRequest(limit=luck.randint(1, 6))
    for at in range(1000):
        async with store.reading() as tx:
            page = await which.read(tx, request)
        seen += [item.id for item in page.items]
        if page.next is None:
            break
        await which.add(store, 100 + at)
        request = PageRequest(limit=luck.randint(1, 6), cursor=page.next)
    assert seen == sorted(there, reverse=True)


async def test_a_page_says_whether_there_is_more(store: Store) -> None:
    await deliveries_in(store, await endpoint_in(store), 4)
    async with store.reading() as tx:
        exact = await log.browse(tx, EVERYONE, DeliveryFilter(), PageRequest(limit=4))
        short = await log.browse(tx, EVERYONE, DeliveryFilter(), PageRequest(limit=3))
    assert (exact.next, short.next) == (None, encode(short.items[-1].id))


@pytest.mark.parametrize("cursor", ["é", "A", "AAAA", "_w", encode("evt_1\n")])
async def test_a_cursor_that_is_none_of_ours_is_refused(store: Store, cursor: str) -> None:
    async with store.reading() as tx:
        with pytest.raises(InvalidInput) as refusal:
            await log.browse(tx, EVERYONE, DeliveryFilter(), PageRequest(cursor=cursor))
    assert (refusal.value.code, refusal.value.field) == ("invalid_cursor", "cursor")


# --- reach ------------------------------------------------------------------------------------------------------------


async def test_nothing_that_reads_or_changes_reaches_into_another_account(store: Store) -> None:
    endpoint = await endpoint_in(store)
    parcel = await delivery_in(store, endpoint)
    await attempts_in(store, an_attempt(parcel))
    key = a_key(KeyId("key_1"))
    async with store.writing() as tx:
        await accounts.add_key(tx, key)
        await audit.note(tx, BY, registered(endpoint), now=NOON, luck=random.Random(1))

    async def seen_with(reach: Reach) -> list[bool]:
        async with store.writing() as tx:
            return [
                await events.find(tx, reach, parcel.event_id) is not None,
                bool((await events.browse(tx, reach, EventFilter(), ALL)).items),
                await endpoints.find(tx, reach, endpoint.id) is not None,
                await endpoints.find(tx, reach, endpoint.id, for_update=True) is not None,
                bool((await endpoints.browse(tx, reach, ALL)).items),
                await log.find(tx, reach, parcel.delivery_id) is not None,
                bool(await log.of_events(tx, reach, [parcel.event_id])),
                bool((await log.browse(tx, reach, DeliveryFilter(), ALL)).items),
                bool((await log.browse(tx, reach, DeliveryFilter(q=parcel.delivery_id), ALL)).items),
                bool(await log.attempts_of(tx, reach, parcel.delivery_id)),
                bool((await accounts.browse_keys(tx, reach, ALL)).items),
                bool((await audit.browse(tx, reach, AuditFilter(), ALL)).items),
                await accounts.revoke_key(tx, reach, key.id, NOON) is not None,
                await deliveries.cancel(tx, reach, parcel.delivery_id, reason="by hand", now=NOON),
            ]

    assert not any(await seen_with(Reach(NEIGHBOUR)))
    assert all(await seen_with(Reach(ACCOUNT)))


async def test_an_operator_reaches_every_account(store: Store) -> None:
    for account_id in (ACCOUNT, NEIGHBOUR):
        await delivery_in(store, await endpoint_in(store, account_id=account_id))
    assert len(await found(store)) == 2


# --- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, (), b"", truncated=False),
        Answer(200, (("X-Odd", "a\0b\x01\x7f"), ("x-odd", "zweimal ü \U0001f600")), b"a\0b", truncated=True),
        Answer(599, (("", ""),), bytes(range(256)), truncated=False),
        Answer(204, (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")), b"\xff\xfe\xc3\x28", truncated=False),
    ],
)
async def test_whatever_bytes_came_back_are_in_the_log_as_they_came(store: Store, answer: Answer) -> None:
    parcel = await delivery_in(store, await endpoint_in(store))
    attempt = an_attempt(parcel, an_outcome(answer))
    await attempts_in(store, attempt)
    async with store.reading() as tx:
        assert await log.attempts_of(tx, EVERYONE, parcel.delivery_id) == [attempt]


async def test_attempts_are_listed_in_the_order_in_which_they_were_made(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store))
    made = [an_attempt(parcel, number=n + 1, started_at=NOON + n * SECOND) for n in range(4)]
    await attempts_in(store, *made[::-1])
    async with store.reading() as tx:
        assert await log.attempts_of(tx, EVERYONE, parcel.delivery_id) == made


# --- how endpoints are doing ------------------------------------------------------------------------------------------


async def test_health_is_the_share_of_deliveries_that_arrived(store: Store) -> None:
    endpoint = await endpoint_in(store)
    async with store.reading() as tx:
        assert await endpoints.health(tx, endpoint.id) == endpoints.Health(None, None)
    await delivery_in(store, endpoint)
    for standing in ("delivered", "delivered", "delivered", "failed", "cancelled"):
        parcel = await delivery_in(store, endpoint, leased=True)
        await settle(store, parcel, standing=standing, finished_at=NOON + SECOND)
    async with store.reading() as tx:
        assert await endpoints.health(tx, endpoint.id) == endpoints.Health(0.75, NOON + SECOND)


async def test_an_endpoint_is_failing_since_its_first_failure_until_it_is_well(store: Store) -> None:
    endpoint = await endpoint_in(store)

    async def note(*, recovered: bool, failures: int, since: datetime | None) -> tuple[datetime | None, int]:
        async with store.writing() as tx:
            await endpoints.note(tx, {endpoint.id: Turn(recovered, failures, since)})
            (noted,) = await endpoints.by_ids(tx, [endpoint.id])
        assert noted.version > endpoint.version, "other processes must see that it changed"
        return noted.failing_since, noted.failures

    assert await note(recovered=False, failures=1, since=NOON) == (NOON, 1)
    assert await note(recovered=False, failures=2, since=NOON + SECOND) == (NOON, 3)
    async with store.reading() as tx:
        assert await endpoints.failing_since_before(tx, NOON) == []
        assert await endpoints.failing_since_before(tx, NOON + SECOND) == [endpoint.id]
    assert await note(recovered=True, failures=1, since=NOON + 2 * SECOND) == (NOON + 2 * SECOND, 1)
    assert await note(recovered=False, failures=99, since=NOON) == (NOON + 2 * SECOND, OPENS_AFTER)
    assert await note(recovered=True, failures=0, since=None) == (None, 0)


async def test_what_was_learnt_of_an_endpoints_tempo_stays_until_something_else_is(store: Store) -> None:
    endpoint = await endpoint_in(store, failures=2, failing_since=NOON)

    async def tempo_after(turn: Turn) -> tuple[str, int, datetime | None]:
        async with store.writing() as tx:
            await endpoints.note(tx, {endpoint.id: turn})
            (noted,) = await endpoints.by_ids(tx, [endpoint.id])
        return noted.tempo, noted.failures, noted.failing_since

    nothing_else = Turn(recovered=False, failures=0, failing_since=None, tempo="slow")
    assert await tempo_after(nothing_else) == ("slow", 2, NOON)
    assert await tempo_after(Turn(recovered=False, failures=1, failing_since=NOON + SECOND)) == ("slow", 3, NOON)
    assert await tempo_after(Turn(recovered=True, failures=0, failing_since=None, tempo="quick")) == ("quick", 0, None)


# --- what is forgotten ------------------------------------------------------------------------------------------------


async def test_old_ended_deliveries_are_forgotten_with_their_attempts_and_then_their_events(store: Store) -> None:
    endpoint = await endpoint_in(store)
    old = await deliveries_in(store, endpoint, 3, leased=True)
    waiting, young = await delivery_in(store, endpoint), await delivery_in(store, endpoint, created_at=NOON + SECOND)
    for parcel in (*old, young):
        await settle(store, parcel)
        await attempts_in(store, an_attempt(parcel))
    before = NOON + SECOND
    async with store.writing() as tx:
        assert await events.prune(tx, before=before, limit=10) == 0, "their deliveries are still there"
        assert [await deliveries.prune(tx, before=before, limit=2) for _ in range(3)] == [2, 1, 0]
        assert [await events.prune(tx, before=before, limit=2) for _ in range(3)] == [2, 1, 0]
        for parcel in old:
            assert await log.attempts_of(tx, EVERYONE, parcel.delivery_id) == []
            assert await events.find(tx, EVERYONE, parcel.event_id) is None
        assert len(await log.attempts_of(tx, EVERYONE, young.delivery_id)) == 1
        assert await events.find(tx, EVERYONE, waiting.event_id) is not None
    assert sorted(await found(store)) == sorted([waiting.delivery_id, young.delivery_id])


async def test_an_attempt_that_was_logged_after_its_delivery_was_gone_does_not_stay(store: Store) -> None:
    waiting = await delivery_in(store, await endpoint_in(store))
    gone = a_parcel()
    await attempts_in(store, an_attempt(waiting), an_attempt(gone), an_attempt(gone, started_at=NOON + SECOND))
    async with store.writing() as tx:
        assert await deliveries.prune_strays(tx, before=NOON + SECOND, limit=10) == 1
        assert len(await log.attempts_of(tx, EVERYONE, waiting.delivery_id)) == 1
        assert len(await log.attempts_of(tx, EVERYONE, gone.delivery_id)) == 1, "it is not old"


# --- dead letters -----------------------------------------------------------------------------------------------------


def a_letter(**changes: Any) -> DeadLetter:
    letter = DeadLetter(
        id="dead_1",
        received_at=NOON,
        queue="hookline.annotation",
        routing_key="annotation.completed",
        reason="invalid_json",
        detail="Not valid JSON",
        content_type=None,
        headers={"account-id": "acc_1", "odd": "a\0b \U0001f600"},
        body=b"\0\xff not json",
    )
    return replace(letter, **changes)


async def test_a_dead_letter_is_kept_as_it_came_once_however_often_it_is_parked(store: Store) -> None:
    letter = a_letter()
    async with store.writing() as tx:
        await dead_letters.park(tx, [letter])
        await dead_letters.park(tx, [replace(letter, reason="another"), a_letter(id="dead_2")])
        assert await dead_letters.find(tx, letter.id) == letter
        assert [await dead_letters.count(tx, most=most) for most in (1, 2, 3)] == [1, 2, 2]
        assert await dead_letters.discard(tx, letter.id)
        assert not await dead_letters.discard(tx, letter.id)
        assert await dead_letters.find(tx, letter.id) is None
