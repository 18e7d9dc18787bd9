"""What a customer changes holds from the next attempt on: secrets, URLs, headers, and that an endpoint is there."""

import asyncio
from datetime import timedelta

import pytest

from delivery.domain.signing import standard_signature
from tests.support.clock import NOON
from tests.support.polling import until
from tests.support.receiver import Receiver, receiving, verifies
from tests.support.samples import BY
from tests.support.world import SECRET, World, another

NEW = "a-new-signing-secret"
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


async def rotate(world: World, receiver: Receiver) -> None:
    """Register an endpoint, and give it a new secret; the old one stays valid for a day."""
    endpoint = await world.register(receiver.url, SECRET)
    await world.registry.rotate(world.reach, endpoint.id, NEW, overlap_s=DAY, by=BY)


# --- rotation ---------------------------------------------------------------------------------------------------------


async def test_a_receiver_that_still_has_the_old_secret_loses_nothing(world: World, receiver: Receiver) -> None:
    await rotate(world, receiver)
    receiver.trusts_only(SECRET)
    await world.publish()
    await world.quiet()

    refused, taken = receiver.calls
    assert verifies(refused, NEW)
    assert verifies(taken, SECRET)
    assert (refused.headers["X-Tagmatic-Attempt"], taken.headers["X-Tagmatic-Attempt"]) == ("1", "2")
    assert (await world.delivery()).status == "delivered"
    first, rotation = await world.attempts()
    assert (first.trigger, rotation.trigger) == ("first", "rotation")
    assert rotation.started_at == NOON, "at once, and not on the schedule"


async def test_a_receiver_that_has_the_new_secret_gets_one_request(world: World, receiver: Receiver) -> None:
    await rotate(world, receiver)
    receiver.trusts_only(NEW)
    await world.publish()
    await world.quiet()
    assert len(receiver.calls) == 1
    assert (await world.delivery()).status == "delivered"


async def test_during_the_overlap_the_standard_signature_is_made_with_both(world: World, receiver: Receiver) -> None:
    await rotate(world, receiver)
    (event_id,) = await world.publish()
    await world.quiet()
    (call,) = receiver.calls
    both = standard_signature(event_id, int(NOON.timestamp()), call.body, [NEW, SECRET])
    assert call.headers["webhook-signature"] == both


async def test_the_extra_attempt_of_a_rotation_does_not_use_up_the_schedule(world: World, receiver: Receiver) -> None:
    await rotate(world, receiver)
    receiver.answers(403)
    await world.publish()
    await world.quiet()
    delivery = await world.delivery()
    assert (delivery.attempts_made, delivery.retries_used) == (2, 1)
    assert delivery.next_attempt_at is not None
    assert delivery.next_attempt_at - NOON >= timedelta(minutes=1)


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_only_401_and_403_are_a_question_of_the_secret(world: World, receiver: Receiver, status: int) -> None:
    await rotate(world, receiver)
    receiver.answers(status)
    await world.publish()
    await world.quiet()
    assert len(receiver.calls) == 1


async def test_after_the_overlap_the_old_secret_is_used_no_more(world: World, receiver: Receiver) -> None:
    await rotate(world, receiver)
    receiver.trusts_only(SECRET)
    world.clock.forward(DAY)
    await world.publish()
    await world.quiet()
    assert [verifies(call, NEW) for call in receiver.calls] == [True]
    assert (await world.delivery()).status == "pending"


# --- changes, in every process ----------------------------------------------------------------------------------------


async def test_a_changed_url_secret_and_header_hold_from_the_next_attempt_on_in_every_process(
    world: World, receiver: Receiver
) -> None:
    endpoint = await world.register(receiver.url, SECRET)
    async with another(world) as other, receiving() as new_home:
        for process in (world, other):  # now both know the endpoint as it is
            await process.publish()
            await process.quiet()
        assert len(receiver.calls) == 2

        await world.change(endpoint, url=new_home.url, headers={"Authorization": "Bearer abc"})
        await world.registry.rotate(world.reach, endpoint.id, NEW, overlap_s=0, by=BY)
        for process in (world, other):
            await process.publish()
            await process.quiet()

        assert len(receiver.calls) == 2
        assert [call.headers["Authorization"] for call in new_home.calls] == ["Bearer abc"] * 2
        assert all(verifies(call, NEW) for call in new_home.calls)


