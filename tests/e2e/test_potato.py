"""From an annotator's click at Potato to the customer's receiver."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from consumers.sources.connector import Push, Unauthorised
from delivery.domain.sources import Source
from tests.fakes.potato import ADJUDICATOR, KEY, Potato, open_potato
from tests.support.receiver import Receiver
from tests.support.world import OURS, World, another

TEXT = "Book a flight from New York to Paris for Alice Johnson on March 5th."
SECRET = "s3cret-raw-not-whsec"


@pytest.fixture
async def potato() -> AsyncIterator[Potato]:
    async with open_potato() as opened:
        opened.given(item_1="It is fantastic.", item_2=TEXT, item_3="It came late.")
        opened.sign_in("ada", "bob")
        yield opened


async def connected(world: World, potato: Potato, **wishes: Any) -> Source:
    """A source whose first contact is over."""
    credentials = {"api_key": KEY} | wishes.pop("credentials", {})
    source = await world.connect("potato", potato.url, credentials, wishes)
    await world.polled()
    return source


async def settle(world: World, seconds: int = 36) -> None:
    """Let things be quiet for long enough, and polls happen meanwhile."""
    for _ in range(seconds // 6):
        await world.polled(6)


async def said(world: World, event: str = "annotation.completed") -> list[Any]:
    """The ``data`` of what was published."""
    found = [body["data"] for body in await world.bodies() if body["event"] == event]
    return sorted(found, key=lambda data: data["job_id"])


async def values(world: World) -> list[Any]:
    return [data["annotations"] for data in await said(world)]


# --- annotations ------------------------------------------------------------------------------------------------------


async def test_what_an_annotator_says_arrives_when_they_have_left_it(
    world: World, receiver: Receiver, potato: Potato
) -> None:
    await world.register(receiver.url)
    source = await connected(world, potato)
    potato.choose("ada", "item_2", "positive")
    await world.polled(6)
    potato.choose("ada", "item_2", "neutral")
    potato.mark("ada", "item_2", "LOCATION", 19, 27)
    await settle(world, 24)
    assert receiver.calls == [], "they may still be at it"
    await settle(world)
    (data,) = await said(world)
    assert data == {
        "job_id": f"potato:{source.id}:item_2:ada:1",
        "text": TEXT,
        "annotations": {
            "entities": [{"text": "New York", "start": 19, "end": 27, "label": "LOCATION"}],
            "sentiment": "neutral",
        },
        "processing_ms": 0,
        "annotator": {"id": "ada", "type": "human"},
        "source": {
            "system": "potato",
            "source_id": source.id,
            "external_id": "item_2",
            "revision": 1,
            "occurred_at": "2026-11-23T20:43:56.120000",
        },
    }
    (body,) = await world.bodies()
    assert body["timestamp"] == "2026-11-23T20:43:56.120Z"
    await settle(world)
    assert len(receiver.calls) == 1
    assert "127.0.0.1" not in json.dumps(body), "where an annotator sits is nobody's business"


async def test_local_times_are_read_in_the_servers_zone(world: World, potato: Potato) -> None:
    await connected(world, potato, timezone="Europe/Berlin")
    potato.choose("ada", "item_1", "positive")
    await settle(world)
    (body,) = await world.bodies()
    assert body["timestamp"] == "2026-11-23T19:43:56.040Z"


async def test_what_was_there_before_is_no_news_and_with_backfill_it_is(world: World, potato: Potato) -> None:
    potato.choose("ada", "item_1", "positive")
    await connected(world, potato)
    await settle(world)
    assert await values(world) == []
    potato.choose("ada", "item_1", "negative")
    await settle(world)
    (data,) = await said(world)
    assert (data["annotations"], data["source"]["revision"]) == ({"sentiment": "negative"}, 1)
    await connected(world, potato, backfill=True)
    await settle(world)
    assert len(await values(world)) == 2


async def test_a_change_and_its_undoing_are_no_news_and_another_change_is_another_revision(
    world: World, potato: Potato
) -> None:
    await connected(world, potato)
    potato.choose("ada", "item_1", "positive")
    await settle(world)
    potato.choose("ada", "item_1", "negative")
    potato.choose("ada", "item_1", "positive")
    await settle(world)
    assert len(await values(world)) == 1
    potato.choose("ada", "item_1", "negative")
    await settle(world)
    assert [data["source"]["revision"] for data in await said(world)] == [1, 2]


async def test_what_is_taken_back_without_a_trace_is_found_when_everything_is_compared(
    world: World, potato: Potato
) -> None:
    await connected(world, potato)
    potato.choose("ada", "item_2", "positive")
    potato.mark("ada", "item_2", "LOCATION", 19, 27)
    await settle(world)
    potato.unmark_everything("ada", "item_2")
    await settle(world)
    assert len(await values(world)) == 1
    await world.polled(600)
    assert (await values(world))[-1] == {"sentiment": "positive"}
    potato.take_back("ada", "item_2")
    await world.polled(600)
    assert (await values(world))[-1] == {}
    await world.polled(600)
    assert len(await values(world)) == 3


async def test_an_empty_state_is_no_news_where_nothing_was_published(world: World, potato: Potato) -> None:
    potato.choose("ada", "item_1", "positive")
    await connected(world, potato)
    potato.take_back("ada", "item_1")
    potato.tick("bob", "item_1", "sentiment", "positive", on=False)
    await world.polled(600)
    await settle(world)
    assert await values(world) == []


async def test_more_than_the_history_shows_is_found_all_the_same(world: World, potato: Potato) -> None:
    await connected(world, potato)
    potato.choose("ada", "item_1", "positive")
    for number in range(160):
        potato.choose("ada", "item_2", ["positive", "neutral"][number % 2])
    potato.choose("bob", "item_3", "negative")
    await settle(world, 60)
    assert await values(world) == [{"sentiment": "positive"}, {"sentiment": "neutral"}, {"sentiment": "negative"}]


async def test_a_server_that_forgets_its_history_at_a_restart_loses_nothing(world: World, potato: Potato) -> None:
    potato.history_is_kept = False
    await connected(world, potato)
    potato.choose("ada", "item_1", "positive")
    await settle(world)
    potato.choose("ada", "item_2", "neutral")
    potato.restart()
    await settle(world)
    assert len(await values(world)) == 1, "nothing tells of it"
    await world.polled(600)
    assert await values(world) == [{"sentiment": "positive"}, {"sentiment": "neutral"}]
    for label in ("negative", "neutral"):
        potato.choose("ada", "item_2", label)
        potato.restart()
        await world.polled(600)
    assert [data["annotations"] for data in await said(world) if data["source"]["external_id"] == "item_2"] == [
        {"sentiment": "neutral"},
        {"sentiment": "negative"},
        {"sentiment": "neutral"},
    ]
    potato.choose("ada", "item_2", "negative")
    await settle(world)
    assert len(await values(world)) == 5


async def test_an_annotator_who_comes_later_is_heard_from_the_start(world: World, potato: Potato) -> None:
    await connected(world, potato)
    potato.choose("eve+new@example.org", "item_1", "positive")
    await settle(world)
    (data,) = await said(world)
    assert data["annotator"]["id"] == "eve+new@example.org"
    assert "example" not in data["job_id"]


async def test_schemas_are_read_by_their_types(world: World, potato: Potato) -> None:
    potato.schemes += [
        {"name": "topics", "annotation_type": "multiselect"},
        {"name": "fit", "annotation_type": "likert"},
        {"name": "force", "annotation_type": "slider"},
        {"name": "remark", "annotation_type": "text"},
    ]
    await connected(world, potato)
    for topic in ("travel", "food", "art"):
        potato.tick("ada", "item_2", "topics", topic)
    potato.tick("ada", "item_2", "topics", "food", on=False)
    state = potato.states["ada"]["item_2"]
    state["Label(schema:fit, name:4)"] = "4"
    state["Label(schema:force, name:slider)"] = "73"
    state["Label(schema:remark, name:text_box)"] = "clear, name:praise)"
    await settle(world)
    assert await values(world) == [
        {"fit": 4, "force": 73, "remark": "clear, name:praise)", "topics": ["art", "travel"]}
    ]


async def test_a_text_that_is_too_long_is_counted_and_stops_nobody(world: World, potato: Potato) -> None:
    source = await connected(world, potato)
    potato.given(long="x" * 32_001)
    potato.choose("ada", "long", "positive")
    potato.choose("ada", "item_1", "positive")
    await settle(world)
    found = await world.source(source)
    assert (found.events, found.refused) == (1, {"text_too_long": 1})
    await world.polled(600)
    assert (await world.source(source)).refused == {"text_too_long": 1}, "once"


async def test_another_process_goes_on_where_the_first_one_ended(world: World, potato: Potato) -> None:
    await connected(world, potato)
    potato.choose("ada", "item_1", "positive")
    await world.polled(6)
    async with another(world) as other:
        await settle(other)
    await settle(world)
    assert len(await values(world)) == 1


# --- rounds -----------------------------------------------------------------------------------------------------------


async def test_when_everything_has_its_annotators_the_round_is_complete(world: World, potato: Potato) -> None:
    source = await connected(world, potato)
    for item in ("item_1", "item_2", "item_3"):
        potato.choose("ada", item, "positive")
    await world.polled(6)
    assert await said(world, "batch.completed") == [], "one annotator is not enough"
    for item in ("item_1", "item_2", "item_3"):
        potato.choose("bob", item, "positive")
    await settle(world, 12)
    (data,) = await said(world, "batch.completed")
    name = f"potato:{source.id}:round:3"
    assert (data["job_id"], data["batch_id"], data["total"], data["succeeded"]) == (name, name, 3, 3)
    potato.given(item_4="One more.")
    await settle(world, 12)
    potato.choose("ada", "item_4", "positive")
    potato.choose("bob", "item_4", "positive")
    await settle(world, 12)
    assert [data["total"] for data in await said(world, "batch.completed")] == [3, 4]


# --- adjudication -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_adjudicator", [True, False], ids=["asked", "from the archive"])
async def test_a_decision_is_a_review_and_a_changed_one_is_another(
    world: World, potato: Potato, *, as_adjudicator: bool
) -> None:
    potato.adjudicates = True
    email, password = ADJUDICATOR
    credentials = {"adjudicator_email": email, "adjudicator_password": password} if as_adjudicator else {}
    source = await connected(world, potato, credentials=credentials)
    potato.choose("ada", "item_1", "negative")
    potato.choose("bob", "item_1", "positive")
    potato.decide("item_1", {"sentiment": "positive"}, source={"sentiment": "annotator_ada"}, notes="clear praise")
    await world.polled(300)
    (data,) = await said(world, "review.submitted")
    assert data == {
        "job_id": f"potato:{source.id}:item_1",
        "review_id": data["review_id"],
        "text": "It is fantastic.",
        "reviewer": {"id": "adjudicator"},
        "decision": "corrected",
        "before": {"sentiment": "negative"},
        "after": {"sentiment": "positive"},
        "corrections": [{"label": "sentiment", "op": "changed", "before": "negative", "after": "positive"}],
        "metadata": {"annotators": {"ada": {"sentiment": "negative"}, "bob": {"sentiment": "positive"}}},
        "comment": "clear praise",
        "time_spent_ms": 5400,
        "source": {
            "system": "potato",
            "source_id": source.id,
            "external_id": "item_1",
            "occurred_at": potato.decisions["item_1"]["timestamp"],
        },
    }
    await settle(world)
    potato.decide("item_1", {"sentiment": "negative"}, source={"sentiment": "annotator_ada"})
    await world.polled(600)
    await settle(world)
    assert [one["decision"] for one in await said(world, "review.submitted")].count("accepted") == 1
    assert len(await said(world, "review.submitted")) == 2


async def test_decisions_of_before_are_no_news(world: World, potato: Potato) -> None:
    potato.adjudicates = True
    potato.choose("ada", "item_1", "negative")
    potato.decide("item_1", {"sentiment": "positive"})
    await connected(world, potato)
    await world.polled(600)
    assert await said(world, "review.submitted") == []


async def test_the_archive_is_not_packed_more_often_than_every_five_minutes(world: World, potato: Potato) -> None:
    potato.adjudicates = True
    await connected(world, potato)
    for number in range(1, 4):
        potato.decide(f"item_{number}", {"sentiment": "positive"})
        await settle(world, 60)
    assert sum(path == "/admin/api/data/archive" for path in potato.asked) <= 2
    await world.polled(300)
    assert len(await said(world, "review.submitted")) == 3


async def test_an_adjudicator_who_is_not_let_in_is_told(world: World, potato: Potato) -> None:
    potato.adjudicates = True
    source = await connected(world, potato, credentials={"adjudicator_email": "nobody@example.com"})
    potato.decide("item_1", {"sentiment": "positive"})
    await world.polled(6)
    found = await world.source(source)
    assert found.state == "auth_failed"
    assert "adjudicator" in str(found.trouble)


# --- its webhooks -----------------------------------------------------------------------------------------------------

CAPTURED = [
    json.loads(line) for line in (Path(__file__).parents[1] / "fixtures/potato/webhooks.jsonl").read_text().splitlines()
]


def push_of(captured: Any) -> Push:
    headers = {name.lower(): value for name, value in captured["headers"].items()}
    return Push(headers, captured["body"].encode())


def signed(body: bytes, secret: str = SECRET, at: int = 1_767_268_800) -> Push:
    digest = hmac.new(secret.encode(), b"msg_1.%d." % at + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return Push({"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}, body)


async def test_each_captured_webhook_is_believed_at_its_time_and_wakes_the_source(world: World, potato: Potato) -> None:
    source = await connected(world, potato, credentials={"webhook_secret": SECRET})
    for captured in CAPTURED:
        at = int(captured["headers"]["Webhook-Timestamp"])
        world.clock.forward(at - world.clock.now().timestamp())
        await world.sources.hear(source.id, push_of(captured))
    asked = len(potato.asked)
    await world.polled()
    assert len(potato.asked) > asked


async def test_a_webhook_shortens_the_wait_and_without_it_nothing_is_missed(world: World, potato: Potato) -> None:
    source = await connected(world, potato, interval_s=3600, settle_s=0, credentials={"webhook_secret": SECRET})
    potato.choose("ada", "item_1", "positive")
    body = json.dumps({"event": "annotation.created", "data": {"user_id": "ada"}}).encode()
    for _ in range(3):
        await world.sources.hear(source.id, signed(body, at=int(world.clock.now().timestamp())))
    await world.polled()
    assert await values(world) == [{"sentiment": "positive"}]
    potato.choose("ada", "item_1", "negative")
    await world.polled(4000)
    assert len(await values(world)) == 2


@pytest.mark.parametrize(
    "push",
    [
        Push({}, b"{}"),
        signed(b"{}", "another secret"),
        signed(b"{}", at=1_767_268_800 - 301),
        signed(b"{}", at=1_767_268_800 + 301),
        Push(signed(b"{}").headers, b'{"other": "body"}'),
        Push({**signed(b"{}").headers, "webhook-signature": "v1,nonsense"}, b"{}"),
        Push({**signed(b"{}").headers, "webhook-timestamp": "soon"}, b"{}"),
    ],
)
async def test_a_webhook_that_proves_nothing_wakes_nobody(world: World, potato: Potato, push: Push) -> None:
    source = await connected(world, potato, credentials={"webhook_secret": SECRET})
    asked = len(potato.asked)
    with pytest.raises(Unauthorised):
        await world.sources.hear(source.id, push)
    await world.polled()
    assert len(potato.asked) == asked


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (lambda: web.Response(status=500), "failing"),
        (lambda: web.Response(text="<!DOCTYPE html>"), "failing"),
        (lambda: web.json_response({"annotators": [{"name": "ada"}]}), "failing"),
        (lambda: web.Response(status=429), "failing"),
        (lambda: web.json_response({"error": "Admin access required"}, status=403), "auth_failed"),
        (lambda: web.Response(status=404), "misconfigured"),
    ],
)
async def test_whatever_else_it_answers_publishes_nothing_and_forgets_nothing(
    world: World, potato: Potato, answer: Any, state: str
) -> None:
    source = await connected(world, potato)
    potato.choose("ada", "item_1", "positive")
    await world.polled(6)
    potato.answer = answer
    await world.polled(6)
    assert (await world.source(source)).state == state
    potato.answer = None
    finding = await world.sources.check(OURS, source.id)
    assert (finding.ok, finding.says) == (True, "Hookline Potato Fixture: 3 items, 2 annotators")
    await settle(world, 60)
    assert await values(world) == [{"sentiment": "positive"}]


async def test_lists_that_are_empty_for_once_forget_nothing(world: World, potato: Potato) -> None:
    await connected(world, potato)
    potato.choose("ada", "item_1", "positive")
    await settle(world)
    kept, potato.actions = potato.actions, {}
    await world.polled(600)
    potato.actions = kept
    await world.polled(600)
    await settle(world)
    assert len(await values(world)) == 1


async def test_another_key_than_its_own_is_refused_and_in_no_word_of_it(world: World, potato: Potato) -> None:
    source = await world.connect("potato", potato.url, {"api_key": "another-key"})
    await world.polled()
    found = await world.source(source)
    assert found.state == "auth_failed"
    assert "another-key" not in repr(found)


async def test_a_zone_that_there_is_not_is_refused(world: World, potato: Potato) -> None:
    with pytest.raises(Exception, match="no such time zone"):
        await connected(world, potato, timezone="Middle/Earth")
