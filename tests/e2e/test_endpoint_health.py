"""Endpoints that want little, fail, or hang: they are spared, they are told of, and nobody else suffers for them."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from delivery.domain.gate import OPENS_AFTER
from delivery.domain.model import Endpoint
from delivery.places import Limits
from delivery.store.engine import Store
from tests.support.polling import until
from tests.support.receiver import Receiver, Reply, verifies
from tests.support.samples import a_submission
from tests.support.stores import NEIGHBOUR
from tests.support.world import SECRET, World, another, working

SECOND = timedelta(seconds=1)


async def let_pass(world: World, other: World, seconds: float) -> None:
    """Let time pass, and both processes take what it makes due."""
    world.clock.forward(seconds)
    await world.sweep.run()
    await other.sweep.run()


async def times_of(world: World) -> list[datetime]:
    """When the requests of all delivered deliveries were made, in order."""
    return sorted(
        [attempt.started_at for delivery in await world.log() for attempt in await world.attempts(delivery.id)]
    )


async def fail(world: World, receiver: Receiver, count: int = OPENS_AFTER) -> Endpoint:
    """Register an endpoint and let it fail so often in a row."""
    endpoint = await world.register(receiver.url)
    receiver.answers(500)
    for _ in range(count):
        await world.publish(a_submission())
        await world.quiet()
    return endpoint


# -- rate limit --------------------------------------------------------------------------------------------------------


async def test_a_rate_limit_holds_over_two_processes_and_waiting_is_no_attempt(
    world: World, receiver: Receiver
) -> None:
    rate, number = 5, 15
    async with another(world) as other:
        await world.register(receiver.url, rate_limit=rate)
        for process in (world, other, world):
            await process.publish(*(a_submission() for _ in range(number // 3)))
        for sent in range(1, number + 1):
            await until(lambda sent=sent: len(receiver.calls) >= sent)  # type: ignore[misc]
            await let_pass(world, other, 1.05 / rate)
        await world.quiet()
        await other.quiet()
    assert len(receiver.calls) == number
    log = await world.log()
    assert {(delivery.status, delivery.attempts_made) for delivery in log} == {("delivered", 1)}
    times = await times_of(world)
    for start in times:
        assert sum(start <= at < start + SECOND for at in times) <= rate
    assert times[-1] - times[0] < 1.2 * number / rate * SECOND, "and it is used to the full"


async def test_an_endpoint_with_a_rate_limit_makes_no_other_wait(world: World, receiver: Receiver) -> None:
    limited = await world.register(f"{receiver.url}?limited", rate_limit=1)
    await world.publish(*(a_submission() for _ in range(50)))
    other = await world.register(f"{receiver.url}?other")
    await world.publish(*(a_submission() for _ in range(50)))

    async def all_there() -> bool:
        return len(await world.log(webhook_id=other.id, status="delivered")) == 50

    await until(all_there)
    assert len(await world.log(webhook_id=limited.id, status="delivered")) == 1


async def test_a_rate_limit_that_is_lifted_holds_back_nothing_any_more(world: World, receiver: Receiver) -> None:
    endpoint = await world.register(receiver.url, rate_limit=1)
    await world.publish(*(a_submission() for _ in range(20)))
    await until(lambda: len(receiver.calls) == 1)
    await world.change(endpoint, rate_limit=None)
    await world.later(2)
    await until(lambda: len(receiver.calls) == 20)


# -- circuit -----------------------------------------------------------------------------------------------------------


async def test_after_failures_in_a_row_one_probe_at_a_time_goes_out_over_all_processes(
    world: World, receiver: Receiver
) -> None:
    endpoint = await fail(world, receiver)
    assert (await world.endpoint(endpoint)).failures == OPENS_AFTER
    receiver.door.clear()
    receiver.calls.clear()
    receiver.most_at_once = 0
    async with another(world) as other:
        for process in (world, other):
            await process.publish(*(a_submission() for _ in range(10)))
        await until(lambda: len(receiver.calls) == 1)
        await let_pass(world, other, 3)  # everybody looks again whether the probe is over
        receiver.door.set()

        async def all_tried() -> bool:
            await let_pass(world, other, 3)
            return len(await world.log(status="sending")) == 0 and len(receiver.calls) >= 20

        await until(all_tried)
    assert receiver.most_at_once == 1
    assert not await world.log(status="failed"), "it never loses the schedule"


async def test_the_first_success_closes_the_circuit(world: World, receiver: Receiver) -> None:
    endpoint = await fail(world, receiver)
    receiver.answers(200)
    await world.publish(*(a_submission() for _ in range(30)))
    await until(lambda: len(receiver.calls) == OPENS_AFTER + 30)
    await world.quiet()
    assert len(await world.log(status="delivered")) == 30
    healed = await world.endpoint(endpoint)
    assert (healed.failures, healed.failing_since) == (0, None)


async def test_a_probe_whose_process_died_is_not_waited_for_for_ever(world: World, receiver: Receiver) -> None:
    await fail(world, receiver)
    receiver.answers(200)
    receiver.door.clear()
    receiver.calls.clear()
    async with another(world, name="dying", patience_s=0.01) as dying:
        await dying.publish(a_submission())
        await until(lambda: len(receiver.calls) == 1)
    receiver.door.set()
    await world.publish(a_submission())
    for _ in range(3):
        await world.later(33)  # the lease of the dead one runs out, and so does its turn
    assert len(await world.log(status="delivered")) == OPENS_AFTER + 2


async def test_a_new_address_or_switching_on_again_gives_an_endpoint_a_fresh_start(
    world: World, receiver: Receiver
) -> None:
    endpoint = await fail(world, receiver)
    await world.change(endpoint, url=f"{receiver.url}?new")
    assert (await world.endpoint(endpoint)).failures == 0


# -- operational events ------------------------------------------------------------------------------------------------


async def test_whoever_subscribes_by_name_is_told_once_that_a_delivery_failed(world: World, receiver: Receiver) -> None:
    failing = await world.register(f"{receiver.url}?failing", events=["annotation.*"], retry_schedule=[60])
    await world.register(f"{receiver.url}?told", events=["delivery.failed"])
    await world.register(f"{receiver.url}?everything", events=["*"])
    receiver.judges(lambda call: Reply(500 if "failing" in call.query else 200))
    (event_id,) = await world.publish(a_submission())
    await world.quiet()
    await world.later(66)
    await world.later(1)
    (failed,) = await world.log(status="failed")
    (told,) = [call for call in receiver.calls if call.query == "told"]
    notice = json.loads(told.body)
    assert notice["event"] == "delivery.failed"
    assert notice["data"] == {
        "job_id": failed.job_id,
        "delivery_id": failed.id,
        "event_id": event_id,
        "event": "annotation.completed",
        "webhook_id": failing.id,
        "url": failing.url,
        "attempts_made": 2,
        "last_response_status": 500,
        "last_error": "http_5xx",
    }
    assert verifies(told, SECRET)
    await world.retry(failed)
    await world.later(1)
    assert sum(call.query == "told" for call in receiver.calls) == 1, "a retry by hand that fails ends nothing anew"
    assert sum(call.query == "everything" for call in receiver.calls) == 1, "by name only"


async def test_a_notice_that_cannot_be_delivered_is_told_no_further(world: World, receiver: Receiver) -> None:
    receiver.answers(500)
    await world.register(receiver.url, events=["annotation.*", "delivery.failed"], retry_schedule=[])
    await world.publish(a_submission())
    for _ in range(5):
        await world.later(1)
    assert len(receiver.calls) == 2, "the delivery, and the notice of its failing"


async def test_the_other_endpoints_are_told_when_one_is_gone(world: World, receiver: Receiver) -> None:
    gone = await world.register(f"{receiver.url}?gone", events=["annotation.*"])
    await world.register(f"{receiver.url}?told", events=["webhook.disabled"])
    receiver.judges(lambda call: Reply(410 if call.query == "gone" else 200))
    await world.publish(a_submission(), a_submission(), a_submission())
    await world.quiet()
    await world.later(1)
    (told,) = [json.loads(call.body) for call in receiver.calls if call.query == "told"]
    assert (told["event"], told["data"]["webhook_id"]) == ("webhook.disabled", gone.id)
    assert "410" in told["data"]["reason"]


async def test_nothing_but_failures_for_five_days_disables_an_endpoint_and_tells_the_others_once(
    world: World, receiver: Receiver
) -> None:
    failing = await fail(world, receiver, 1)
    receiver.judges(lambda call: Reply(200 if call.query == "told" else 500))
    await world.register(f"{receiver.url}?told", events=["webhook.disabled"])
    await world.at(world.clock.now() + timedelta(hours=121))
    async with another(world) as other:
        await asyncio.gather(world.housekeeping.disable_failing(), other.housekeeping.disable_failing())
        await world.later(1)
        await other.quiet()
    (told,) = [json.loads(call.body) for call in receiver.calls if call.query == "told"]
    assert told["data"]["webhook_id"] == failing.id
    assert told["data"]["reason"] == "Nothing but failures for 120 hours"


# -- fairness ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sends_at_once", [True, False])
async def test_a_flood_of_one_account_does_not_make_another_wait(
    store: Store, receiver: Receiver, *, sends_at_once: bool
) -> None:
    limits = Limits(parallel=8, per_endpoint=2)
    async with working(store, limits=limits, sending=sends_at_once) as source:
        for number in range(40):
            await source.register(f"{receiver.url}?flood{number}")
        await source.register(f"{receiver.url}?neighbour", account_id=NEIGHBOUR)
        receiver.door.clear()
        await source.publish(*(a_submission() for _ in range(25)))
        source.clock.forward(1)
        await source.publish(a_submission(NEIGHBOUR))
        receiver.door.set()
        async with another(source, limits=limits) as process:
            await process.sweep.run()
            await until(lambda: any(call.query == "neighbour" for call in receiver.calls))
    before = [call.query for call in receiver.calls].index("neighbour")
    assert before < 100, "and not after the thousand that were there first"
