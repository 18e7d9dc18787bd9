"""What the store promises about events, and about who works on which delivery."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from delivery.domain.model import Standing, Trigger
from delivery.places import Crowded
from delivery.store import deliveries, endpoints, events
from delivery.store.engine import Store
from delivery.store.reach import EVERYONE, Reach
from tests.conformance.rows import (
    LEASE,
    claim,
    deliveries_in,
    delivery_in,
    endpoint_in,
    events_in,
    ids,
    row,
    settle,
)
from tests.support.clock import NOON
from tests.support.polling import until
from tests.support.samples import an_event
from tests.support.stores import ACCOUNT, NEIGHBOUR

SECOND = timedelta(seconds=1)

# --- events -----------------------------------------------------------------------------------------------------------


async def test_an_event_comes_back_as_it_was_put_in(store: Store) -> None:
    event = an_event(
        body='{"text":"ü \U0001f600 \\u0001"}'.encode(),
        timestamp=datetime(1, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
        external_id="msg-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    passed_over = [("wh_1", "not subscribed to annotation.completed")]
    async with store.writing() as tx:
        await events.insert_new(tx, [event], {event.id: passed_over})
    async with store.reading() as tx:
        found = await events.find(tx, EVERYONE, event.id)
    assert found is not None
    assert found[0] == event
    assert [tuple(pair) for pair in found[1]] == passed_over


async def test_of_events_with_the_same_identity_the_first_one_stays_in_one_batch_and_in_the_next(store: Store) -> None:
    first, twin, late = (an_event(identity="same") for _ in range(3))
    other = an_event(identity="other")
    assert await events_in(store, first, twin, other) == {first.id, other.id}
    assert await events_in(store, late) == set()
    async with store.reading() as tx:
        originals = await events.originals(tx, [twin, late])
    assert originals == {(ACCOUNT, "same"): first.id}


async def test_identities_of_different_accounts_never_meet(store: Store) -> None:
    ours, theirs = an_event(identity="same"), an_event(identity="same", account_id=NEIGHBOUR)
    assert await events_in(store, ours) == {ours.id}
    assert await events_in(store, theirs) == {theirs.id}
    async with store.reading() as tx:
        assert (await events.originals(tx, [theirs]))[NEIGHBOUR, "same"] == theirs.id


async def test_of_processes_that_insert_the_same_events_at_once_one_is_first_with_each(
    processes: Sequence[Store],
) -> None:
    luck = random.Random(7)
    identities = [f"id={number}" for number in range(500)]

    async def publish(store: Store) -> list[str]:
        mine = [an_event(identity=identity) for identity in luck.sample(identities, len(identities))]
        fresh = await events_in(store, *mine)
        return [event.identity for event in mine if event.id in fresh]

    won = await asyncio.gather(*(publish(store) for store in processes for _ in range(3)))
    assert sorted(identity for winner in won for identity in winner) == sorted(identities)


async def test_the_same_events_in_different_orders_lock_nobody_out(processes: Sequence[Store]) -> None:
    one, other, _ = processes
    async with one.writing() as tx:
        await events.insert_new(tx, [an_event(identity="a")], {})
        crossing = asyncio.create_task(events_in(other, an_event(identity="b"), an_event(identity="a")))
        await until(lambda: somebody_waits(one))
        assert len(await events.insert_new(tx, [an_event(identity="b")], {})) == 1
    assert await crossing == set()


async def somebody_waits(store: Store) -> bool:
    """Whether a transaction waits for a row that another one has; on SQLite everybody waits for the one who writes."""
    if store.dialect == "sqlite":
        return True
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with store.reading() as tx:
        return bool((await tx.execute(text(waiting))).scalar_one())


async def test_any_number_of_duplicates_finds_its_originals(store: Store) -> None:
    first, last = an_event(identity="id=0"), an_event(identity="id=16999")
    await events_in(store, first, last)
    duplicates = [replace(first, identity=f"id={number}") for number in range(17_000)]
    async with store.reading() as tx:
        originals = await events.originals(tx, duplicates)
    assert originals == {(ACCOUNT, event.identity): event.id for event in (first, last)}


async def test_what_was_accepted_in_a_time_is_found_and_read_oldest_first(store: Store) -> None:
    batch = [an_event(accepted_at=NOON + n * SECOND) for n in range(4)]
    neighbours = an_event(account_id=NEIGHBOUR, accepted_at=NOON + SECOND)
    await events_in(store, *batch, neighbours)
    async with store.reading() as tx:
        found = await events.keys(tx, NOON + SECOND, NOON + 3 * SECOND, account_id=ACCOUNT)
        assert list(found) == [event.id for event in batch[1:3]]
        assert set(await events.keys(tx, NOON + 2 * SECOND, None, account_id=ACCOUNT)) == {e.id for e in batch[2:]}
        assert await events.those(tx, [*found, neighbours.id], account_id=ACCOUNT) == batch[1:3]
        assert await events.those(tx, [], account_id=ACCOUNT) == []


# --- claiming ---------------------------------------------------------------------------------------------------------


async def test_the_longest_due_are_claimed_first_and_no_more_than_the_limit(store: Store) -> None:
    late, early, middle = await deliveries_in(store, await endpoint_in(store), 3, leased=True)
    async with store.writing() as tx:
        for parcel, seconds in ((late, 3), (early, 1), (middle, 2)):
            await deliveries.release(tx, [parcel], NOON + seconds * SECOND)
    assert sorted(ids(await claim(store, now=NOON + 9 * SECOND, limit=2))) == sorted(ids([early, middle]))
    assert ids(await claim(store, now=NOON + 9 * SECOND)) == ids([late])


async def test_what_is_not_due_or_leased_or_ended_is_not_claimed(store: Store) -> None:
    endpoint = await endpoint_in(store)
    await delivery_in(store, endpoint, created_at=NOON + SECOND)
    await delivery_in(store, endpoint, leased=True)
    await settle(store, await delivery_in(store, endpoint, leased=True))
    due = await delivery_in(store, endpoint)
    assert ids(await claim(store)) == ids([due])


async def test_a_claimed_parcel_carries_all_that_an_attempt_needs(store: Store) -> None:
    endpoint = await endpoint_in(store, url="https://receiver.example:8443/hook", tempo="slow")
    put_in = await delivery_in(store, endpoint, job_id="ann_7")
    (claimed,) = await claim(store, lease="worker.9")
    assert claimed == replace(put_in, lease="worker.9", leased_until=NOON + LEASE)


@pytest.mark.parametrize("fairly", [False, True])
async def test_nobody_who_is_crowded_gets_more(store: Store, *, fairly: bool) -> None:
    ours, another, theirs = [await endpoint_in(store, account_id=name) for name in (ACCOUNT, ACCOUNT, NEIGHBOUR)]
    for endpoint in (ours, another, theirs):
        await deliveries_in(store, endpoint, 2)

    async def found(crowded: Crowded) -> set[str]:
        parcels = await claim(store, crowded=crowded, fairly=fairly)
        async with store.writing() as tx:
            await deliveries.release(tx, parcels, NOON)
        return {parcel.endpoint_id for parcel in parcels}

    assert await found(Crowded()) == {ours.id, another.id, theirs.id}
    assert await found(Crowded(accounts=[ACCOUNT])) == {theirs.id}
    assert await found(Crowded(endpoints=[ours.id])) == {another.id, theirs.id}
    assert await found(Crowded(kinds=[(ours.id, "annotation.completed")])) == {another.id, theirs.id}
    assert await found(Crowded(kinds=[(ours.id, "batch.failed")])) == {ours.id, another.id, theirs.id}


@pytest.mark.parametrize("fairly", [False, True])
async def test_of_a_crowded_origin_only_those_are_found_of_which_more_is_known(store: Store, *, fairly: bool) -> None:
    at = "https://crowded.example:8443"
    new, known, elsewhere, theirs = [
        await endpoint_in(store, url=url, account_id=account)
        for url, account in [
            (f"{at}/new", ACCOUNT),
            (f"{at}/known", ACCOUNT),
            (f"{at}9/elsewhere", ACCOUNT),
            (f"{at}/theirs", NEIGHBOUR),
        ]
    ]
    for endpoint in (new, known, elsewhere, theirs):
        await deliveries_in(store, endpoint, 2)
    crowded = Crowded(origins=[(ACCOUNT, at)], exempt=[known.id])
    found = {parcel.endpoint_id for parcel in await claim(store, crowded=crowded, fairly=fairly)}
    assert found == {known.id, elsewhere.id, theirs.id}


async def test_behind_a_flood_everybody_else_is_found_every_other_time(store: Store) -> None:
    flooded = await endpoint_in(store)
    await deliveries_in(store, flooded, 300)
    late = NOON + SECOND
    neighbours = await delivery_in(store, await endpoint_in(store, account_id=NEIGHBOUR), created_at=late)
    ours = await delivery_in(store, flooded, event_type="batch.completed", created_at=late)
    assert not {ours.delivery_id, neighbours.delivery_id} & set(ids(await claim(store, late, limit=50)))
    assert {ours.delivery_id, neighbours.delivery_id} < set(ids(await claim(store, late, limit=50, fairly=True)))


async def test_no_endpoint_gets_more_than_its_share_and_a_crowded_one_nothing(store: Store) -> None:
    flood, calm, crowded = [await endpoint_in(store) for _ in range(3)]
    await deliveries_in(store, flood, 9)
    await deliveries_in(store, calm, 2, created_at=NOON + SECOND)
    await deliveries_in(store, crowded, 2)
    parcels = await claim(store, now=NOON + SECOND, per_endpoint=3, crowded=Crowded(endpoints=[crowded.id]))
    assert sorted(p.endpoint_id for p in parcels) == sorted([flood.id] * 3 + [calm.id] * 2)


async def test_many_claimers_never_get_the_same_delivery_and_together_get_all(processes: Sequence[Store]) -> None:
    store = processes[0]
    endpoint = await endpoint_in(store)
    put_in = await deliveries_in(store, endpoint, 300)

    async def work(store: Store, name: str) -> list[str]:
        mine: list[str] = []
        while parcels := await claim(store, lease=name, limit=7):
            assert len(parcels) <= 7
            mine += ids(parcels)
        return mine

    shares = await asyncio.gather(*(work(s, f"{n}.{m}") for n, s in enumerate(processes) for m in range(3)))
    # an empty hand can also mean that others were quicker: whatever is left over is still there
    left = ids(await claim(store))
    assert sorted([one for share in shares for one in share] + left) == sorted(ids(put_in))


async def test_what_a_dead_process_left_is_found_when_its_lease_has_run_out_and_not_before(store: Store) -> None:
    endpoint = await endpoint_in(store)
    parcel = await delivery_in(store, endpoint, leased=True, lease="dead.1")
    assert await claim(store, now=parcel.leased_until - SECOND) == []
    (taken_over,) = await claim(store, now=parcel.leased_until, lease="alive.1")
    assert (taken_over.delivery_id, taken_over.lease) == (parcel.delivery_id, "alive.1")
    assert await claim(store, now=parcel.leased_until + LEASE - SECOND) == []


# --- leases -----------------------------------------------------------------------------------------------------------


async def test_what_is_released_is_due_at_once(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    async with store.writing() as tx:
        await deliveries.release(tx, [parcel], NOON + SECOND)
    assert await claim(store, now=NOON) == []
    assert ids(await claim(store, now=NOON + SECOND)) == ids([parcel])


async def test_a_prolonged_lease_holds_for_longer(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    async with store.writing() as tx:
        await deliveries.prolong(tx, [parcel], parcel.leased_until + LEASE)
    assert await claim(store, now=parcel.leased_until + LEASE - SECOND) == []
    assert ids(await claim(store, now=parcel.leased_until + LEASE)) == ids([parcel])


async def test_who_no_longer_holds_the_lease_can_neither_prolong_nor_release_it(store: Store) -> None:
    ours = await delivery_in(store, await endpoint_in(store), leased=True)
    stale = replace(ours, lease="somebody.else")
    async with store.writing() as tx:
        await deliveries.prolong(tx, [stale], NOON + 10 * LEASE)
        await deliveries.release(tx, [stale], NOON)
    unchanged = await row(store, ours)
    assert (unchanged.lease, unchanged.wake_at) == (ours.lease, ours.leased_until)


async def test_the_holder_of_the_lease_writes_what_the_attempt_came_to(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    again_at = NOON + timedelta(minutes=1)
    await settle(
        store,
        parcel,
        standing="pending",
        next_attempt_at=again_at,
        finished_at=None,
        last_response_status=503,
        last_error="http_5xx",
    )
    (retry,) = await claim(store, now=again_at)
    assert (retry.attempts_made, retry.retries_used, retry.trigger) == (1, 1, "retry")
    now = await row(store, parcel)
    assert (now.standing, now.next_attempt_at, now.last_response_status, now.last_error) == (
        "pending",
        again_at,
        503,
        "http_5xx",
    )


async def test_a_late_writers_attempts_are_counted_and_its_verdict_is_not_heard(store: Store) -> None:
    late = await delivery_in(store, await endpoint_in(store), leased=True)
    (holder,) = await claim(store, now=late.leased_until, lease="holder.1")
    before = await row(store, late)
    await settle(store, late, standing="failed", attempts=2, last_response_status=500, last_error="http_5xx")
    after = await row(store, late)
    assert dict(after._mapping) == dict(before._mapping) | {"attempts_made": 2}
    await settle(store, holder)
    ended = await row(store, late)
    assert (ended.standing, ended.attempts_made, ended.lease, ended.wake_at) == ("delivered", 3, None, None)


async def test_a_clearance_says_who_holds_a_delivery_and_how_new_its_endpoint_is(store: Store) -> None:
    endpoint = await endpoint_in(store, version=3)
    held, resting = await delivery_in(store, endpoint, leased=True), await delivery_in(store, endpoint)
    async with store.reading() as tx:
        found = await deliveries.clearances(tx, [held.delivery_id, resting.delivery_id, held.event_id])  # type: ignore[list-item] # an id that no delivery has
    assert set(found) == {held.delivery_id, resting.delivery_id}
    assert found[held.delivery_id] == deliveries.Clearance(held.lease, held.leased_until, endpoint.id, 3)
    assert found[resting.delivery_id].lease is None


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standing", ["pending", "delivered", "failed", "cancelled"])
async def test_an_attempt_can_be_asked_for_from_every_state_and_leaves_the_schedule(
    store: Store, standing: Standing
) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    again_at = NOON + timedelta(hours=2) if standing == "pending" else None
    await settle(store, parcel, standing=standing, retries_used=4, next_attempt_at=again_at)
    async with store.writing() as tx:
        assert await deliveries.ask(tx, parcel.delivery_id, "manual", NOON + SECOND)
    (asked,) = await claim(store, now=NOON + SECOND)
    assert (asked.trigger, asked.standing) == ("manual", standing)
    assert (asked.retries_used, asked.next_attempt_at) == (4, again_at)


async def test_nothing_can_be_asked_for_while_an_attempt_is_being_made(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    async with store.writing() as tx:
        assert not await deliveries.ask(tx, parcel.delivery_id, "manual", NOON)
    assert (await row(store, parcel)).asked is None


@pytest.mark.parametrize("trigger", ["test", "manual", None])
async def test_what_an_attempt_was_asked_for_is_remembered_when_its_process_dies(
    store: Store, trigger: Trigger | None
) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True, asked=trigger)
    (taken_over,) = await claim(store, now=parcel.leased_until)
    assert taken_over.asked == trigger


@pytest.mark.parametrize("leased", [True, False])
async def test_a_waiting_delivery_can_be_cancelled_even_while_it_is_being_sent(store: Store, *, leased: bool) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=leased)
    async with store.writing() as tx:
        assert await deliveries.cancel(tx, Reach(ACCOUNT), parcel.delivery_id, reason="by hand", now=NOON)
    ended = await row(store, parcel)
    assert (ended.standing, ended.last_error, ended.finished_at) == ("cancelled", "by hand", NOON)
    assert (ended.wake_at, ended.lease, ended.next_attempt_at) == (None, None, None)
    await settle(store, parcel)
    assert (await row(store, parcel)).standing == "cancelled"


@pytest.mark.parametrize("standing", ["delivered", "failed", "cancelled"])
async def test_what_has_ended_cannot_be_cancelled(store: Store, standing: Standing) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    await settle(store, parcel, standing=standing)
    async with store.writing() as tx:
        assert not await deliveries.cancel(tx, EVERYONE, parcel.delivery_id, reason="by hand", now=NOON)


async def test_what_waits_for_a_deleted_or_disabled_endpoint_ends_with_the_reason(store: Store) -> None:
    deleted = await endpoint_in(store, deleted_at=NOON, active=False)
    disabled = await endpoint_in(store, active=False, disabled_reason="switched off")
    alive = await endpoint_in(store)
    orphan, stranded, waiting = [await delivery_in(store, endpoint) for endpoint in (deleted, disabled, alive)]
    on_its_way = await delivery_in(store, deleted, leased=True)
    async with store.writing() as tx:
        assert await deliveries.cancel_stranded(tx, now=NOON + SECOND, limit=100) == 2
    for parcel, reason in ((orphan, "endpoint deleted"), (stranded, "endpoint disabled")):
        ended = await row(store, parcel)
        assert (ended.standing, ended.last_error, ended.finished_at) == ("cancelled", reason, NOON + SECOND)
    assert (await row(store, waiting)).standing == "pending"
    assert (await row(store, on_its_way)).lease == on_its_way.lease


async def test_what_had_ended_before_its_endpoint_was_disabled_stays_as_it_ended(store: Store) -> None:
    disabled = await endpoint_in(store, active=False)
    parcel = await delivery_in(store, disabled, leased=True)
    await settle(store, parcel)
    async with store.writing() as tx:
        assert await deliveries.ask(tx, parcel.delivery_id, "manual", NOON)
        assert await deliveries.cancel_stranded(tx, now=NOON + SECOND, limit=100) == 1
    ended = await row(store, parcel)
    assert (ended.standing, ended.finished_at, ended.last_error, ended.wake_at) == ("delivered", NOON, None, None)


async def test_the_stranded_are_ended_a_handful_at_a_time(store: Store) -> None:
    await deliveries_in(store, await endpoint_in(store, active=False), 5)
    async with store.writing() as tx:
        assert [await deliveries.cancel_stranded(tx, now=NOON, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_an_endpoint_is_disabled_once_however_many_say_so(processes: Sequence[Store]) -> None:
    endpoint = await endpoint_in(processes[0])

    async def disable(store: Store, reason: str) -> int:
        async with store.writing() as tx:
            return len(await endpoints.disable(tx, [endpoint.id], reason=reason, now=NOON))

    assert sum(await asyncio.gather(*(disable(store, str(n)) for n, store in enumerate(processes)))) == 1
