"""What replays promise on each database: each delivery once, whatever happens meanwhile. Sending is done by hand."""

import asyncio
import os
import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import update

from delivery.domain.errors import Conflict, NotFound
from delivery.domain.model import DeliveryId, Endpoint, Parcel
from delivery.places import Crowded
from delivery.ports import Surroundings
from delivery.replays import Replays
from delivery.store import deliveries, endpoints, replay_parts, replays, tables
from delivery.store.cursors import PageRequest
from delivery.store.engine import Store
from delivery.store.log import DeliveryFilter
from delivery.store.reach import EVERYONE, Reach
from delivery.store.replay_parts import FIRST
from delivery.store.replays import Counts, Preview, Replay
from tests.conformance.rows import claim, deliveries_in, delivery_in, endpoint_in, row, settle
from tests.support.clock import NOON, ManualClock
from tests.support.samples import BY, a_parcel, an_event
from tests.support.stores import ACCOUNT, NEIGHBOUR

SECOND = timedelta(seconds=1)
OURS = Reach(ACCOUNT)
FAILED = DeliveryFilter(status="failed")


@dataclass(frozen=True)
class Process:
    """A process that moves replays on, and one that sends what they ask for."""

    store: Store
    clock: ManualClock

    @property
    def replays(self) -> Replays:
        return Replays(self.store, Surroundings(self.clock, Random(1), os.urandom))

    async def start(self, which: DeliveryFilter = FAILED, reach: Reach = OURS) -> str:
        replay, _ = await self.replays.start(reach, which, by=BY)
        return replay.id

    async def run(self) -> None:
        self.clock.forward(1)
        await self.replays.run()

    async def take(self) -> Sequence[Parcel]:
        """Lease everything that is asked for."""
        return await claim(self.store, now=self.clock.now(), limit=10_000, per_endpoint=10_000)

    async def send(self, parcels: Sequence[Parcel], **result: Any) -> None:
        if parcels:
            await settle(self.store, *parcels, **{"finished_at": self.clock.now()} | result)

    async def until_finished(self, replay_id: str, **result: Any) -> list[DeliveryId]:
        """Go on until the replay is finished; return what was sent, in order."""
        sent: list[DeliveryId] = []
        for _ in range(100):
            await self.run()
            if (await self.look(replay_id)).finished_at is not None:
                return sent
            taken = await self.take()
            await self.send(taken, **result)
            sent += [parcel.delivery_id for parcel in taken]
        raise AssertionError(await self.look(replay_id))

    async def look(self, replay_id: str) -> Replay:
        async with self.store.reading() as tx:
            replay = await replays.find(tx, EVERYONE, replay_id)
        assert replay is not None
        return replay

    async def counts(self, replay_id: str) -> Counts:
        return (await self.look(replay_id)).counts


class KilledError(Exception):
    """A process that ends in the middle of something."""


@pytest.fixture
def process(store: Store) -> Process:
    return Process(store, ManualClock())


async def failed_in(store: Store, endpoint: Endpoint, count: int, **result: Any) -> Sequence[Parcel]:
    """Insert deliveries that have failed."""
    parcels = await deliveries_in(store, endpoint, count, leased=True)
    await settle(store, *parcels, **{"standing": "failed", "last_error": "http_5xx"} | result)
    return parcels


def ids(parcels: Sequence[Parcel]) -> list[DeliveryId]:
    return sorted(parcel.delivery_id for parcel in parcels)


# --- what it finds ----------------------------------------------------------------------------------------------------


async def previewed(store: Store, which: DeliveryFilter = FAILED, reach: Reach = OURS) -> Preview:
    async with store.reading() as tx:
        return await replays.preview(tx, reach, which)


async def test_a_preview_counts_by_endpoint_and_by_error(store: Store) -> None:
    one, other = await endpoint_in(store), await endpoint_in(store, active=False, url="https://other.example/")
    await failed_in(store, one, 3, last_error="timeout")
    await failed_in(store, one, 2, last_error="http_5xx")
    newest = (await failed_in(store, other, 2, last_error="timeout"))[-1]
    await delivery_in(store, one)
    found = await previewed(store)
    assert found.matched == 7
    assert found.by_error == [("timeout", 5), ("http_5xx", 2)]
    assert [(each.endpoint_id, each.active, each.matched) for each in found.by_endpoint] == [
        (one.id, True, 5),
        (other.id, False, 2),
    ]
    assert (found.by_endpoint[1].url, found.by_endpoint[1].last >= newest.delivery_id) == (other.url, True)


