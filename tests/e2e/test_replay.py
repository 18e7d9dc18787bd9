"""A receiver was broken for a while; it is mended, and everything that failed meanwhile is sent once more."""

from collections import Counter
from collections.abc import Sequence

import pytest

from delivery.domain.model import Delivery
from delivery.store.cursors import PageRequest
from delivery.store.log import DeliveryFilter
from delivery.store.replays import Replay, browse
from tests.support.polling import until
from tests.support.receiver import Receiver, receiving
from tests.support.samples import BY, a_submission
from tests.support.world import World, another, working

FAILED = DeliveryFilter(status="failed")


async def start(world: World, which: DeliveryFilter = FAILED) -> None:
    await world.replays.start(world.reach, which, by=BY)


async def go_on(world: World, seconds: float = 1) -> None:
    """Let the replay take its next step, and be sent what it asks for."""
    await world.replays.run()
    await world.later(seconds)


async def publish(world: World, count: int) -> None:
    await world.publish(*(a_submission() for _ in range(count)))
    await world.quiet()


async def state(world: World) -> Replay:
    """The only replay that there is."""
    async with world.store.reading() as tx:
        (only,) = (await browse(tx, world.reach, PageRequest())).items
    return only


async def finish(world: World, within: int = 100) -> Replay:
    for _ in range(within):
        await go_on(world)
        if (await state(world)).finished_at is not None:
            break
    return await state(world)


@pytest.fixture
async def failed(world: World, receiver: Receiver) -> Sequence[Delivery]:
    """Deliveries that nobody took."""
    await world.register(receiver.url, retry_schedule=[])
    receiver.answers(500)
    await publish(world, 60)
    while len(await world.log(status="failed")) < 60:  # its circuit is open: one after the other
        await world.later(1)
    receiver.calls.clear()
    return await world.log(status="failed")


def jobs_of(receiver: Receiver) -> Counter[str]:
    return Counter(str(call.headers["X-Tagmatic-Delivery"]) for call in receiver.calls)


async def test_everything_that_failed_arrives_once(
    world: World, receiver: Receiver, failed: Sequence[Delivery]
) -> None:
    receiver.answers(200)
    await start(world)
    replay = await finish(world)
    assert jobs_of(receiver) == Counter(delivery.id for delivery in failed)
    assert (replay.state, replay.counts.matched, replay.counts.delivered) == ("finished", 60, 60)
    assert await world.log(status="failed") == []
    assert [attempt.trigger for attempt in await world.attempts(failed[0])] == ["first", "replay"]


async def test_what_fails_again_stays_failed_and_is_not_tried_further(
    world: World, receiver: Receiver, failed: Sequence[Delivery]
) -> None:
    await start(world)
    replay = await finish(world)
    await world.later(24 * 3600)
    assert (replay.counts.failed, replay.counts.delivered) == (60, 0)
    assert jobs_of(receiver) == Counter(delivery.id for delivery in failed)
    assert len(await world.log(status="failed")) == 60


async def test_a_retry_that_was_due_later_is_still_made_when_the_replay_fails(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    receiver.answers(500)
    await world.publish()
    await world.quiet()
    waiting = await world.delivery()
    assert waiting.next_attempt_at is not None
    await start(world, DeliveryFilter(status="pending"))
    await go_on(world)
    await world.at(waiting.next_attempt_at)
    assert [attempt.trigger for attempt in await world.attempts()] == ["first", "replay", "retry"]


async def test_another_process_takes_over_in_the_middle(
    world: World, receiver: Receiver, failed: Sequence[Delivery]
) -> None:
    receiver.answers(200)
    await start(world)
    await go_on(world)
    assert 0 < len(receiver.calls) < 60
    async with another(world) as other:
        assert (await finish(other)).counts.delivered == 60
    assert jobs_of(receiver) == Counter(delivery.id for delivery in failed)


async def test_processes_that_are_at_it_at_once_send_each_delivery_once(
    world: World, receiver: Receiver, failed: Sequence[Delivery]
) -> None:
    receiver.answers(200)
    await start(world)
    async with another(world) as other, working(world.store, world.clock, name="third") as third:
        everybody = (world, other, third)
        for _ in range(10):
            for one in everybody:
                await one.replays.run()
            for one in everybody:
                await one.later(0.3)
        assert (await state(world)).counts.delivered == 60
    assert jobs_of(receiver) == Counter(delivery.id for delivery in failed)


async def test_a_receiver_that_hangs_does_not_hold_up_one_that_is_mended(world: World, receiver: Receiver) -> None:
    async with receiving() as hanging:
        mended, _ = [await world.register(one.url, retry_schedule=[]) for one in (receiver, hanging)]
        for one in (receiver, hanging):
            one.answers(500)
        await publish(world, 60)
        receiver.answers(200)
        hanging.door.clear()
        await start(world)
        for _ in range(5):
            await world.replays.run()
            world.clock.forward(1)
            await world.sweep.run()
            await until(lambda: all(parcel.endpoint_id != mended.id for parcel in world.in_hand))
        replay = await state(world)
        assert (replay.state, replay.counts.delivered, replay.counts.outstanding) == ("running", 60, 50)
