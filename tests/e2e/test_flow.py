"""The way of an event, from its publisher to a customer's receiver and into the log. Read this first.

Everything here is real: the store (each test runs on SQLite and on PostgreSQL), the requests, the receiver. Only the
clock is the test's own: it stands still until ``world.later`` moves it.
"""

import json
from datetime import timedelta

from standardwebhooks.webhooks import Webhook

from delivery.domain.signing import standard_secret
from tests.support.clock import NOON
from tests.support.receiver import Receiver, verify_webhook
from tests.support.samples import BY
from tests.support.world import SECRET, World

MINUTE = 60


async def test_an_event_reaches_its_receiver_as_one_signed_request(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url, SECRET, events=["annotation.completed"])

    (event_id,) = await world.publish(job_id="ann_01jq8bx9f3", annotations={"sentiment": "positive"})
    await world.quiet()

    (call,) = receiver.calls
    payload = json.loads(call.body)
    assert list(payload) == ["event", "timestamp", "data"]
    assert payload["data"]["annotations"] == {"sentiment": "positive"}
    # the receiver's own way of checking that it was us
    assert verify_webhook(call.body, call.headers["X-Tagmatic-Signature"], SECRET)
    # and the way of the libraries that speak Standard Webhooks
    assert call.headers["webhook-id"] == event_id
    theirs = Webhook(standard_secret(SECRET)).sign(event_id, NOON, call.body.decode())
    assert call.headers["webhook-signature"] == theirs


async def test_what_fails_is_sent_again_on_schedule_until_it_arrives(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(503, 503, 200)

    await world.publish()
    await world.quiet()
    waiting = await world.delivery()
    assert (waiting.status, waiting.attempts_made, waiting.last_response_status) == ("pending", 1, 503)
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at >= NOON + timedelta(minutes=1)

    await world.later(0.99 * MINUTE)  # not yet
    assert len(receiver.calls) == 1

    await world.at(waiting.next_attempt_at)
    assert len(receiver.calls) == 2

    await world.later(5.5 * MINUTE)
    arrived = await world.delivery()
    assert (arrived.status, arrived.attempts_made, arrived.next_attempt_at) == ("delivered", 3, None)
    assert len({call.body for call in receiver.calls}) == 1, "every attempt carries the same bytes"


async def test_the_log_shows_each_attempt_and_what_came_back(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500, 200)
    await world.publish()
    await world.quiet()
    await world.later(1.1 * MINUTE)

    first, second = await world.attempts()

    assert (first.number, first.trigger, first.started_at) == (1, "first", NOON)
    assert first.outcome.failure is not None
    assert first.outcome.failure.error == "http_5xx"
    assert (second.number, second.trigger) == (2, "retry")
    assert second.outcome.failure is None
    for attempt, call in zip((first, second), receiver.calls, strict=True):
        assert attempt.outcome.url == receiver.url
        assert dict(attempt.outcome.headers) == dict(call.headers), "the log shows the headers that were sent"


async def test_an_event_that_is_published_twice_is_delivered_once(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)

    (first,) = await world.publish(job_id="ann_7")
    (again,) = await world.publish(job_id="ann_7")
    await world.quiet()

    assert first == again
    assert len(receiver.calls) == 1


async def test_each_endpoint_gets_what_it_asked_for(world: World, receiver: Receiver) -> None:
    everything = await world.register(receiver.url, events=["*"])
    corrections = await world.register(receiver.url, events=["review.*"])
    one_project = await world.register(receiver.url, events=["annotation.*"], filter={"data.project_id": "proj_a"})

    await world.publish(project_id="proj_a")
    await world.publish(project_id="proj_b")
    await world.quiet()

    assert len(await world.log(webhook_id=everything.id)) == 2
    assert len(await world.log(webhook_id=corrections.id)) == 0
    assert len(await world.log(webhook_id=one_project.id)) == 1


async def test_a_test_call_is_answered_with_its_attempt_and_never_repeated(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url, events=["batch.completed"])
    receiver.answers(500)

    delivery_id, attempt = await world.registry.test(world.reach, endpoint.id, by=BY)

    assert attempt.trigger == "test"
    assert attempt.outcome.answer is not None
    assert attempt.outcome.answer.status == 500
    await world.later(24 * 60 * MINUTE)
    assert len(receiver.calls) == 1
    assert (await world.delivery()).id == delivery_id
    assert (await world.delivery()).status == "failed"