async def test_what_fails_with_one_error_can_be_asked_for(store: Store) -> None:
    endpoint = await endpoint_in(store)
    await failed_in(store, endpoint, 1, last_error="timeout")
    await failed_in(store, endpoint, 2, last_error="dns_error")
    assert (await previewed(store, DeliveryFilter(error_class="dns_error"))).matched == 2


async def test_a_replay_reaches_no_other_account_unless_it_is_an_operators(process: Process) -> None:
    ours, theirs = await endpoint_in(process.store), await endpoint_in(process.store, account_id=NEIGHBOUR)
    mine = await failed_in(process.store, ours, 2)
    others = await failed_in(process.store, theirs, 2)
    assert sorted(await process.until_finished(await process.start(), standing="failed", last_error="x")) == ids(mine)
    everybodys = await process.start(reach=EVERYONE)
    assert sorted(await process.until_finished(everybodys)) == ids([*mine, *others])
    async with process.store.reading() as tx:
        assert [replay.account_id for replay in (await replays.browse(tx, OURS, PageRequest())).items] == [ACCOUNT]
        assert await replays.find(tx, OURS, everybodys) is None
        assert len((await replays.browse(tx, EVERYONE, PageRequest())).items) == 2


async def test_a_replay_remembers_its_filter(process: Process) -> None:
    which = DeliveryFilter(status="failed", from_=NOON, to=NOON + SECOND, q="ann_1", response_status=503)
    replay = await process.look(await process.start(which))
    assert replay.filter == which
    assert (replay.state, replay.finished_at, replay.counts) == ("finished", NOON, Counts(0))


# --- each once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrives", [True, False])
async def test_each_delivery_that_matches_is_sent_once_and_no_other(process: Process, *, arrives: bool) -> None:
    store, endpoint = process.store, await endpoint_in(process.store)
    matching = [*await failed_in(store, endpoint, 130), *await failed_in(store, await endpoint_in(store), 7)]
    await settle(store, await delivery_in(store, endpoint, leased=True))
    replay_id = await process.start()
    fails_again = {} if arrives else {"standing": "failed", "last_error": "timeout"}
    sent = await process.until_finished(replay_id, **fails_again)
    assert sorted(sent) == ids(matching)
    came_to = {"delivered": 137} if arrives else {"failed": 137}
    assert await process.counts(replay_id) == Counts(matched=137, asked=137, **came_to)
    assert (await process.look(replay_id)).state == "finished"


async def test_what_became_of_each_is_counted(process: Process) -> None:
    endpoint = await endpoint_in(process.store)
    await failed_in(process.store, endpoint, 5)
    replay_id = await process.start()
    await process.run()
    taken = await process.take()
    await process.send(taken[:3])
    await process.send(taken[3:4], standing="failed", last_error="timeout")
    await process.run()
    counts = await process.counts(replay_id)
    assert counts == Counts(matched=5, asked=5, delivered=3, failed=1)
    assert counts.outstanding == 1
    assert (await process.look(replay_id)).state == "running"
    await process.send(taken[4:], standing="failed", last_error="timeout")
    await process.run()
    assert await process.counts(replay_id) == Counts(matched=5, asked=5, delivered=3, failed=2)


async def test_a_delivery_that_had_arrived_and_fails_this_time_counts_as_failed(process: Process) -> None:
    endpoint = await endpoint_in(process.store)
    await settle(process.store, await delivery_in(process.store, endpoint, leased=True))
    replay_id = await process.start(DeliveryFilter(status="delivered"))
    await process.until_finished(replay_id, last_error="timeout")
    assert await process.counts(replay_id) == Counts(matched=1, asked=1, failed=1)


async def test_the_schedule_of_what_waits_for_its_next_attempt_stays_as_it_was(process: Process) -> None:
    parcel = await delivery_in(process.store, await endpoint_in(process.store), leased=True)
    later = NOON + 3600 * SECOND
    await settle(process.store, parcel, standing="pending", next_attempt_at=later, last_error="timeout")
    await process.start(DeliveryFilter(status="pending"))
    await process.run()
    (taken,) = await process.take()
    assert (taken.asked, taken.trigger, taken.next_attempt_at) == ("replay", "replay", later)


async def test_what_is_being_sent_or_due_anyway_is_passed_over_and_counted(process: Process) -> None:
    store, endpoint = process.store, await endpoint_in(process.store)
    by_hand, leased, resting = await failed_in(store, endpoint, 3)
    async with store.writing() as tx:
        await deliveries.ask(tx, leased.delivery_id, "manual", NOON)
    await claim(store)
    async with store.writing() as tx:
        await deliveries.ask(tx, by_hand.delivery_id, "manual", NOON + 60 * SECOND)
    due = await delivery_in(store, endpoint)
    replay_id = await process.start(DeliveryFilter(webhook_id=endpoint.id))
    await process.run()
    assert await process.counts(replay_id) == Counts(matched=4, asked=1, in_progress=3)
    assert (await row(store, resting)).asked == "replay"
    assert [(await row(store, parcel)).asked for parcel in (by_hand, leased, due)] == ["manual", "manual", None]


