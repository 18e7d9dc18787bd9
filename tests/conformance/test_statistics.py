"""What the store promises about statistics: everything is counted once, and reading costs what it shows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlalchemy import event, func, select

from delivery.domain.model import ErrorClass, Failure, Parcel, Timings
from delivery.domain.retry import Delivered, GiveUp, RetryAt
from delivery.domain.tally import Grain, key, tallied
from delivery.ledger import Entry, Ledger
from delivery.ports import Surroundings
from delivery.statistics import Figures, Question, Statistics
from delivery.store import backlog, rollups
from delivery.store.engine import Store, Transaction, is_poison
from delivery.store.reach import EVERYONE, Reach
from delivery.store.tables import attempts, deliveries, tallies
from delivery.store.tables import rollups as rollups_table
from tests.conformance.rows import deliveries_in, delivery_in, endpoint_in, settle
from tests.support.clock import NOON, ManualClock
from tests.support.samples import an_answer, an_attempt, an_outcome
from tests.support.stores import ACCOUNT, NEIGHBOUR

SECOND = timedelta(seconds=1)
ALL_DAY = Question("day", NOON, NOON + timedelta(days=1))


def statistics_of(store: Store, clock: ManualClock | None = None) -> Statistics:
    return Statistics(store, Surroundings(clock or ManualClock(), Random(1), bytes), retention=timedelta(days=30))


async def totals(store: Store, reach: Reach = EVERYONE, question: Question = ALL_DAY) -> Figures:
    """What statistics say when everything is folded."""
    statistics = statistics_of(store)
    await statistics.fold()
    return (await statistics.report(reach, question)).totals


async def note(store: Store, *moments: datetime, account_id: str = ACCOUNT, **counts: int) -> None:
    """Count something at each of these moments."""
    facts = [(key(at, account_id, "wh_1", "batch.failed"), counts or {"attempts": 1}) for at in moments]
    async with store.writing() as tx:
        await rollups.note(tx, tallied(facts))


def an_entry(parcel: Parcel, status: int | None, *, took_ms: float = 1.5, at: datetime = NOON) -> Entry:
    """A request that was answered with a status, or with nothing."""
    kinds: dict[int, ErrorClass] = {3: "http_3xx", 4: "http_4xx", 5: "http_5xx"}
    error = kinds.get(status // 100) if status else "timeout"
    failure = Failure(error, "It said no, or nothing") if error else None
    outcome = replace(an_outcome(an_answer(status) if status else None, failure), timings=Timings(took_ms))
    verdict = Delivered() if outcome.failure is None else RetryAt(at + 60 * SECOND)
    return Entry(parcel, verdict, at, [an_attempt(parcel, outcome, started_at=at)])


# --- once, whatever happens -------------------------------------------------------------------------------------------


async def scanned(store: Store) -> tuple[int, int, int, int]:
    """What the log says, counted the long way: attempts, those with a 2xx, deliveries delivered and failed."""
    async with store.reading() as tx:
        statuses = (await tx.execute(select(attempts.c.response_status))).scalars().all()
        standings = Counter((await tx.execute(select(deliveries.c.standing))).scalars())
    succeeded = sum(status is not None and 200 <= status < 300 for status in statuses)
    return len(statuses), succeeded, standings["delivered"], standings["failed"]


def shown(figures: Figures) -> tuple[int, int, int, int]:
    return figures.attempts, figures.by_class["2xx"], figures.delivered, figures.failed


class Unreliable(Store):
    """A database whose connection is lost now and then, just before a commit or just after it."""

    def __init__(self, store: Store, luck: Random) -> None:
        super().__init__(store.engine)
        self._luck = luck
        self.lost = Counter[str]()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Transaction]:
        moment = self._luck.choice(["before", "after", "never"])
        self.lost[moment] += 1
        async with super().writing() as tx:
            yield tx
            if moment == "before":
                raise ConnectionResetError
        if moment == "after":
            raise ConnectionResetError


async def record(ledger: Ledger, entry: Entry) -> None:
    """Write an entry down, as often as it takes; one that turns out to be there already was written."""
    try:
        await ledger.record([entry])
    except Exception as error:
        if not is_poison(error):
            raise


async def test_what_was_counted_is_what_the_log_says_whatever_was_lost_on_the_way(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.ledger._PATIENCE", (0.0,))
    unreliable = Unreliable(store, Random(7))
    ledger, statistics = Ledger(unreliable, Random(1)), statistics_of(unreliable)
    parcels = await deliveries_in(store, await endpoint_in(store), 30, leased=True)
    for number, parcel in enumerate(parcels):
        await record(ledger, an_entry(parcel, (200, 503, None)[number % 3]))
        if number % 5 == 0:
            with suppress(ConnectionResetError):
                await statistics.fold()
    assert min(unreliable.lost.values()) > 5
    assert await scanned(store) == (30, 10, 10, 0) == shown(await totals(store))


async def test_processes_that_count_and_fold_at_once_count_everything_once(processes: Sequence[Store]) -> None:
    store = processes[0]
    endpoints = [await endpoint_in(store) for _ in range(3)]
    parcels = [one for endpoint in endpoints for one in await deliveries_in(store, endpoint, 40, leased=True)]

    async def work(process: Store, share: Sequence[Parcel]) -> None:
        ledger, statistics = Ledger(process, Random(1)), statistics_of(process)
        for start in range(0, len(share), 4):
            await ledger.record([an_entry(parcel, 200) for parcel in share[start : start + 4]])
            await statistics.fold()

    await asyncio.gather(*(work(process, parcels[n::3]) for n, process in enumerate(processes)))
    assert await scanned(store) == (120, 120, 120, 0) == shown(await totals(store))


async def test_who_has_lost_the_lease_counts_the_attempt_and_no_end(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    ledger = Ledger(store, Random(1))
    late = an_entry(replace(parcel, lease="too late"), 200)
    await ledger.record([late, an_entry(parcel, 200)])
    assert await scanned(store) == (2, 2, 1, 0) == shown(await totals(store))


async def test_a_delivery_that_fails_for_good_is_counted_as_failed(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store), leased=True)
    await Ledger(store, Random(1)).record([replace(an_entry(parcel, 503), verdict=GiveUp())])
    assert await scanned(store) == (1, 0, 0, 1) == shown(await totals(store))


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_attempts_are_told_apart_by_answer_error_and_time(store: Store) -> None:
    parcels = await deliveries_in(store, await endpoint_in(store), 6, leased=True)
    answers = (200, 204, 302, 404, 500, None)
    entries = [an_entry(parcel, status, took_ms=100) for parcel, status in zip(parcels, answers, strict=True)]
    await Ledger(store, Random(1)).record(entries)
    figures = await totals(store)
    assert figures.by_class == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "none": 1}
    assert {error: count for error, count in figures.by_error.items() if count} == {
        "http_3xx": 1,
        "http_4xx": 1,
        "http_5xx": 1,
        "timeout": 1,
    }
    assert figures.success_share == pytest.approx(2 / 6)
    assert figures.mean_ms == 100
    assert 90 < (figures.p50_ms or 0) <= (figures.p99_ms or 0) < 129


@pytest.mark.parametrize(
    ("grain", "begin", "after"),
    [
        ("minute", NOON.replace(minute=7), NOON.replace(minute=8)),
        ("hour", NOON, NOON.replace(hour=13)),
        ("day", NOON.replace(hour=0), NOON.replace(day=2, hour=0)),
    ],
)
async def test_a_bucket_begins_with_its_first_moment_and_ends_before_the_next_ones(
    store: Store, grain: Grain, begin: datetime, after: datetime
) -> None:
    instant = timedelta(microseconds=1)
    await note(store, begin - instant, begin, after - instant, after)
    statistics = statistics_of(store)
    await statistics.fold()
    report = await statistics.report(EVERYONE, Question(grain, begin, after))
    assert [(bucket.at, bucket.figures.attempts) for bucket in report.series] == [(begin, 2)]
    wider = await statistics.report(EVERYONE, Question(grain, begin - instant, after + instant))
    assert [bucket.figures.attempts for bucket in wider.series] == [1, 2, 1]


async def test_buckets_in_which_nothing_happened_are_shown_empty(store: Store) -> None:
    await note(store, NOON, NOON + 120 * SECOND)
    statistics = statistics_of(store)
    await statistics.fold()
    report = await statistics.report(EVERYONE, Question("minute", NOON, NOON + 180 * SECOND))
    assert [bucket.figures.attempts for bucket in report.series] == [1, 0, 1]
    assert (report.series[1].figures.success_share, report.series[1].figures.p99_ms) == (None, None)


async def test_one_endpoint_and_one_type_can_be_looked_at_and_the_busiest_come_first(store: Store) -> None:
    calm, busy = await endpoint_in(store), await endpoint_in(store)
    for endpoint, count, kind in ((calm, 1, "batch.failed"), (busy, 3, "batch.failed"), (busy, 1, "review.submitted")):
        async with store.writing() as tx:
            where = key(NOON, ACCOUNT, endpoint.id, kind)
            await rollups.note(tx, {where: {"attempts": count}})
    assert (await totals(store, question=replace(ALL_DAY, endpoint_id=busy.id))).attempts == 4
    assert (await totals(store, question=replace(ALL_DAY, event_type="batch.failed"))).attempts == 4
    report = await statistics_of(store).report(EVERYONE, ALL_DAY, most_endpoints=1)
    assert [(one.endpoint_id, one.url, one.figures.attempts) for one in report.endpoints] == [(busy.id, busy.url, 4)]


async def test_an_account_sees_its_own_numbers_and_an_operator_everybodys(store: Store) -> None:
    endpoint = await endpoint_in(store, account_id=NEIGHBOUR)
    await Ledger(store, Random(1)).record([an_entry(await delivery_in(store, endpoint, leased=True), 200)])
    await delivery_in(store, endpoint)
    statistics = statistics_of(store)
    await statistics.fold()
    seen = {}
    for reach in (EVERYONE, Reach(NEIGHBOUR), Reach(ACCOUNT)):
        report = await statistics.report(reach, ALL_DAY)
        waiting = sum(report.backlog.by_state.values())
        seen[reach] = (report.totals.attempts, len(report.endpoints), waiting, report.backlog.oldest_due_s)
        which = replace(ALL_DAY, endpoint_id=endpoint.id)
        assert (await totals(store, reach, which)).attempts == report.totals.attempts
    assert seen == {EVERYONE: (1, 1, 1, 0.0), Reach(NEIGHBOUR): (1, 1, 1, 0.0), Reach(ACCOUNT): (0, 0, 0, 0.0)}


# --- what waits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [EVERYONE, Reach(ACCOUNT)], ids=["everybody", "one account"])
async def test_the_backlog_is_told_by_state_and_step_and_how_long_the_oldest_is_due(store: Store, reach: Reach) -> None:
    endpoint = await endpoint_in(store)
    for kind in ("batch.failed", "annotation.completed"):
        await deliveries_in(store, endpoint, 2, event_type=kind, created_at=NOON + 10 * SECOND)
    retrying, _, over = await deliveries_in(store, endpoint, 3, leased=True)
    await settle(store, retrying, standing="pending", next_attempt_at=NOON + 60 * SECOND, finished_at=None)
    await settle(store, over)
    async with store.reading() as tx:
        found = await backlog.look(tx, reach, NOON + 15 * SECOND)
        some = await backlog.look(tx, reach, NOON + 15 * SECOND, most=3)
    assert found == backlog.Backlog({"sending": 1, "due": 4, "waiting": 1}, {0: 5, 1: 1}, more=False, oldest_due_s=5.0)
    assert (sum(some.by_state.values()), some.more) == (3, True)


# --- what it costs ----------------------------------------------------------------------------------------------------


async def test_rollups_are_read_without_a_look_at_what_was_counted(store: Store) -> None:
    said: list[str] = []
    event.listen(store.engine.sync_engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    window = ALL_DAY.window(NOON)
    async with store.reading() as tx:
        await rollups.series(tx, EVERYONE, window)
        await rollups.busiest(tx, Reach(ACCOUNT), window, limit=20)
    async with store.writing() as tx:
        await rollups.fold(tx, limit=10)
        await rollups.prune(tx, "minute", before=NOON, limit=10)
    asked = [text for text in said if "rollups" in text or "tallies" in text]
    assert len(asked) >= 4
    assert not [text for text in asked for table in ("deliveries", "attempts ", "events") if f"FROM {table}" in text]


async def test_a_hundred_times_as_many_attempts_are_as_many_rows(store: Store) -> None:
    async def rows() -> int:
        await statistics_of(store).fold()
        async with store.reading() as tx:
            return (await tx.execute(select(func.count()).select_from(rollups_table))).scalar_one()

    await note(store, NOON)
    before = await rows()
    for _ in range(100):
        await note(store, NOON)
    assert (before, await rows()) == (3, 3)
    assert (await totals(store)).attempts == 101
    async with store.reading() as tx:
        assert (await tx.execute(select(func.count()).select_from(tallies))).scalar_one() == 0


async def test_more_notes_than_fit_into_a_transaction_are_all_folded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.statistics._HANDFUL", 3)
    for number in range(7):
        await note(store, NOON + number * 60 * SECOND)
    assert await statistics_of(store).fold() == 7
    assert (await totals(store)).attempts == 7


async def test_minutes_are_kept_for_two_days_hours_for_the_retention_and_days_for_more_than_a_year(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.statistics._HANDFUL", 2)
    ages = [timedelta(days=days) for days in (1, 3, 29, 31, 399, 401)]
    await note(store, *(NOON - age for age in ages))
    statistics = statistics_of(store)
    await statistics.fold()
    assert await statistics.prune() == 5 + 3 + 1
    async with store.reading() as tx:
        query = select(rollups_table.c.grain, func.count().label("kept")).group_by(rollups_table.c.grain)
        found = await tx.execute(query)
        assert {row.grain: row.kept for row in found} == {"minute": 1, "hour": 3, "day": 5}
    assert await statistics.prune() == 0
