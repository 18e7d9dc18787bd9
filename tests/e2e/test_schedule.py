"""When attempts are made: the schedule, what a receiver can ask for, what people can ask for."""

from datetime import timedelta

import pytest

from delivery.domain.retry import JITTER, SCHEDULE
from tests.support.clock import NOON
from tests.support.polling import until
from tests.support.receiver import Receiver, Reply
from tests.support.world import World

MINUTE = 60
DAY = 24 * 60 * MINUTE
BLINK = timedelta(milliseconds=1)


async def fail_for_good(world: World, receiver: Receiver) -> None:
    """Publish one event to a broken receiver, and let the whole schedule pass."""
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    for wait in SCHEDULE:
        await world.later(wait * (1 + JITTER))


# --- the schedule -----------------------------------------------------------------------------------------------------


async def test_a_broken_endpoint_gets_exactly_six_requests_each_at_its_time(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()

    for made, wait in enumerate(SCHEDULE, start=1):
        before, due = world.clock.now(), (await world.delivery()).next_attempt_at
        assert due is not None
        assert timedelta(seconds=wait) <= due - before <= timedelta(seconds=wait * (1 + JITTER))
        await world.at(due - BLINK)
        assert len(receiver.calls) == made, "not a moment too early"
        await world.at(due)
        assert len(receiver.calls) == made + 1

    failed = await world.delivery()
    assert (failed.status, failed.attempts_made, failed.next_attempt_at) == ("failed", 6, None)
    assert failed.finished_at == world.clock.now()
    await world.later(7 * DAY)
    assert [call.headers["X-Tagmatic-Attempt"] for call in receiver.calls] == ["1", "2", "3", "4", "5", "6"]
    assert [attempt.trigger for attempt in await world.attempts()] == ["first"] + ["retry"] * 5


async def test_the_endpoint_stays_active_when_a_delivery_failed(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url)
    await fail_for_good(world, receiver)
    assert (await world.endpoint(endpoint)).active


async def test_one_failure_and_then_success_is_two_attempts(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500, 200)
    await world.publish()
    await world.quiet()
    await world.later(1.1 * MINUTE)
    arrived = await world.delivery()
    assert (arrived.status, arrived.attempts_made, arrived.last_error) == ("delivered", 2, None)
    await world.later(DAY)
    assert len(receiver.calls) == 2


async def test_an_endpoint_can_have_a_schedule_of_its_own(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url, retry_schedule=[5, 10])
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    for wait, made in ((4.9, 1), (0.6, 2), (9.9, 2), (1, 3), (DAY, 3)):
        await world.later(wait)
        assert len(receiver.calls) == made
    assert (await world.delivery()).status == "failed"


async def test_every_moment_in_the_log_is_the_clocks(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    (event_id,) = await world.publish()
    await world.quiet()
    delivery, (attempt,) = await world.delivery(), await world.attempts()
    assert {delivery.created_at, delivery.finished_at, attempt.started_at} == {NOON}
    assert event_id.startswith(f"evt_{int(NOON.timestamp() * 1000):012x}")
    assert receiver.calls[0].headers["webhook-timestamp"] == str(int(NOON.timestamp()))


# --- what a receiver can ask for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_makes_the_next_attempt_wait_longer(world: World, receiver: Receiver, status: int) -> None:
    await world.register(receiver.url)
    receiver.answers(Reply(status, {"Retry-After": "600"}), 200)
    await world.publish()
    await world.quiet()
    await world.later(10 * MINUTE - 1)
    assert len(receiver.calls) == 1
    await world.later(1)
    assert (await world.delivery()).status == "delivered"


async def test_retry_after_cannot_make_it_come_sooner(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(Reply(429, {"Retry-After": "1"}), 200)
    await world.publish()
    await world.quiet()
    await world.later(59)
    assert len(receiver.calls) == 1


async def test_410_disables_the_endpoint_and_ends_what_waits_for_it(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url)
    receiver.answers(500, 410)
    await world.publish(job_id="waits")
    await world.quiet()
    await world.publish(job_id="gone")
    await world.quiet()

    disabled = await world.endpoint(endpoint)
    assert (disabled.active, disabled.disabled_reason) == (False, "The receiver answered 410 Gone")
    (gone,) = await world.log(job_id="gone")
    assert (gone.status, gone.attempts_made, gone.last_response_status) == ("failed", 1, 410)

    assert await world.housekeeping.cancel_stranded() == 1
    (ended,) = await world.log(job_id="waits")
    assert (ended.status, ended.last_error, ended.next_attempt_at) == ("cancelled", "endpoint disabled", None)
    await world.publish(job_id="later")
    await world.later(7 * DAY)
    assert len(receiver.calls) == 2
    assert await world.log(job_id="later") == []


# --- what people can ask for ------------------------------------------------------------------------------------------


async def test_a_retry_by_hand_delivers_once_the_receiver_is_mended(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    await fail_for_good(world, receiver)
    receiver.answers(200)
    assert await world.retry(await world.delivery())
    mended = await world.delivery()
    assert (mended.status, mended.attempts_made) == ("delivered", 7)
    assert (await world.attempts())[-1].trigger == "manual"


async def test_a_retry_by_hand_in_the_middle_leaves_the_schedule_as_it_was(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    before = await world.delivery()

    world.clock.forward(10)
    assert await world.retry(before)
    after = await world.delivery()
    assert (after.status, after.next_attempt_at, after.retries_used) == ("pending", before.next_attempt_at, 1)
    assert len(receiver.calls) == 2

    for wait in SCHEDULE:
        await world.later(wait * (1 + JITTER))
    assert len(receiver.calls) == 7, "six of the schedule, and the one that was extra"
    assert (await world.delivery()).status == "failed"


async def test_a_retry_by_hand_that_arrives_ends_the_schedule(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500, 200)
    await world.publish()
    await world.quiet()
    await world.retry(await world.delivery())
    await world.later(DAY)
    assert len(receiver.calls) == 2
    assert (await world.delivery()).status == "delivered"


@pytest.mark.parametrize("answer", [500, 410])
async def test_what_was_delivered_stays_delivered_whatever_a_later_retry_comes_to(
    world: World, receiver: Receiver, answer: int
) -> None:
    await world.register(receiver.url)
    receiver.answers(200, answer)
    await world.publish()
    await world.quiet()
    world.clock.forward(MINUTE)
    await world.retry(await world.delivery())
    delivery = await world.delivery()
    assert (delivery.status, delivery.finished_at, delivery.attempts_made) == ("delivered", NOON, 2)


async def test_a_cancelled_delivery_is_not_sent_any_more(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    assert await world.cancel(await world.delivery())
    await world.later(7 * DAY)
    assert len(receiver.calls) == 1
    assert (await world.delivery()).status == "cancelled"


async def test_a_request_that_is_on_its_way_when_its_delivery_is_cancelled_is_in_the_log(
    world: World, receiver: Receiver
) -> None:
    await world.register(receiver.url)
    receiver.door.clear()
    await world.publish()
    await until(lambda: len(receiver.calls) == 1)
    assert await world.cancel(await world.delivery())
    receiver.door.set()
    await world.quiet()
    cancelled = await world.delivery()
    assert (cancelled.status, cancelled.attempts_made) == ("cancelled", 1)
    assert len(await world.attempts()) == 1
