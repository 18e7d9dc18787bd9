"""From a save in tagtog to the customer's receiver."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from consumers.sources.connector import Push, Unauthorised
from delivery.domain.errors import InvalidInput
from delivery.domain.sources import Source
from delivery.store import dead_letters, sources
from delivery.store.cursors import PageRequest
from tests.fakes.tagtog import LOGIN, OWNER, PROJECT, Tagtog, ann, by_hand, meta, open_tagtog, predicted
from tests.support.receiver import Receiver
from tests.support.samples import BY
from tests.support.world import OURS, World, another

WEBHOOK = {"webhook_username": "tagtog", "webhook_password": "hook-password"}
HOOKED = "Basic " + base64.b64encode(b"tagtog:hook-password").decode()

NEW_YORK = {"text": "New York", "start": 14, "end": 22, "part": "s1p1"}
PARIS = {"text": "Paris", "start": 26, "end": 31, "part": "s1p1"}
TEXT = "News\nAda flew from New York to Paris & back"


@pytest.fixture
async def tagtog(world: World) -> AsyncIterator[Tagtog]:
    async with open_tagtog(world.clock) as opened:
        yield opened


async def connected(world: World, tagtog: Tagtog, **settings: Any) -> Source:
    """A source whose first contact is over."""
    wanted = {"owner": OWNER, "project": PROJECT} | settings
    source = await world.connect("tagtog", tagtog.url, LOGIN | WEBHOOK, wanted)
    await world.polled()
    return source


def push(docid: str = "d1", what: str = "updated/GUI", authorization: str = HOOKED, **body: Any) -> Push:
    status, origin = what.split("/")
    headers = {
        "authorization": authorization,
        "x-tagtog-onpushsave-status": status,
        "x-tagtog-onpushsave-source": origin,
    }
    said = {"owner": OWNER, "project": PROJECT, "tagtogID": docid} | body
    return Push(headers, json.dumps(said).encode())


async def heard(world: World, source: Source, one: Push) -> None:
    """A webhook that arrives, and what comes of it."""
    await world.sources.hear(source.id, one)
    await world.polled(1)


async def search(world: World) -> None:
    """The next search."""
    await world.polled(331)


async def said(world: World) -> list[tuple[str, str]]:
    """What was published: the type, and which document it is about."""
    return sorted((body["event"], body["data"]["source"]["external_id"]) for body in await world.bodies())


async def only(world: World, event: str) -> dict[str, Any]:
    """The data of the only event of a type."""
    (data,) = [body["data"] for body in await world.bodies() if body["event"] == event]
    assert isinstance(data, dict)
    return data


ANNOTATION, REVIEW = "annotation.completed", "review.submitted"


# --- what happens is published ----------------------------------------------------------------------------------------


async def test_what_a_model_puts_in_is_an_annotation(world: World, receiver: Receiver, tagtog: Tagtog) -> None:
    await world.register(receiver.url)
    source = await connected(world, tagtog)
    entities = [predicted(26, "Paris", prob=0.33), predicted(14, "New York", prob=0.97)]
    tagtog.save("d1", ann(*entities, m_2=meta("positive")))
    saved_at = tagtog.documents["d1"].updated
    await search(world)
    await search(world)
    (body,) = await world.bodies()
    assert body["event"] == ANNOTATION
    assert body["timestamp"] == saved_at
    digest = body["data"].pop("job_id").removeprefix(f"tagtog:{source.id}:d1:")
    assert len(digest.removesuffix(":1")) == 12
    assert body["data"] == {
        "text": TEXT,
        "annotations": {"PLACE": [NEW_YORK, PARIS], "sentiment": "positive"},
        "confidence": {"PLACE": 0.33, "sentiment": 0.8},
        "processing_ms": 0,
        "annotator": {"type": "model", "id": "model-a"},
        "project_id": PROJECT,
        "source": {
            "system": "tagtog",
            "source_id": source.id,
            "external_id": "d1",
            "revision": 1,
            "occurred_at": saved_at,
        },
    }
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("pushes", [True, False])
async def test_what_a_person_makes_of_it_is_a_review_with_corrections(
    world: World, tagtog: Tagtog, *, pushes: bool
) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(14, "New"), predicted(26, "Paris"), predicted(0, "Ada")))
    await search(world)
    accepted = predicted(26, "Paris", state="", who=["ml:model-a", "user:dana"], prob=1)
    refused = predicted(0, "Ada", state="pre-removed")
    tagtog.save("d1", ann(by_hand(14, "New York"), accepted, refused, by_hand(0, "Ada", "e_3"), anncomplete=True))
    if pushes:
        await heard(world, source, push())
        await heard(world, source, push())
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1"), (REVIEW, "d1")]
    data = await only(world, REVIEW)
    assert data["job_id"] == (await only(world, ANNOTATION))["job_id"]
    assert data["review_id"].startswith(f"tagtog:{source.id}:d1:master:")
    assert data["reviewer"] == {"id": "dana"}
    assert (data["decision"], data["confirmed"], data["text"]) == ("corrected", True, TEXT)
    new, ada = NEW_YORK | {"text": "New", "end": 17}, NEW_YORK | {"text": "Ada", "start": 0, "end": 3}
    assert data["before"] == {"PLACE": [ada, new, PARIS]}
    assert data["after"] == {"PLACE": [NEW_YORK, PARIS], "PERSON": [ada]}
    assert data["corrections"] == [
        {"label": "PERSON", "op": "added", "after": ada},
        {"label": "PLACE", "op": "removed", "before": ada},
        {"label": "PLACE", "op": "changed", "before": new, "after": NEW_YORK},
    ]
    assert data["source"].get("external_event") == ("updated/GUI" if pushes else None)


async def test_a_review_that_changes_nothing_accepts(world: World, tagtog: Tagtog) -> None:
    await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await search(world)
    tagtog.save("d1", ann(predicted(26, "Paris"), anncomplete=True))
    await search(world)
    data = await only(world, REVIEW)
    assert (data["decision"], data["confirmed"], data["corrections"]) == ("accepted", True, [])
    assert data["before"] == data["after"] == {"PLACE": [PARIS]}
    assert data["reviewer"] == {"id": "master"}, "nobody says who confirmed it"


async def test_a_second_model_is_no_review(world: World, tagtog: Tagtog) -> None:
    await connected(world, tagtog)
    for name in ("model-a", "model-b"):
        tagtog.save("d1", ann(predicted(26, "Paris", who=[f"ml:{name}"])))
        await search(world)
    assert await said(world) == [(ANNOTATION, "d1"), (ANNOTATION, "d1")]


async def test_what_comes_back_to_what_it_was_is_told_once_more(world: World, tagtog: Tagtog) -> None:
    await connected(world, tagtog)
    for text in ("Paris", "New York", "Paris"):
        tagtog.save("d1", ann(predicted(14, text)))
        await search(world)
    told = [body["data"] for body in await world.bodies()]
    assert sorted(one["source"]["revision"] for one in told) == [1, 2, 3]
    assert len({one["job_id"] for one in told}) == 3


async def test_a_document_in_which_nothing_is_annotated_is_no_news(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann())
    await heard(world, source, push(what="created/GUI"))
    await heard(world, source, push())
    await search(world)
    assert await said(world) == []


async def test_what_was_there_before_is_no_news_and_is_what_a_review_starts_from(world: World, tagtog: Tagtog) -> None:
    tagtog.save("d1", ann(by_hand(14, "New York")))
    tagtog.save("d2", ann(predicted(26, "Paris")))
    await connected(world, tagtog)
    await search(world)
    assert await said(world) == []
    tagtog.save("d1", ann(by_hand(26, "Paris")))
    await search(world)
    data = await only(world, REVIEW)
    assert (data["before"], data["after"]) == ({"PLACE": [NEW_YORK]}, {"PLACE": [PARIS]})


async def test_what_changes_amid_the_first_contact_is_news(world: World, tagtog: Tagtog) -> None:
    tagtog.save("d1", ann(predicted(26, "Paris")))
    tagtog.save("d2", ann(predicted(26, "Paris")))
    tagtog.answers["d2"] = web.Response(status=500)
    await connected(world, tagtog)
    world.clock.forward(1)
    tagtog.save("d1", ann(by_hand(26, "Paris")))
    tagtog.answers.clear()
    await search(world)
    assert await said(world) == [(REVIEW, "d1")]


async def test_with_backfill_it_is(world: World, tagtog: Tagtog) -> None:
    tagtog.save("d1", ann(predicted(26, "Paris"), by_hand(14, "New York")))
    tagtog.save("d2", ann(predicted(26, "Paris")))
    await connected(world, tagtog, backfill=True)
    await search(world)
    assert await said(world) == [(ANNOTATION, "d2"), (REVIEW, "d1")]
    assert (await only(world, REVIEW))["before"] == {"PLACE": [PARIS]}, "what a model put in"


async def test_a_search_is_read_to_its_last_page(world: World, tagtog: Tagtog) -> None:
    await connected(world, tagtog)
    for number in range(70):
        tagtog.save(f"d{number}", ann(predicted(26, "Paris")))
    await search(world)
    assert {docid for _, docid in await said(world)} == {f"d{number}" for number in range(70)}
    assert tagtog.asked.count("legend") == 1, "the names of labels are asked for once a poll"


# --- webhooks and searches --------------------------------------------------------------------------------------------


async def test_a_webhook_shortens_the_wait_and_the_search_finds_nothing_more(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.unindexed.add("d1")
    tagtog.save("d1", ann(predicted(26, "Paris")))
    for _ in range(3):
        await heard(world, source, push(what="updated/API"))
    assert await said(world) == [(ANNOTATION, "d1")]
    tagtog.unindexed.clear()
    await search(world)
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1")]


async def test_a_webhook_with_annotations_only_says_that_something_happened(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await heard(world, source, Push({"authorization": HOOKED}, json.dumps(ann(by_hand(0, "Ada"))).encode()))
    assert await said(world) == [(ANNOTATION, "d1")]


async def test_saved_by_hand_is_a_review_whoever_signed_it(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris"), predicted(0, "Ada")))
    await heard(world, source, push(what="created/API"))
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await heard(world, source, push())
    assert await said(world) == [(ANNOTATION, "d1"), (REVIEW, "d1")]
    assert (await only(world, REVIEW))["corrections"][0]["op"] == "removed"


async def test_a_document_that_the_index_finds_late_is_found(world: World, tagtog: Tagtog) -> None:
    await connected(world, tagtog)
    tagtog.unindexed.add("d1")
    tagtog.save("d1", ann(predicted(26, "Paris")))
    tagtog.save("d2", ann(predicted(26, "Paris")))
    await search(world)
    assert await said(world) == [(ANNOTATION, "d2")]
    assert tagtog.queries == ["*", "updated:[2026-01-01T11:50:00.000Z TO NOW]"]
    world.clock.forward(200)
    tagtog.save("d3", ann(predicted(26, "Paris")))
    await search(world)
    tagtog.unindexed.clear()
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1"), (ANNOTATION, "d2"), (ANNOTATION, "d3")]


async def test_an_old_answer_of_the_index_undoes_nothing(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await search(world)
    old = tagtog.documents["d1"].updated
    tagtog.save("d1", ann(by_hand(26, "Paris")))
    new, tagtog.documents["d1"].updated = tagtog.documents["d1"].updated, old
    await heard(world, source, push())
    heard_at = world.clock.now()
    await search(world)
    tagtog.documents["d1"].updated = new
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1"), (REVIEW, "d1")]
    (review,) = [body for body in await world.bodies() if body["event"] == REVIEW]
    assert old < review["timestamp"] <= heard_at.isoformat()


@pytest.mark.parametrize(
    "authorization", ["", "Basic", "Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"tagtog:guess").decode()]
)
async def test_a_webhook_that_does_not_know_the_password_is_refused(
    world: World, tagtog: Tagtog, authorization: str
) -> None:
    source = await connected(world, tagtog)
    with pytest.raises(Unauthorised):
        await world.sources.hear(source.id, push(authorization=authorization))
    async with world.store.reading() as tx:
        assert await sources.wakes(tx, source.id) == []


async def test_without_a_password_no_webhook_is_believed_unless_that_is_wished(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    await world.sources.change(OURS, source.id, {"credentials": LOGIN}, by=BY)
    for authorization in ("", HOOKED):
        with pytest.raises(Unauthorised):
            await world.sources.hear(source.id, push(authorization=authorization))
    await world.sources.change(OURS, source.id, {"settings": {"webhook_auth": "none"}}, by=BY)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await heard(world, source, push(what="updated/API", authorization=""))
    assert await said(world) == [(ANNOTATION, "d1")]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"tagtogID": 3}', b'{"tagtogID": "d1", "project": "another"}', b"[" * 9999]
)
async def test_what_tagtog_never_sends_is_refused(world: World, tagtog: Tagtog, body: bytes) -> None:
    source = await connected(world, tagtog)
    with pytest.raises(InvalidInput):
        await world.sources.hear(source.id, Push({"authorization": HOOKED}, body))


async def test_a_webhook_may_tell_of_a_document_that_is_gone_or_of_a_member_that_nobody_follows(
    world: World, tagtog: Tagtog
) -> None:
    source = await connected(world, tagtog)
    await world.sources.hear(source.id, push("gone"))
    await heard(world, source, push("d1", member="somebody"))
    assert await said(world) == []
    assert (await world.source(source)).state == "ok"
    async with world.store.reading() as tx:
        assert await sources.marks(tx, source.id, "document") == {}, "nothing is kept of what never was"


# --- members ----------------------------------------------------------------------------------------------------------


async def test_a_members_own_version_is_theirs_and_the_default_one_is_not(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog, members=["master", "dana", "lee"])
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1")], "the members have no versions of their own"
    tagtog.save("d1", ann(predicted(26, "Paris"), by_hand(14, "New York", user="x")), "dana")
    await heard(world, source, push(docid="d1", member="dana"))
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1"), (REVIEW, "d1")]
    data = await only(world, REVIEW)
    assert data["reviewer"] == {"id": "dana"}
    assert data["job_id"] == (await only(world, ANNOTATION))["job_id"]
    assert (data["before"], data["after"]) == ({"PLACE": [PARIS]}, {"PLACE": [NEW_YORK, PARIS]})


async def test_a_member_who_is_followed_later_has_a_first_contact_of_their_own(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann())
    tagtog.save("d1", ann(by_hand(26, "Paris")), "dana")
    await search(world)
    await world.sources.change(OURS, source.id, {"settings": {"members": ["master", "dana"]}}, by=BY)
    await world.polled()
    assert await said(world) == []
    tagtog.save("d1", ann(by_hand(14, "New York")), "dana")
    await search(world)
    assert (await only(world, REVIEW))["before"] == {"PLACE": [PARIS]}


# --- what goes wrong --------------------------------------------------------------------------------------------------


BAD = [
    (web.Response(status=500), "failing"),
    (web.Response(status=429), "failing"),
    (web.Response(text="<html>Log in</html>"), "failing"),
    (web.Response(text='{"totalFound": 1, "pages": {"next"'), "failing"),
    (web.json_response({"docs": []}), "failing"),
    (web.json_response({"totalFound": 1, "pages": {"next": 0}, "docs": []}), "failing"),
    (web.Response(status=401), "auth_failed"),
    (web.Response(status=403), "misconfigured"),
]


@pytest.mark.parametrize("what", ["search", "ann.json", "plain.html", "legend"])
@pytest.mark.parametrize(("answer", "state"), BAD)
async def test_whatever_else_it_answers_publishes_nothing_and_forgets_nothing(
    world: World, tagtog: Tagtog, what: str, answer: web.Response, state: str
) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    tagtog.answers[what] = answer
    await search(world)
    assert (await world.source(source)).state == state
    assert await said(world) == []
    del tagtog.answers[what]
    assert (await world.sources.check(OURS, source.id)).says == "ada/travel: 1 documents"
    await world.polled(600)
    assert await said(world) == [(ANNOTATION, "d1")]
    assert (await world.source(source)).state == "ok"


@pytest.mark.parametrize("what", ["ann.json", "plain.html"])
@pytest.mark.parametrize("status", [400, 404])
async def test_a_document_that_is_gone_is_no_trouble_and_published_when_it_is_back(
    world: World, tagtog: Tagtog, what: str, status: int
) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    tagtog.answers[what] = web.Response(status=status)
    await search(world)
    assert (await world.source(source)).state == "ok"
    assert await said(world) == []
    tagtog.answers.clear()
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1")]


async def test_a_project_that_is_not_there_is_a_mistake_in_the_settings(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog, project="another")
    assert (await world.source(source)).state == "misconfigured"


async def test_a_search_that_finds_nothing_where_there_was_something_forgets_nothing(
    world: World, tagtog: Tagtog
) -> None:
    tagtog.save("d1", ann(predicted(26, "Paris")))
    await connected(world, tagtog)
    tagtog.unindexed |= {"d1", "d2"}
    tagtog.save("d2", ann(predicted(26, "Paris")))
    for _ in range(20):
        await search(world)
    assert await said(world) == []
    tagtog.unindexed.clear()
    await search(world)
    assert await said(world) == [(ANNOTATION, "d2")]


async def test_a_document_that_nobody_understands_holds_up_no_other(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.answers["d1"] = web.Response(text='{"annotatable": {"parts": [')
    for number in range(1, 6):
        tagtog.save(f"d{number}", ann(predicted(26, "Paris")))
        await world.polled(700)
    assert await said(world) == [(ANNOTATION, f"d{number}") for number in range(2, 6)]
    assert (await world.source(source)).state == "broken"
    tagtog.answers.clear()
    await world.polled(700)
    assert await said(world) == [(ANNOTATION, f"d{number}") for number in range(1, 6)]


async def test_a_document_that_can_be_no_event_is_counted_and_stops_no_other(world: World, tagtog: Tagtog) -> None:
    source = await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")), text="x" * 32_001)
    tagtog.save("d2", ann(predicted(26, "Pa\0ris")))
    tagtog.save("d3", ann(predicted(26, "Paris")))
    tagtog.save("d4", ann(predicted(26, "half \ud83d")))
    await search(world)
    await search(world)
    assert await said(world) == [(ANNOTATION, "d3")]
    assert (await world.source(source)).refused == {"text_too_long": 1, "invalid_json": 2}
    async with world.store.reading() as tx:
        assert len((await dead_letters.browse(tx, PageRequest())).items) == 3
    for docid in ("d2", "d4"):
        tagtog.save(docid, ann())
    await search(world)
    assert (await world.source(source)).state == "ok"


async def test_another_process_goes_on_where_the_first_one_ended(world: World, tagtog: Tagtog) -> None:
    await connected(world, tagtog)
    tagtog.save("d1", ann(predicted(26, "Paris")))
    tagtog.answers["plain.html"] = web.Response(status=500)
    await search(world)
    del tagtog.answers["plain.html"]
    async with another(world) as other:
        await asyncio.gather(other.polled(331), world.polling.run())
        await world.polling.quiet()
        tagtog.save("d1", ann(by_hand(26, "Paris")))
        await asyncio.gather(world.polled(331), other.polling.run())
        await other.polling.quiet()
    await search(world)
    assert await said(world) == [(ANNOTATION, "d1"), (REVIEW, "d1")]


async def test_wrong_credentials_stop_it_and_are_in_no_word_of_it(world: World, tagtog: Tagtog) -> None:
    wanted = {"owner": OWNER, "project": PROJECT}
    source = await world.connect("tagtog", tagtog.url, LOGIN | {"password": "wrong-secret"}, wanted)
    await world.polled()
    found = await world.source(source)
    assert (found.state, found.due_at) == ("auth_failed", None)
    assert "wrong-secret" not in repr(found)
    await world.sources.change(OURS, source.id, {"credentials": LOGIN}, by=BY)
    await world.polled()
    assert (await world.source(source)).state == "ok"
