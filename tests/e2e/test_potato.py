"""A Potato: what people do there, and what arrives here."""

import asyncio
import base64
import hashlib
import hmac
import io
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from consumers.sources.connector import Push, Unauthorised
from delivery.domain.sources import Source
from delivery.store import sources
from tests.fakes.potato import ADJUDICATOR, ITEMS, KEY, FakePotato, potato_at_work
from tests.support.samples import BY
from tests.support.world import OURS, World, another

POSITIVE, NEUTRAL, NEGATIVE = ({f"sentiment:{label}": "1"} for label in ("positive", "neutral", "negative"))
PARIS = {"schema": "entities", "name": "LOCATION", "start": 31, "end": 36, "value": "true"}
GONE = PARIS | {"value": None}


@pytest.fixture
async def potato() -> AsyncIterator[FakePotato]:
    async with potato_at_work() as fake:
        yield fake


async def met(world: World, potato: FakePotato, settings: Any = None, **credentials: str) -> Source:
    """A source after first contact."""
    source = await world.connect("potato", potato.url, {"api_key": KEY} | credentials, settings)
    await world.polled()
    assert (await world.source(source)).state == "ok"
    return source


async def settles(world: World) -> None:
    """Notice what was done, wait until it has settled, and look again."""
    await world.polled(6)
    await world.polled(31)


async def told(world: World, kind: str = "annotation.completed") -> list[Any]:
    return [body["data"] for body in await world.bodies() if body["event"] == kind]


# --- annotations ------------------------------------------------------------------------------------------------------


async def test_what_somebody_annotates_arrives_once_it_has_settled(world: World, potato: FakePotato) -> None:
    source = await met(world, potato)
    potato.annotates("ann@example.org", "item_002", NEUTRAL, [PARIS])
    await world.polled(6)
    assert await told(world) == []
    await world.polled(31)
    (data,) = await told(world)
    assert data.pop("job_id").startswith(f"potato:{source.id}:item_002:")
    assert data == {
        "text": ITEMS["item_002"],
        "annotations": {
            "sentiment": "neutral",
            "entities": [{"text": "Paris", "start": 31, "end": 36, "label": "LOCATION"}],
        },
        "processing_ms": 2,
        "annotator": {"id": "ann@example.org", "type": "human"},
        "source": {
            "system": "potato",
            "source_id": source.id,
            "external_id": "item_002",
            "occurred_at": potato.now.isoformat(),
            "revision": 1,
        },
    }
    for _ in range(3):
        await world.polled(700)
    assert len(await world.bodies()) == 1


async def test_times_are_read_in_the_servers_zone(world: World, potato: FakePotato) -> None:
    await met(world, potato, {"timezone": "America/New_York"})
    potato.annotates("ann", "item_001", POSITIVE)
    await settles(world)
    (body,) = await world.bodies()
    assert body["timestamp"] == "2026-11-24T01:43:56.001Z"