async def test_what_is_made_or_no_longer_matches_while_it_runs_is_not_sent(process: Process) -> None:
    store, endpoint = process.store, await endpoint_in(process.store)
    parcels = await failed_in(store, endpoint, 60)
    replay_id = await process.start()
    await process.run()
    waiting = max(parcels, key=lambda parcel: parcel.delivery_id)
    assert (await row(store, waiting)).asked is None, "there is a pace"
    async with store.writing() as tx:
        await deliveries.ask(tx, waiting.delivery_id, "manual", process.clock.now())
    await process.send(await process.take())
    late = await deliveries_in(store, endpoint, 1, leased=True, created_at=NOON + 60 * SECOND)
    await process.send(late, standing="failed", last_error="timeout")
    sent = await process.until_finished(replay_id)
    assert late[0].delivery_id not in sent
    assert await process.counts(replay_id) == Counts(matched=60, asked=59, delivered=59, changed=1)


async def test_a_step_that_breaks_off_leaves_nothing_behind(process: Process) -> None:
    parcels = await failed_in(process.store, await endpoint_in(process.store), 3)
    replay_id = await process.start()

    async def step_and_die() -> None:
        async with process.store.writing() as tx:
            part = await replay_parts.lock_next(tx, FIRST)
            assert part is not None
            found = await replay_parts.ahead(tx, part, limit=2)
            assert await replay_parts.ask(tx, part, found, NOON) == 2
            raise KilledError

    with pytest.raises(KilledError):
        await step_and_die()
    assert await process.take() == []
    assert sorted(await process.until_finished(replay_id)) == ids(parcels)


async def test_processes_that_step_at_once_ask_for_each_delivery_once(processes: Sequence[Store]) -> None:
    clock = ManualClock()
    every = [Process(store, clock) for store in processes]
    first = every[0]
    matching: list[Parcel] = []
    for _ in range(3):
        matching += await failed_in(first.store, await endpoint_in(first.store), 60)
    replay_id = await first.start()
    sent: Counter[DeliveryId] = Counter()
    while (await first.look(replay_id)).finished_at is None:
        steps = [asyncio.create_task(process.run()) for process in every * 2]
        taken = await first.take()
        await asyncio.gather(*steps)
        await first.send(taken)
        sent.update(parcel.delivery_id for parcel in taken)
    assert sent == Counter(ids(matching))
    assert await first.counts(replay_id) == Counts(matched=180, asked=180, delivered=180)


# --- pace -------------------------------------------------------------------------------------------------------------


async def waiting_for(store: Store, parcels: Sequence[Parcel]) -> int:
    return sum([(await row(store, parcel)).asked is not None for parcel in parcels])


async def test_an_endpoint_that_hangs_holds_up_no_other_and_gets_no_more_than_a_handful(process: Process) -> None:
    store = process.store
    hanging, well = await endpoint_in(store), await endpoint_in(store)
    stuck, quick = await failed_in(store, hanging, 60), await failed_in(store, well, 120)
    await process.start()
    arrived = set()
    for _ in range(5):
        await process.run()
        taken = await process.take()
        await process.send([parcel for parcel in taken if parcel.endpoint_id == well.id])
        arrived |= {parcel.delivery_id for parcel in taken if parcel.endpoint_id == well.id}
        assert await waiting_for(store, stuck) == 50
    assert sorted(arrived) == ids(quick)


async def test_an_endpoint_that_keeps_up_gets_more_and_more(process: Process) -> None:
    endpoint = await endpoint_in(process.store)
    await failed_in(process.store, endpoint, 400)
    await process.start()
    handfuls = []
    for _ in range(4):
        await process.run()
        taken = await process.take()
        await process.send(taken)
        handfuls.append(len(taken))
    assert handfuls == [50, 100, 200, 50]


# --- endpoints that are gone, replays that are stopped ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["disabled", "deleted"])
async def test_there_is_nothing_to_send_to_an_endpoint_that_is_gone_and_that_is_counted(
    process: Process, how: str
) -> None:
    changes: Mapping[str, Any] = {"active": False} if how == "disabled" else {"deleted_at": NOON}
    await failed_in(process.store, await endpoint_in(process.store, **changes), 3)
    replay_id = await process.start()
    assert await process.until_finished(replay_id) == []
    assert await process.counts(replay_id) == Counts(matched=3, disabled=3)


