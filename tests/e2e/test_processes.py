"""Several processes on one store: who takes what over, and who no longer has a say."""

import asyncio
from datetime import timedelta

import pytest

from delivery.places import Limits, Terms
from delivery.store import deliveries
from tests.support.clock import NOON
from tests.support.polling import until
from tests.support.receiver import Receiver, receiving
from tests.support.samples import a_submission
from tests.support.world import LEASE_S, World, another, working

RENEWAL_S = 5

#: One request to an endpoint at a time, while others wait for their turn in memory.
ONE_AT_A_TIME = Limits(parallel=16, per_endpoint=1)


async def test_what_a_dead_process_had_in_hand_is_sent_by_another_when_the_lease_has_run_out(
    world: World, receiver: Receiver
) -> None:
    await world.register(receiver.url)
    async with another(world, name="mortal", sending=False) as mortal:
        await mortal.publish()
        async with mortal.store.writing() as tx:
            until = NOON + timedelta(seconds=LEASE_S)
            claimed = await deliveries.claim(tx, "mortal.1", Terms(10, 10), now=NOON, until=until)
        assert len(claimed) == 1  # and it is never heard of again

    await world.later(LEASE_S - 1)
    assert receiver.calls == []
    assert (await world.delivery()).status == "sending"
    await world.later(1)
    assert len(receiver.calls) == 1
    assert (await world.delivery()).status == "delivered"


async def test_who_comes_late_is_in_the_log_and_changes_nothing(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    late_answer = receiver.door
    late_answer.clear()
    receiver.answers(500, 200)
    await world.publish()
    await until(lambda: len(receiver.calls) == 1)

    async with another(world) as other:
        receiver.door = asyncio.Event()
        receiver.door.set()
        await other.later(LEASE_S)
        taken_over = await other.delivery()
        assert (taken_over.status, taken_over.attempts_made) == ("delivered", 1)

    late_answer.set()  # with a 500
    await world.quiet()
    after = await world.delivery()
    assert (after.status, after.last_response_status, after.finished_at) == ("delivered", 200, taken_over.finished_at)
    assert after.attempts_made == 2
    statuses = [attempt.outcome.answer and attempt.outcome.answer.status for attempt in await world.attempts()]
    assert statuses == [500, 200]
    await world.later(24 * 3600)
    assert len(receiver.calls) == 2


async def test_processes_that_sweep_at_once_send_each_delivery_once(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    async with another(world, name="source", sending=False) as source:
        await source.publish(*(a_submission() for _ in range(200)))
    async with another(world) as other:
        await asyncio.gather(*(process.later(0) for process in (world, other) for _ in range(5)))
        await until(lambda: len(receiver.calls) >= 200)
        await asyncio.gather(world.quiet(), other.quiet())
    sent = [call.headers["X-Tagmatic-Delivery"] for call in receiver.calls]
    assert (len(sent), len(set(sent))) == (200, 200)


async def test_what_was_taken_over_while_it_waited_for_its_turn_is_left_to_who_has_it(
    world: World, receiver: Receiver
) -> None:
    async with another(world, name="slow", limits=ONE_AT_A_TIME) as slow:
        await slow.register(receiver.url)
        first_door = receiver.door
        first_door.clear()
        await slow.publish(a_submission(), a_submission())
        await until(lambda: len(receiver.calls) == 1)

        receiver.door = asyncio.Event()
        world.clock.forward(LEASE_S)
        await world.sweep.run()
        await until(lambda: len(receiver.calls) == 3)  # both are the other process's now, and on their way
        first_door.set()
        await slow.quiet()
        assert len(receiver.calls) == 3
        receiver.door.set()
        await world.quiet()
    assert len(await world.log(status="delivered")) == 2


async def test_a_process_that_stops_finishes_what_is_on_its_way_and_gives_back_what_waits(
    world: World, receiver: Receiver
) -> None:
    await world.register(receiver.url)
    receiver.door.clear()
    async with another(world, limits=ONE_AT_A_TIME) as stopping:
        await stopping.publish(*(a_submission() for _ in range(3)))
        await until(lambda: len(receiver.calls) == 1)
        assert len(stopping.in_hand) == 3
        answer = asyncio.create_task(open_when_closing(receiver, stopping))
    await answer
    assert len(await world.log(status="delivered")) == 1
    assert len(await world.log(status="pending")) == 2, "given back, and not left until a lease runs out"
    await world.later(0)
    assert len(await world.log(status="delivered")) == 3
    assert len(receiver.calls) == 3


async def open_when_closing(receiver: Receiver, process: World) -> None:
    """Let the receiver answer as soon as the process takes nothing new."""
    await until(lambda: process.courier.terms().limit == 0)
    receiver.door.set()


async def test_a_process_that_no_longer_sends_takes_nothing(world: World, receiver: Receiver) -> None:
    await world.register(receiver.url)
    async with working(world.store, world.clock, name="closing", sending=False) as closing:
        await closing.publish()
        await closing.sweep.run()
        assert closing.in_hand == []
    assert (await world.delivery()).status == "pending"


async def test_who_waits_for_its_turn_longer_than_a_lease_lasts_is_sent_when_it_comes(
    world: World, receiver: Receiver
) -> None:
    async with another(world, limits=ONE_AT_A_TIME) as process:
        await process.register(receiver.url)
        for waited in (7, 13, 38, 64):
            receiver.door.clear()
            before = len(receiver.calls)
            await process.publish(a_submission(), a_submission())
            await until(lambda: len(receiver.calls) == before + 1)  # noqa: B023 - used within the turn
            for _ in range(waited // RENEWAL_S):
                process.clock.forward(RENEWAL_S)
                await process.sweep.renew()
            process.clock.forward(waited % RENEWAL_S)
            receiver.door.set()
            await process.quiet()
            assert len(receiver.calls) == before + 2, f"after {waited} s"


async def test_one_hanging_endpoint_keeps_only_its_own_lane(world: World, receiver: Receiver) -> None:
    async with (
        receiving() as hanging,
        another(world, limits=Limits(parallel=8, per_endpoint=2)) as process,
    ):
        hanging.door.clear()
        slow = await process.register(hanging.url)
        quick = await process.register(receiver.url)
        await process.publish(*(a_submission() for _ in range(40)))
        await until(lambda: len(receiver.calls) == 40)
        assert len(hanging.calls) == 2, "as many as one endpoint may have at a time, and all of them still there"
        await until(lambda: all_delivered(process, quick.id, 40))
        assert await process.log(webhook_id=slow.id, status="delivered") == []
        hanging.door.set()
        await until(lambda: all_delivered(process, slow.id, 40))


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_an_endpoint_that_says_it_is_overloaded_gets_its_other_deliveries_one_by_one(
    world: World, receiver: Receiver, status: int
) -> None:
    async with another(world, limits=Limits(parallel=16, per_endpoint=8)) as process:
        await process.register(receiver.url)
        receiver.answers(status)
        receiver.door.clear()
        await process.publish(*(a_submission() for _ in range(8)))
        await until(lambda: receiver.most_at_once == 8)
        receiver.door.set()
        await process.quiet()
        receiver.most_at_once = 0
        await process.publish(*(a_submission() for _ in range(8)))
        await process.quiet()
        assert len(receiver.calls) == 16
        assert receiver.most_at_once == 1


async def all_delivered(world: World, endpoint_id: str, count: int) -> bool:
    return len(await world.log(webhook_id=endpoint_id, status="delivered")) == count