async def test_somebody_who_is_still_at_it_is_waited_for(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    for labels in (POSITIVE, NEGATIVE, NEUTRAL):
        potato.annotates("ann", "item_001", labels)
        await world.polled(20)
    assert await told(world) == []
    await world.polled(31)
    assert [data["annotations"] for data in await told(world)] == [{"sentiment": "neutral"}]


async def test_a_change_is_a_revision_and_back_again_another_one(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    for labels in (POSITIVE, NEGATIVE, POSITIVE):
        potato.annotates("ann", "item_001", labels)
        await settles(world)
    found = {data["source"]["revision"]: data["annotations"]["sentiment"] for data in await told(world)}
    assert found == {1: "positive", 2: "negative", 3: "positive"}


async def test_to_and_fro_before_it_settles_is_no_change(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    potato.annotates("ann", "item_001", POSITIVE)
    await settles(world)
    potato.annotates("ann", "item_001", NEGATIVE)
    potato.annotates("ann", "item_001", POSITIVE)
    await settles(world)
    assert len(await told(world)) == 1


async def test_first_contact_says_nothing_of_what_is_there(world: World, potato: FakePotato) -> None:
    potato.annotates("ann", "item_001", POSITIVE)
    potato.annotates("bob", "item_001", POSITIVE)
    potato.decides("item_001", label_decisions={"sentiment": "positive"})
    await met(world, potato)
    for _ in range(3):
        await world.polled(700)
    assert await world.bodies() == []


async def test_with_backfill_it_says_everything(world: World, potato: FakePotato) -> None:
    for user in ("ann", "bob"):
        for item in ITEMS:
            potato.annotates(user, item, POSITIVE)
    potato.decides("item_001", label_decisions={"sentiment": "positive"})
    await met(world, potato, {"backfill": True})
    await world.polled(31)
    await world.polled(700)
    assert len(await told(world)) == 6
    assert len(await told(world, "batch.completed")) == 1
    assert len(await told(world, "review.submitted")) == 1


async def test_a_removal_that_leaves_no_trace_is_found_by_looking_at_everything(
    world: World, potato: FakePotato
) -> None:
    await met(world, potato)
    potato.annotates("ann", "item_002", {}, [PARIS])
    await settles(world)
    potato.annotates("ann", "item_002", {}, [GONE])
    await settles(world)
    assert len(await told(world)) == 1
    await world.polled(600)
    await world.polled(31)
    found = {data["source"]["revision"]: data["annotations"] for data in await told(world)}
    assert found[2] == {}


async def test_that_it_is_empty_is_not_said_of_what_was_never_told(world: World, potato: FakePotato) -> None:
    potato.annotates("ann", "item_002", {}, [PARIS])
    await met(world, potato)
    potato.annotates("ann", "item_002", {}, [GONE])
    await world.polled(700)
    await world.polled(31)
    assert await world.bodies() == []


async def test_more_than_the_history_shows_is_found_all_the_same(world: World, potato: FakePotato) -> None:
    potato.items |= {f"extra_{number}": f"Text {number}" for number in range(150)}
    await met(world, potato)
    for number in range(150):
        potato.annotates("ann", f"extra_{number}", POSITIVE)
    await settles(world)
    source_keys = {data["source"]["external_id"] for data in (await told(world))}
    async with world.store.reading() as tx:
        (source,) = {body["data"]["source"]["source_id"] for body in await world.bodies()}
        marks = await sources.marks(tx, source, "state")
    assert len(marks) == 150
    assert all(not mark["action"].startswith("epoch") for mark in marks.values())
    assert len(source_keys) == 100, "as many as a page of bodies has"


async def test_an_old_server_that_loses_its_history_loses_us_nothing(world: World, potato: FakePotato) -> None:
    potato.forgetful = True
    await met(world, potato)
    for labels in (POSITIVE, NEGATIVE):
        potato.annotates("ann", "item_001", labels)
    await settles(world)
    potato.annotates("ann", "item_001", POSITIVE)
    potato.restarts()
    await settles(world)
    potato.annotates("ann", "item_001", NEUTRAL)
    await settles(world)
    found = {data["source"]["revision"]: data["annotations"]["sentiment"] for data in await told(world)}
    assert found == {1: "negative", 2: "positive", 3: "neutral"}
    for labels in (POSITIVE, NEUTRAL, POSITIVE):
        potato.annotates("ann", "item_001", labels)
        potato.restarts()  # nothing at all tells of it
        await world.polled(600)
        await settles(world)
    found = {data["source"]["revision"]: data["annotations"]["sentiment"] for data in await told(world)}
    assert [found[revision] for revision in (4, 5, 6)] == ["positive", "neutral", "positive"]


# --- all is done ------------------------------------------------------------------------------------------------------


async def test_when_every_item_has_its_annotators_the_round_is_over_once(world: World, potato: FakePotato) -> None:
    source = await met(world, potato)
    for item in ITEMS:
        potato.annotates("ann", item, POSITIVE)
    await settles(world)
    assert await told(world, "batch.completed") == []
    for item in ITEMS:
        potato.annotates("bob", item, POSITIVE)
    await settles(world)
    await world.polled(700)
    (data,) = await told(world, "batch.completed")
    name = f"potato:{source.id}:round:3"
    assert (data["job_id"], data["batch_id"], data["total"], data["succeeded"]) == (name, name, 3, 3)
    potato.items["item_004"] = "One more."
    for user in ("ann", "bob"):
        potato.annotates(user, "item_004", POSITIVE)
    await settles(world)
    assert sorted(data["total"] for data in await told(world, "batch.completed")) == [3, 4]


async def test_a_round_is_not_over_before_its_annotations_are_told(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    for user in ("ann", "bob"):
        for item in ITEMS:
            potato.annotates(user, item, POSITIVE)
    await world.polled(6)
    assert await world.bodies() == []
    await world.polled(31)
    assert len(await world.bodies()) == 7


# --- adjudication -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", [{}, {"adjudicator": ADJUDICATOR}])
async def test_a_decision_is_a_review(world: World, potato: FakePotato, login: dict[str, str]) -> None:
    source = await met(world, potato, **login)
    potato.annotates("ann", "item_001", NEGATIVE)
    potato.annotates("bob", "item_001", POSITIVE)
    await settles(world)
    potato.decides(
        "item_001", label_decisions={"sentiment": "neutral"}, source={"sentiment": "annotator_bob"}, notes="well"
    )
    await world.polled(301)
    (data,) = await told(world, "review.submitted")
    assert data["job_id"] == f"potato:{source.id}:item_001"
    assert data["reviewer"] == {"id": ADJUDICATOR}
    assert (data["decision"], data["before"], data["after"]) == (
        "corrected",
        {"sentiment": "positive"},
        {"sentiment": "neutral"},
    )
    assert data["corrections"] == [{"label": "sentiment", "op": "changed", "before": "positive", "after": "neutral"}]
    assert data["comment"] == "well"
    assert data["metadata"] == {"annotations": {"ann": {"sentiment": "negative"}, "bob": {"sentiment": "positive"}}}
    await world.polled(700)
    potato.decides("item_001", label_decisions={"sentiment": "positive"}, source={}, time_spent_ms=100)
    await world.polled(301)
    await world.polled(700)
    assert len(await told(world, "review.submitted")) == 2


async def test_with_an_adjudicators_login_it_comes_with_the_next_poll(world: World, potato: FakePotato) -> None:
    await met(world, potato, adjudicator=ADJUDICATOR)
    potato.decides("item_001", label_decisions={"sentiment": "positive"})
    await world.polled(6)
    assert len(await told(world, "review.submitted")) == 1


async def test_without_one_the_archive_is_only_fetched_when_there_is_more(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    for _ in range(3):
        await world.polled(301)
    potato.decides("item_001", label_decisions={"sentiment": "positive"})
    for _ in range(3):
        await world.polled(301)
    assert len(await told(world, "review.submitted")) == 1
    assert potato.asked.count("/admin/api/data/archive") == 2


# --- what goes wrong --------------------------------------------------------------------------------------------------

_NOTHING = {
    "/admin/api/annotators": '{"annotators": []}',
    "/admin/user_state": '{"annotations": {"by_instance": {}}}',
    "/admin/all_instances": '{"items": []}',
    "/admin/api/instances": '{"pagination": {"total_instances": 0}}',
    "/admin/api/annotation_history": '{"total_actions": 0, "actions": []}',
}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        *((path, 200, text) for path, text in _NOTHING.items()),
        *((path, status, text) for path in _NOTHING for status, text in ((500, ""), (200, "<html>"), (200, '{"a'))),
        ("/admin/api/adjudication", 500, ""),
    ],
)
async def test_a_fault_publishes_nothing_and_forgets_nothing(
    world: World, potato: FakePotato, path: str, status: int, text: str
) -> None:
    await met(world, potato)
    potato.annotates("ann", "item_001", POSITIVE)
    await settles(world)
    before = await world.bodies()
    potato.annotates("ann", "item_001", NEGATIVE)
    potato.faults[path] = lambda: web.Response(status=status, text=text)
    for seconds in (6, 40, 700, 700):
        await world.polled(seconds)
    assert [body for body in await world.bodies() if body["event"] != "annotation.completed"] == []
    potato.faults.clear()
    for seconds in (700, 31, 31):
        await world.polled(seconds)
    after = await told(world)
    assert len(after) == len(before) + 1
    assert {data["annotations"]["sentiment"] for data in after} == {"positive", "negative"}


@pytest.mark.parametrize("path", ["/admin/user_state", "/admin/all_instances"])
async def test_an_empty_list_costs_no_more_than_a_moment(world: World, potato: FakePotato, path: str) -> None:
    await met(world, potato)
    potato.annotates("ann", "item_001", POSITIVE)
    await world.polled(6)
    potato.faults[path] = lambda: web.Response(text=_NOTHING[path])
    await world.polled(31)
    assert await told(world) == []
    potato.faults.clear()
    await world.polled(31)
    assert len(await told(world)) == 1


@pytest.mark.parametrize("login", [{}, {"adjudicator": ADJUDICATOR}])
async def test_decisions_that_are_counted_and_not_shown_are_asked_for_again(
    world: World, potato: FakePotato, login: dict[str, str]
) -> None:
    await met(world, potato, **login)
    potato.decides("item_001", label_decisions={"sentiment": "positive"})
    potato.faults["/adjudicate"] = lambda: web.Response(text='{"items": []}')
    archive = io.BytesIO()
    tarfile.open(fileobj=archive, mode="w:gz").close()
    potato.faults["/admin/api/data/archive"] = lambda: web.Response(body=archive.getvalue())
    await world.polled(301)
    potato.faults.clear()
    await world.polled(301)
    assert len(await told(world, "review.submitted")) == 1


async def test_another_key_stops_it_until_somebody_mends_it(world: World, potato: FakePotato) -> None:
    source = await world.connect("potato", potato.url, {"api_key": "another"})
    await world.polled()
    found = await world.source(source)
    assert (found.state, found.trouble) == ("auth_failed", "GET /admin/api/annotators refused the API key (403)")
    await world.sources.change(OURS, source.id, {"credentials": {"api_key": KEY}}, by=BY)
    await world.polled()
    assert (await world.source(source)).state == "ok"


@pytest.mark.parametrize(
    ("status", "state"), [(401, "auth_failed"), (404, "misconfigured"), (429, "failing"), (503, "failing")]
)
async def test_a_refusal_is_shown_for_what_it_is(world: World, potato: FakePotato, status: int, state: str) -> None:
    source = await met(world, potato)
    potato.faults["/admin/api/annotators"] = lambda: web.Response(status=status)
    await world.polled(6)
    assert (await world.source(source)).state == state


async def test_one_too_old_for_adjudication_is_polled_all_the_same(world: World, potato: FakePotato) -> None:
    potato.faults["/admin/api/adjudication"] = lambda: web.Response(status=404)
    await met(world, potato)
    potato.annotates("ann", "item_001", POSITIVE)
    await settles(world)
    assert len(await told(world)) == 1


async def test_an_item_that_was_taken_out_holds_up_no_other(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    for item in ITEMS:
        potato.annotates("ann", item, POSITIVE)
    del potato.items["item_002"]
    await settles(world)
    assert {data["source"]["external_id"] for data in await told(world)} == {"item_001", "item_003"}


async def test_trying_it_out_says_what_is_there(world: World, potato: FakePotato) -> None:
    potato.annotates("ann", "item_001", POSITIVE)
    source = await met(world, potato, adjudicator=ADJUDICATOR)
    finding = await world.sources.check(OURS, source.id)
    assert finding.says == "Hookline Potato Fixture: 3 items, 1 annotators, logged in as adjudicator"
    await world.sources.change(OURS, source.id, {"credentials": {"api_key": KEY, "adjudicator": "ann"}}, by=BY)
    assert "may not be asked by this adjudicator" in (await world.sources.check(OURS, source.id)).says


async def test_a_process_that_died_amid_a_poll_is_followed_without_a_gap(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    for user in ("ann", "bob"):
        potato.annotates(user, "item_001", POSITIVE)
    await world.polled(6)
    potato.faults["/admin/user_state/bob"] = lambda: web.Response(status=500)
    await world.polled(31)
    assert [data["annotator"]["id"] for data in await told(world)] == ["ann"]
    potato.faults.clear()
    async with another(world) as other:
        await other.polled(31)
    assert sorted(data["annotator"]["id"] for data in await told(world)) == ["ann", "bob"]


async def test_two_processes_say_everything_once(world: World, potato: FakePotato) -> None:
    await met(world, potato)
    async with another(world) as other:
        for number in range(4):
            potato.annotates("ann", "item_001", (POSITIVE, NEGATIVE)[number % 2])
            for seconds in (6, 31):
                world.clock.forward(seconds)
                await asyncio.gather(world.polled(), other.polled())
    assert sorted(data["source"]["revision"] for data in await told(world)) == [1, 2, 3, 4]


# --- its webhooks -----------------------------------------------------------------------------------------------------


def signed(world: World, secret: str, body: bytes = b'{"event":"annotation.created","data":{"user_id":"ann"}}') -> Push:
    moment = str(int(world.clock.now().timestamp()))
    digest = hmac.new(secret.encode(), b".".join([b"msg_1", moment.encode(), body]), hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return Push({"webhook-id": "msg_1", "webhook-timestamp": moment, "webhook-signature": signature}, body)


async def test_a_webhook_has_us_look_at_once_and_twice_is_no_more(world: World, potato: FakePotato) -> None:
    source = await met(world, potato, {"interval_s": 3600, "settle_s": 0}, webhook_secret="s3cret")
    potato.annotates("ann", "item_001", POSITIVE)
    for _ in range(2):
        await world.sources.hear(source.id, signed(world, "s3cret"))
        await world.polled()
    assert len(await told(world)) == 1


async def test_a_webhook_of_somebody_else_is_refused(world: World, potato: FakePotato) -> None:
    source = await met(world, potato, {"interval_s": 3600, "settle_s": 0}, webhook_secret="s3cret")
    potato.annotates("ann", "item_001", POSITIVE)
    for push in (signed(world, "guessed"), Push({}, b'{"event":"annotation.created"}')):
        with pytest.raises(Unauthorised):
            await world.sources.hear(source.id, push)
    await world.polled()
    assert await told(world) == []