async def test_an_endpoint_that_is_disabled_meanwhile_gets_no_more(process: Process) -> None:
    store, endpoint = process.store, await endpoint_in(process.store)
    await failed_in(store, endpoint, 60)
    replay_id = await process.start()
    await process.run()
    taken = await process.take()
    async with store.writing() as tx:
        await deliveries.release(tx, taken[1:], process.clock.now())
        await endpoints.disable(tx, [endpoint.id], reason="gone", now=process.clock.now())
        assert await deliveries.cancel_stranded(tx, now=process.clock.now(), limit=100) == 49
    await process.send(taken[:1], standing="failed", last_error="timeout")
    assert await process.until_finished(replay_id) == []
    assert await process.counts(replay_id) == Counts(matched=60, asked=50, failed=1, withdrawn=49, disabled=10)


async def test_a_replay_that_is_stopped_asks_for_no_more_and_takes_back_what_nobody_is_sending(
    process: Process,
) -> None:
    store, endpoint = process.store, await endpoint_in(process.store)
    parcels = await failed_in(store, endpoint, 60)
    later = NOON + 3600 * SECOND
    pending = await delivery_in(store, await endpoint_in(store), leased=True)
    await settle(store, pending, standing="pending", next_attempt_at=later)
    replay_id = await process.start(DeliveryFilter(job_id="ann_1"))
    await process.run()
    others = Crowded(endpoints=[pending.endpoint_id])
    (sending,) = await claim(store, now=process.clock.now(), limit=1, crowded=others)

    assert (await process.replays.stop(OURS, replay_id, by=BY)).state == "stopped"
    await process.run()

    assert await waiting_for(store, parcels) == 1, "what is on its way is not called back"
    assert [(await row(store, pending)).wake_at, (await row(store, parcels[-1])).wake_at] == [later, None]
    assert (await process.look(replay_id)).finished_at is None
    await process.send([sending])
    await process.run()
    ended = await process.look(replay_id)
    assert (ended.state, ended.finished_at) == ("stopped", process.clock.now())
    assert ended.counts == Counts(matched=61, asked=51, delivered=1, withdrawn=50)
    with pytest.raises(Conflict, match="already ended: stopped"):
        await process.replays.stop(OURS, replay_id, by=BY)


async def test_nobody_stops_anothers_replay(process: Process) -> None:
    await failed_in(process.store, await endpoint_in(process.store), 1)
    replay_id = await process.start()
    with pytest.raises(NotFound):
        await process.replays.stop(Reach(NEIGHBOUR), replay_id, by=BY)
    assert (await process.look(replay_id)).state == "running"


# --- size -------------------------------------------------------------------------------------------------------------


async def test_old_replays_are_forgotten_and_those_that_run_are_not(process: Process) -> None:
    await failed_in(process.store, await endpoint_in(process.store), 1)
    done, running = await process.start(), ""
    await process.until_finished(done, standing="failed", last_error="timeout")
    running = await process.start()
    before = process.clock.now() + SECOND
    async with process.store.writing() as tx:
        assert [await replays.prune(tx, before=before, limit=10) for _ in range(2)] == [1, 0]
        assert await replays.find(tx, EVERYONE, done) is None
        assert await replays.find(tx, EVERYONE, running) is not None


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_number_of_deliveries(process: Process) -> None:
    store, endpoint, event = process.store, await endpoint_in(process.store), an_event()
    ended = {"standing": "failed", "last_error": "timeout", "attempts_made": 1, "wake_at": None, "lease": None}
    for _ in range(4):
        parcels = [a_parcel(event, endpoint) for _ in range(5000)]
        async with store.writing() as tx:
            await deliveries.insert_new(tx, parcels, leased=())
    async with store.writing() as tx:
        await tx.execute(update(tables.deliveries).values(ended))
    sent = {"asked": None, "wake_at": None, "attempts_made": 2, "last_error": None, "standing": "delivered"}
    replay_id, most = await process.start(), 0
    tracemalloc.start()
    while (await process.look(replay_id)).finished_at is None:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        await process.run()
        most = max(most, tracemalloc.get_traced_memory()[1] - before)
        async with store.writing() as tx:
            await tx.execute(update(tables.deliveries).where(tables.deliveries.c.asked == "replay").values(sent))
    tracemalloc.stop()
    assert await process.counts(replay_id) == Counts(matched=20_000, asked=20_000, delivered=20_000)
    assert most < 2 * 1024 * 1024, "some five hundred rows, and not twenty thousand"
