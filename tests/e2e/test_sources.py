"""Sources: what happens in an annotation system is published once, whoever polls it and whatever goes wrong."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from consumers.sources.connector import Push, Unauthorised
from delivery.domain.errors import Conflict, InvalidInput, NotFound, Unprocessable
from delivery.domain.sources import Source
from delivery.store import audit, dead_letters, sources, tables
from delivery.store.audit import AuditFilter
from delivery.store.cursors import PageRequest
from tests.support.polling import until
from tests.support.receiver import Receiver
from tests.support.samples import BY
from tests.support.toy import KEY, Toy, toy
from tests.support.world import OURS, World, another

__all__ = ["toy"]


async def connected(world: World, toy: Toy, **wishes: Any) -> Source:
    """A source that was polled once, and is not due."""
    source = await world.connect("toy", toy.url, {"key": KEY}, **wishes)
    await world.polled()
    return source


async def jobs(world: World) -> list[str]:
    """What was published, in the order of the names: what is accepted in the same millisecond has none of its own."""
    return sorted(body["data"]["job_id"] for body in await world.bodies())


# --- what happens is published ----------------------------------------------------------------------------------------


async def test_what_happens_there_arrives_here_once(world: World, receiver: Receiver, toy: Toy) -> None:
    await world.register(receiver.url)
    source = await connected(world, toy)
    toy.happens()
    await world.polled(9)
    assert receiver.calls == [], "it is not due yet"
    for _ in range(3):
        await world.polled(11)
    assert len(receiver.calls) == 1
    found = await world.source(source)
    assert (found.state, found.events, found.refused) == ("ok", 1, {})
    assert found.polled_at == world.clock.now()
    assert found.last_event_at is not None


async def test_a_process_that_ends_amid_a_poll_leaves_the_rest_to_the_next_one(world: World, toy: Toy) -> None:
    await connected(world, toy)
    for _ in range(3):
        toy.happens()
    async with another(world, patience_s=0) as dying:
        dying.clock.forward(11)
        toy.guarded = 2
        toy.door.clear()
        await dying.polling.run()
        await until(lambda: toy.waiting == 1)
    assert await jobs(world) == ["job-1"]
    toy.door.set()
    await world.polled()
    assert await jobs(world) == ["job-1", "job-2", "job-3"]


async def test_a_process_that_is_gone_without_a_word_is_followed_by_another(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    async with another(world, patience_s=0) as stuck:
        toy.door.clear()
        stuck.clock.forward(11)
        await stuck.polling.run()
        await until(lambda: toy.waiting == 1)
        await world.polled(30)
        assert toy.waiting == 1, "the source is still leased"
        world.clock.forward(31)
        await world.polling.run()
        await until(lambda: toy.waiting == 2)
        toy.door.set()
        await world.polling.quiet()
        await stuck.polling.quiet()
    assert await jobs(world) == ["job-1"]
    assert (await world.source(source)).events == 1


async def test_two_processes_poll_a_source_one_after_the_other(world: World, toy: Toy) -> None:
    await connected(world, toy)
    async with another(world) as other:
        for _ in range(4):
            toy.happens()
            world.clock.forward(11)
            await asyncio.gather(*(process.polling.run() for process in (world, other)))
            await asyncio.gather(*(process.polling.quiet() for process in (world, other)))
    assert toy.most_waiting == 1
    assert await jobs(world) == ["job-1", "job-2", "job-3", "job-4"]


async def test_a_poll_that_takes_long_keeps_its_source(world: World, toy: Toy) -> None:
    await connected(world, toy)
    toy.happens()
    toy.door.clear()
    world.clock.forward(11)
    await world.polling.run()
    await until(lambda: toy.waiting == 1)
    async with another(world) as other:
        for _ in range(5):
            world.clock.forward(40)
            await world.polling.run()
            await other.polling.run()
        toy.door.set()
        await world.polling.quiet()
        await other.polling.quiet()
    assert toy.most_waiting == 1
    assert await jobs(world) == ["job-1"]


async def test_what_can_be_no_event_becomes_a_dead_letter_and_stops_no_other(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens(text="x" * 32_001)
    toy.happens(job_id="not an id")
    toy.happens(text="half a \ud800 character")
    toy.happens()
    await world.polled(11)
    assert await jobs(world) == ["job-4"]
    found = await world.source(source)
    assert (found.events, found.refused) == (1, {"text_too_long": 1, "invalid_payload": 1, "invalid_json": 1})
    async with world.store.reading() as tx:
        letters = (await dead_letters.browse(tx, PageRequest())).items
    assert Counter(letter.reason for letter in letters) == found.refused
    assert {letter.queue for letter in letters} == {f"source {source.id}"}
    assert letters[0].headers["account-id"] == source.account_id


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_one_that_is_away_is_asked_ever_more_seldom_and_goes_on_by_itself(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.answer = web.Response(status=500)
    toy.happens()
    await world.polled(11)
    for wait, failures in ((10, 1), (20, 2), (40, 3), (80, 4), (160, 5), (320, 6), (600, 7), (600, 8)):
        found = await world.source(source)
        assert (found.state, found.failures) == ("failing", failures)
        assert found.trouble == "GET /facts answered 500"
        assert found.due_at == world.clock.now() + timedelta(seconds=wait)
        await world.polled(wait)
    toy.answer = None
    await world.polled(600)
    assert await jobs(world) == ["job-1"]
    found = await world.source(source)
    assert (found.state, found.trouble, found.failures) == ("ok", None, 0)


async def test_operators_are_told_how_many_are_in_trouble(world: World, toy: Toy) -> None:
    before = metric("hookline_source_polls_total", system="toy", result="failing")
    for _ in range(2):
        await connected(world, toy)
    toy.answer = web.Response(status=500)
    await world.sources.change(OURS, (await connected(world, toy)).id, {"active": False}, by=BY)
    await world.polled(11)
    await world.housekeeping.measure()
    assert (metric("hookline_sources", state="failing"), metric("hookline_sources", state="ok")) == (2, 0)
    assert metric("hookline_source_polls_total", system="toy", result="failing") == before + 3


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


async def test_one_that_asks_for_fewer_requests_gets_fewer(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.answer = web.Response(status=429, headers={"Retry-After": "90"})
    await world.polled(11)
    assert (await world.source(source)).due_at == world.clock.now() + timedelta(seconds=90)


@pytest.mark.parametrize("body", ["<html>", '[{"number": ', '{"facts": []}', "[3]", "[" * 100_000])
async def test_one_that_nobody_understands_is_broken_the_third_time(world: World, toy: Toy, body: str) -> None:
    source = await connected(world, toy)
    toy.answer = web.Response(text=body)
    states = []
    for wait in (11, 11, 21):
        await world.polled(wait)
        states.append((await world.source(source)).state)
    assert states == ["failing", "failing", "broken"]
    toy.answer = None
    toy.happens()
    await world.polled(41)
    assert await jobs(world) == ["job-1"]


@pytest.mark.parametrize(("status", "state"), [(401, "auth_failed"), (403, "misconfigured"), (302, "misconfigured")])
async def test_one_that_refuses_us_is_left_alone_until_somebody_mends_it(
    world: World, toy: Toy, status: int, state: str
) -> None:
    source = await connected(world, toy)
    toy.answer = web.Response(status=status)
    await world.polled(11)
    found = await world.source(source)
    assert (found.state, found.due_at) == (state, None)
    asked = toy.asked
    await world.polled(24 * 3600)
    assert toy.asked == asked
    finding = await world.sources.check(OURS, source.id)
    assert not finding.ok
    assert (await world.source(source)).state == state
    toy.answer = None
    toy.happens()
    finding = await world.sources.check(OURS, source.id)
    assert (finding.ok, finding.says) == (True, "1 facts")
    await world.polled()
    assert await jobs(world) == ["job-1"]


async def test_one_at_an_address_that_may_not_be_called_is_not_called(world: World, toy: Toy) -> None:
    with pytest.raises(Unprocessable):
        await world.connect("toy", "http://10.0.0.1/", {"key": KEY})
    source = await connected(world, toy)
    async with world.store.writing() as tx:
        await tx.execute(tables.sources.update().values(url="http://10.0.0.1/"))
    await world.polled(11)
    found = await world.source(source)
    assert found.state == "misconfigured"
    assert "private address" in str(found.trouble)


# --- what people change -----------------------------------------------------------------------------------------------


async def test_what_is_changed_amid_a_poll_ends_it(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    toy.door.clear()
    world.clock.forward(11)
    await world.polling.run()
    await until(lambda: toy.waiting == 1)
    await world.sources.remove(OURS, source.id, by=BY)
    toy.door.set()
    await world.polling.quiet()
    await world.polled(100)
    assert await jobs(world) == []


async def test_a_source_that_is_paused_rests_and_goes_on_where_it_was(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    await world.sources.change(OURS, source.id, {"active": False}, by=BY)
    toy.happens()
    await world.polled(100)
    assert await jobs(world) == []
    with pytest.raises(Conflict):
        await world.sources.poll_now(OURS, source.id)
    await world.sources.change(OURS, source.id, {"active": True}, by=BY)
    await world.polled()
    assert await jobs(world) == ["job-1"]


async def test_another_project_is_a_first_contact_and_another_pace_is_not(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    await world.polled(11)
    await world.sources.change(OURS, source.id, {"settings": {"interval_s": 60}}, by=BY)
    async with world.store.reading() as tx:
        assert await sources.mark(tx, source.id, "seen", "") == 1
    changed = await world.sources.change(OURS, source.id, {"settings": {"project": "second"}}, by=BY)
    assert changed.settings["interval_s"] == 60
    async with world.store.reading() as tx:
        assert await sources.mark(tx, source.id, "seen", "") is None


async def test_new_credentials_are_used_at_once(world: World, toy: Toy) -> None:
    source = await world.connect("toy", toy.url, {"key": "another"})
    toy.happens()
    await world.polled()
    assert (await world.source(source)).state == "auth_failed"
    await world.sources.change(OURS, source.id, {"credentials": {"key": KEY}}, by=BY)
    await world.polled()
    assert await jobs(world) == ["job-1"]


async def test_asked_to_poll_now_it_does(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    await world.sources.poll_now(OURS, source.id)
    await world.polled()
    assert await jobs(world) == ["job-1"]


async def test_asked_amid_a_poll_it_polls_once_more(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    toy.door.clear()
    world.clock.forward(11)
    await world.polling.run()
    await until(lambda: toy.waiting == 1)
    toy.happens()
    world.clock.forward(1)
    await world.sources.poll_now(OURS, source.id)
    toy.door.set()
    await world.polling.quiet()
    assert (await world.source(source)).due_at == world.clock.now()
    await world.polled()
    assert await jobs(world) == ["job-1", "job-2"]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"system": "telepathy"}, "system"),
        ({"credentials": {}}, "credentials.key"),
        ({"credentials": {"key": KEY, "kye": KEY}}, "credentials.kye"),
        ({"settings": {"interval_s": 0}}, "settings.interval_s"),
        ({"settings": {"colour": "red"}}, "settings.colour"),
    ],
)
async def test_what_cannot_be_a_source_is_refused_by_name(world: World, toy: Toy, wish: Any, field: str) -> None:
    asked = {"system": "toy", "url": toy.url, "credentials": {"key": KEY}} | wish
    with pytest.raises(InvalidInput) as caught:
        await world.connect(**asked)
    assert caught.value.field == field
    assert KEY not in str(caught.value)


async def test_whatever_people_do_is_in_the_audit_trail_without_the_credentials(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    for changes in ({"name": "Ours"}, {"credentials": {"key": "new-key"}}, {"active": False}, {"active": True}):
        world.clock.forward(1)
        await world.sources.change(OURS, source.id, changes, by=BY)
    world.clock.forward(1)
    await world.sources.remove(OURS, source.id, by=BY)
    async with world.store.reading() as tx:
        trail = (await audit.browse(tx, OURS, AuditFilter(object_id=source.id), PageRequest())).items
    assert [entry.what.removeprefix("source.") for entry in reversed(trail)] == [
        "connected",
        "changed",
        "changed",
        "paused",
        "resumed",
        "disconnected",
    ]
    assert KEY not in repr(trail)
    assert "new-key" not in repr(trail)
    with pytest.raises(NotFound):
        await world.sources.check(OURS, source.id)


# --- what systems say -------------------------------------------------------------------------------------------------


def push(subject: str, key: str = KEY) -> Push:
    return Push({"x-key": key}, subject.encode())


async def test_a_push_wakes_its_source_and_a_flood_of_them_is_one_poll(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    asked = toy.asked
    for number in range(50):
        await world.sources.hear(source.id, push(f"doc-{number % 5}"))
    async with world.store.reading() as tx:
        assert len(await sources.wakes(tx, source.id)) == 5
    await world.polled()
    assert await jobs(world) == ["job-1"]
    assert toy.asked == asked + 1
    async with world.store.reading() as tx:
        assert await sources.wakes(tx, source.id) == []
    await world.polled()
    assert toy.asked == asked + 1


async def test_what_is_said_amid_a_poll_is_looked_into_by_the_next_one(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.happens()
    toy.door.clear()
    await world.sources.hear(source.id, push("doc-1"))
    await world.polling.run()
    await until(lambda: toy.waiting == 1)
    toy.happens()
    world.clock.forward(1)
    await world.sources.hear(source.id, push("doc-1"))
    toy.door.set()
    await world.polling.quiet()
    await world.polled()
    assert await jobs(world) == ["job-1", "job-2"]


async def test_subjects_without_end_become_one_word_about_everything(
    world: World, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_SUBJECTS", 10)
    source = await connected(world, toy)
    for number in range(30):
        await world.sources.hear(source.id, push(f"doc-{number}"))
    async with world.store.reading() as tx:
        subjects = [wake.subject for wake in await sources.wakes(tx, source.id)]
    assert len(subjects) == 11
    assert "" in subjects


async def test_a_push_of_somebody_else_is_refused_and_wakes_nobody(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    with pytest.raises(Unauthorised):
        await world.sources.hear(source.id, push("doc-1", "guessed"))
    with pytest.raises(NotFound):
        await world.sources.hear("src_0", push("doc-1"))
    async with world.store.reading() as tx:
        assert await sources.wakes(tx, source.id) == []


async def test_pushes_do_not_hurry_one_that_is_away(world: World, toy: Toy) -> None:
    source = await connected(world, toy)
    toy.answer = web.Response(status=500)
    await world.polled(11)
    asked = toy.asked
    for _ in range(10):
        await world.sources.hear(source.id, push("doc-1"))
        await world.polled()
    assert toy.asked == asked
