"""From a batch at TaskMonk to the customer's receiver."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from consumers.sources.connector import Push
from delivery.domain.errors import InvalidInput
from delivery.domain.sources import Source
from tests.fakes.taskmonk import CLIENT, TaskMonk, open_taskmonk
from tests.support.receiver import Receiver
from tests.support.samples import BY
from tests.support.world import OURS, World, another


@pytest.fixture
async def monk() -> AsyncIterator[TaskMonk]:
    async with open_taskmonk() as opened:
        yield opened


async def connected(world: World, monk: TaskMonk, **settings: Any) -> Source:
    """A source whose first contact is over."""
    source = await world.connect("taskmonk", monk.url, CLIENT, {"project_id": "42"} | settings)
    await world.polled()
    return source


async def said(world: World) -> list[tuple[str, str]]:
    """What was published: the type, and the job."""
    return sorted((body["event"], body["data"]["job_id"]) for body in await world.bodies())


async def poll(world: World, times: int = 1) -> None:
    for _ in range(times):
        await world.polled(34)


async def test_a_batch_and_its_upload_arrive_at_the_receiver_once(
    world: World, receiver: Receiver, monk: TaskMonk
) -> None:
    await world.register(receiver.url)
    source = await connected(world, monk)
    job = monk.job("job-1", 20)
    batch = monk.batch("batch-1", 20, job_id="job-1")
    await poll(world)
    job.completed = batch.completed = 7
    await poll(world)
    assert await said(world) == []
    job.finish()
    await poll(world, 2)
    assert await said(world) == [("file.completed", "job-1")]
    batch.finish()
    await poll(world, 3)
    assert await said(world) == [("batch.completed", "batch-1"), ("file.completed", "job-1")]
    told = {body["event"]: body["data"] for body in await world.bodies()}
    assert told["batch.completed"] == {
        "job_id": "batch-1",
        "batch_id": "batch-1",
        "total": 20,
        "succeeded": 20,
        "failed": 0,
        "project_id": "42",
        "source": {"system": "taskmonk", "source_id": source.id, "external_id": "batch-1"},
    }
    assert told["file.completed"]["batch_id"] == "batch-1"
    assert told["file.completed"]["file"]["rows_total"] == 20
    assert len(receiver.calls) == 2


async def test_what_was_over_before_is_no_news_and_with_backfill_it_is(world: World, monk: TaskMonk) -> None:
    monk.job("job-1", 3, 3)
    monk.batch("batch-1", 3, 3, job_id="job-1")
    running = monk.batch("batch-2", 3, 1)
    await connected(world, monk)
    await poll(world, 2)
    assert await said(world) == []
    running.finish()
    await poll(world)
    assert await said(world) == [("batch.completed", "batch-2")]
    await connected(world, monk, backfill=True)
    assert await said(world) == [
        ("batch.completed", "batch-1"),
        ("batch.completed", "batch-2"),
        ("file.completed", "job-1"),
    ]


async def test_an_empty_batch_is_not_complete(world: World, monk: TaskMonk) -> None:
    await connected(world, monk)
    batch = monk.batch("batch-1", 0)
    await poll(world, 3)
    assert await said(world) == []
    batch.total = batch.completed = 2
    await poll(world)
    assert await said(world) == [("batch.completed", "batch-1")]


async def test_a_batch_that_grows_after_its_end_is_another_round(world: World, monk: TaskMonk) -> None:
    await connected(world, monk)
    batch = monk.batch("batch-1", 20, 20)
    await poll(world)
    batch.total = 25
    await poll(world, 20)
    assert await said(world) == [("batch.completed", "batch-1")]
    batch.finish()
    await poll(world, 20)
    assert await said(world) == [("batch.completed", "batch-1"), ("batch.completed", "batch-1:25")]
    (first, second) = (body["data"] for body in sorted(await world.bodies(), key=lambda body: body["data"]["job_id"]))
    assert {first["source"]["external_id"], second["source"]["external_id"]} == {"batch-1"}


async def test_an_upload_without_progress_fails_its_batch_and_nothing_else_ends_it_again(
    world: World, monk: TaskMonk
) -> None:
    await connected(world, monk, stall_s=3600)
    job = monk.job("job-1", 10, 4)
    batch = monk.batch("batch-1", 10, 4, job_id="job-1")
    await poll(world)
    await world.polled(3000)
    job.completed = 5
    await poll(world)
    await world.polled(3500)
    assert await said(world) == [], "it went on meanwhile"
    await world.polled(200)
    assert await said(world) == [("batch.failed", "batch-1")]
    (body,) = await world.bodies()
    data = body["data"]
    assert (data["reason"], data["total"], data["succeeded"], data["failed"]) == ("stalled", 10, 5, 5)
    assert data["errors"] == [{"error": "The upload made no progress for too long", "code": "stalled"}]
    job.finish()
    batch.finish()
    await poll(world, 20)
    assert await said(world) == [("batch.failed", "batch-1")], "a batch ends once"


@pytest.mark.parametrize("what", ["batch", "job"])
async def test_what_is_gone_three_times_running_has_failed(world: World, monk: TaskMonk, what: str) -> None:
    await connected(world, monk)
    monk.job("job-1", 10, 4)
    monk.batch("batch-1", 10, 4, job_id="job-1")
    await poll(world)
    gone = monk.batches["batch-1"] if what == "batch" else monk.jobs["job-1"]
    gone.gone = True
    await poll(world, 2)
    gone.gone = False
    await poll(world)
    gone.gone = True
    await poll(world, 2)
    assert await said(world) == []
    await poll(world)
    (body,) = await world.bodies()
    assert (body["event"], body["data"]["batch_id"]) == ("batch.failed", "batch-1")
    assert body["data"]["reason"] == {"batch": "not_found", "job": "upload_failed"}[what]


async def test_a_batch_that_was_cancelled_has_failed(world: World, monk: TaskMonk) -> None:
    await connected(world, monk)
    monk.batch("batch-1", 10, 4, state="CANCELLED")
    await poll(world, 2)
    (body,) = await world.bodies()
    assert (body["event"], body["data"]["reason"]) == ("batch.failed", "cancelled")


async def test_a_list_without_its_batches_forgets_nothing(world: World, monk: TaskMonk) -> None:
    await connected(world, monk)
    monk.batch("batch-1", 10, 10)
    running = monk.batch("batch-2", 10, 4)
    await poll(world)
    monk.hides_batches = True
    running.finish()
    await poll(world, 20)
    monk.hides_batches = False
    await poll(world, 20)
    assert await said(world) == [("batch.completed", "batch-1"), ("batch.completed", "batch-2")]


async def test_jobs_that_no_batch_names_are_told_of_in_the_settings(world: World, monk: TaskMonk) -> None:
    source = await connected(world, monk)
    monk.job("job-up", 7)
    monk.job("job-out", 9, 9)
    jobs = [
        {"job": "job-up", "batch": "batch-9", "name": "tickets.csv", "format": "csv"},
        {"job": "job-out", "kind": "export", "file_url": "https://files.example/out.csv"},
    ]
    await world.sources.change(OURS, source.id, {"settings": {"jobs": jobs}}, by=BY)
    await poll(world)
    monk.jobs["job-up"].finish()
    await poll(world, 2)
    told = {body["data"]["job_id"]: body["data"] for body in await world.bodies()}
    assert told["job-out"]["direction"] == "export"
    assert told["job-out"]["download_url"] == "https://files.example/out.csv"
    assert told["job-up"]["direction"] == "import"
    assert told["job-up"]["file"] == {
        "name": "tickets.csv",
        "format": "csv",
        "rows_total": 7,
        "rows_succeeded": 7,
        "rows_failed": 0,
    }


async def test_names_that_are_no_ids_are_told_by_their_digest(world: World, monk: TaskMonk) -> None:
    await connected(world, monk)
    monk.batch("März, die dritte Ladung", 1, 1)
    await poll(world)
    (body,) = await world.bodies()
    assert body["data"]["source"]["external_id"] == "März, die dritte Ladung"
    assert len(body["data"]["batch_id"]) == 16


@pytest.mark.parametrize("token_request", ["query", "form"])
async def test_a_token_is_asked_for_once_a_poll_where_the_settings_say(
    world: World, monk: TaskMonk, token_request: str
) -> None:
    monk.batch("batch-1", 1)
    await connected(world, monk, token_request=token_request)
    assert monk.token_requests == [(token_request, "cid")]


async def test_wrong_credentials_stop_it_and_are_in_no_word_of_it(world: World, monk: TaskMonk) -> None:
    source = await world.connect("taskmonk", monk.url, CLIENT | {"client_secret": "wrong-secret"}, {"project_id": "42"})
    await world.polled()
    found = await world.source(source)
    assert (found.state, found.due_at) == ("auth_failed", None)
    assert "wrong-secret" not in repr(found)
    await world.sources.change(OURS, source.id, {"credentials": CLIENT}, by=BY)
    await world.polled()
    assert (await world.source(source)).state == "ok"


async def test_a_token_that_ends_early_is_got_anew(world: World, monk: TaskMonk) -> None:
    source = await connected(world, monk)
    batch = monk.batch("batch-1", 2, 2)
    monk.ends_tokens_after = 1
    await poll(world)
    assert (await world.source(source)).state == "ok"
    assert batch.completed == 2
    assert await said(world) == [("batch.completed", "batch-1")]
    monk.ends_tokens_after = 0
    await poll(world)
    assert (await world.source(source)).state == "auth_failed"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (web.Response(status=500), "failing"),
        (web.Response(text="<html>"), "failing"),
        (web.json_response([{"name": "no id"}]), "failing"),
        (web.Response(status=404), "misconfigured"),
        (web.Response(status=403), "misconfigured"),
    ],
)
async def test_whatever_else_it_answers_publishes_nothing_and_forgets_nothing(
    world: World, monk: TaskMonk, answer: web.Response, state: str
) -> None:
    source = await connected(world, monk)
    batch = monk.batch("batch-1", 2)
    await poll(world)
    batch.finish()
    monk.answer = answer
    await poll(world)
    assert (await world.source(source)).state == state
    assert await said(world) == []
    monk.answer = None
    assert (await world.sources.check(OURS, source.id)).says == "project 42: 1 batches"
    await world.polled(600)
    assert await said(world) == [("batch.completed", "batch-1")]


async def test_numbers_that_are_missing_are_no_noughts(world: World, monk: TaskMonk) -> None:
    source = await connected(world, monk)
    monk.batch("batch-1", 2, 2).members["total"] = None
    await poll(world)
    found = await world.source(source)
    assert found.state == "failing"
    assert found.trouble == (
        "GET /api/project/42/batch/batch-1/status answered something unexpected: total: Input should be a valid integer"
    )


async def test_a_batch_that_nobody_understands_holds_up_no_other(world: World, monk: TaskMonk) -> None:
    source = await connected(world, monk)
    odd = monk.batch("batch-1", 2, 2)
    odd.members["total"] = None
    monk.batch("batch-2", 2, 2)
    await poll(world)
    assert await said(world) == [("batch.completed", "batch-2")]
    assert (await world.source(source)).state == "failing"
    odd.members.clear()
    await poll(world, 2)
    assert await said(world) == [("batch.completed", "batch-1"), ("batch.completed", "batch-2")]


async def test_what_ends_while_first_contact_is_broken_off_is_news(world: World, monk: TaskMonk) -> None:
    running, away = monk.batch("batch-1", 2, 1), monk.batch("batch-2", 2, 1)
    away.fails = True
    source = await connected(world, monk)
    assert (await world.source(source)).state == "failing"
    running.finish()
    away.fails = False
    await poll(world, 2)
    assert await said(world) == [("batch.completed", "batch-1")]


async def test_another_process_goes_on_where_the_first_one_ended(world: World, monk: TaskMonk) -> None:
    await connected(world, monk)
    batch = monk.batch("batch-1", 2)
    await poll(world)
    async with another(world) as other:
        batch.finish()
        await other.polled(34)
    await poll(world, 2)
    assert await said(world) == [("batch.completed", "batch-1")]


async def test_it_sends_nothing_so_nothing_is_taken_for_its_word(world: World, monk: TaskMonk) -> None:
    source = await connected(world, monk)
    with pytest.raises(InvalidInput):
        await world.sources.hear(source.id, Push({}, json.dumps({"batch": "batch-1"}).encode()))