async def test_a_retry_goes_to_where_the_endpoint_is_by_then(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    async with receiving() as new_home:
        await world.change(endpoint, url=new_home.url)
        await world.later(1.1 * MINUTE)
        assert len(new_home.calls) == 1
    assert [attempt.outcome.url for attempt in await world.attempts()] == [receiver.url, new_home.url]


# --- deleted, switched off --------------------------------------------------------------------------------------------


async def test_what_was_learnt_of_the_old_receivers_pace_is_not_held_against_the_new_one(
    world: World, receiver: Receiver
) -> None:
    endpoint = await world.register(receiver.url)
    await world.publish()
    await world.quiet()
    assert (await world.endpoint(endpoint)).tempo == "quick"
    async with receiving() as new_home:
        await world.change(endpoint, url=new_home.url)
        assert (await world.endpoint(endpoint)).tempo == "new"
        await world.publish()
        await world.quiet()
    assert (await world.endpoint(endpoint)).tempo == "quick"


async def test_what_waits_for_an_endpoint_that_is_deleted_ends_and_says_why(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    await world.registry.remove(world.reach, endpoint.id, by=BY)
    assert await world.housekeeping.cancel_stranded() == 1
    await world.later(7 * DAY)
    ended = await world.delivery()
    assert (ended.status, ended.last_error, ended.finished_at) == ("cancelled", "endpoint deleted", NOON)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("how", ["deleted", "switched off"])
async def test_a_retry_that_comes_due_before_anybody_cleared_up_is_not_sent_either(
    world: World, receiver: Receiver, how: str
) -> None:
    endpoint = await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    if how == "deleted":
        await world.registry.remove(world.reach, endpoint.id, by=BY)
    else:
        await world.change(endpoint, active=False)
    await world.later(1.1 * MINUTE)
    ended = await world.delivery()
    assert ended.status == "cancelled"
    assert how in (ended.last_error or "")
    assert len(receiver.calls) == 1
    assert len(await world.attempts()) == 1, "nothing is in the log that was not made"


async def test_what_is_on_its_way_when_its_endpoint_is_deleted_still_counts(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url)
    receiver.door.clear()
    await world.publish()
    await until(lambda: len(receiver.calls) == 1)
    await world.registry.remove(world.reach, endpoint.id, by=BY)
    receiver.door.set()
    await world.quiet()
    assert (await world.delivery()).status == "delivered"


# --- endpoints that only fail -----------------------------------------------------------------------------------------


async def test_an_endpoint_with_nothing_but_failures_for_five_days_is_disabled(
    world: World, receiver: Receiver
) -> None:
    endpoint = await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    await world.later(5 * DAY)
    assert await world.housekeeping.disable_failing() == []
    await world.later(1)
    assert await world.housekeeping.disable_failing() == [endpoint.id]
    disabled = await world.endpoint(endpoint)
    assert (disabled.active, disabled.disabled_reason) == (False, "Nothing but failures for 120 hours")


async def test_one_success_in_between_and_the_five_days_begin_anew(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    receiver.answers(200, 500)
    for _ in range(2):
        await world.later(4 * DAY)
        await world.publish()
        await world.quiet()
    assert await world.housekeeping.disable_failing() == []
    assert (await world.endpoint(endpoint)).failing_since is not None


async def test_a_success_counts_though_a_failure_came_while_it_was_on_its_way(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(200, 500)
    slow = receiver.door
    slow.clear()
    await world.publish()
    await until(lambda: len(receiver.calls) == 1)
    receiver.door = asyncio.Event()  # the next one does not wait
    receiver.door.set()
    await world.publish()
    await until(lambda: len(world.in_hand) == 1)
    slow.set()
    await world.quiet()

    await world.later(6 * DAY)
    assert await world.housekeeping.disable_failing() == []
