"""A secret changes while deliveries flow: the setup guide's one-secret verifier loses none, whenever it switches."""

import json
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from tests.support.polling import until
from tests.support.receiver import Call, Receiver, Reply, verifies
from tests.support.samples import BY, a_submission
from tests.support.world import World

HOUR = 3600
DAY = 24 * HOUR
BURSTS = 8
AT_ONCE = 6

FIRST = "the-first-signing-secret"


class Switching:
    """The receiver of a customer who knows one secret at a time, and takes the next one when they get round to it.

    ``switches`` are the counts of requests after which the next of ``secrets`` is the only one that is known, once
    they are ``told`` of it; ``knew`` says for each event which of them it met.
    """

    def __init__(self, receiver: Receiver, secrets: Sequence[str], switches: Sequence[int]) -> None:
        self._receiver = receiver
        self._secrets = list(secrets)
        self._switches = list(switches)
        self.told = 0
        self.taken: list[bytes] = []
        self.knew: dict[bytes, set[str]] = {}
        receiver._judge = self._judge

    def _judge(self, call: Call) -> Reply:
        while self.told and self._switches and len(self._receiver.calls) > self._switches[0]:
            self._switches.pop(0)
            self._secrets.pop(0)
            self.told -= 1
        self.knew.setdefault(call.body, set()).add(self._secrets[0])
        if not verifies(call, self._secrets[0]):
            return Reply(401)
        self.taken.append(call.body)
        return Reply(200)


async def flow(world: World, url: str, secrets: Sequence[str], customer: Switching) -> None:
    """Let bursts of deliveries flow for most of a day, in which the secret changes as often as there are new ones."""
    endpoint = await world.register(url, secrets[0])
    rotations = dict(zip(range(1, BURSTS, max(1, BURSTS // len(secrets))), secrets[1:], strict=False))
    assert len(rotations) == len(secrets) - 1
    for burst in range(BURSTS):
        await world.publish(*(a_submission() for _ in range(AT_ONCE)))
        if burst in rotations:  # with the burst on its way
            await world.registry.rotate(world.reach, endpoint.id, rotations[burst], overlap_s=DAY, by=BY)
            customer.told += 1
        await world.quiet()
        await world.later(2 * HOUR)


async def rotated(world: World, url: str, secrets: Sequence[str]) -> None:
    """Register an endpoint that has come through all these secrets, which are all still valid."""
    endpoint = await world.register(url, secrets[0])
    for secret in secrets[1:]:
        await world.registry.rotate(world.reach, endpoint.id, secret, overlap_s=DAY, by=BY)


async def assert_nothing_lost(world: World, receiver: Receiver, customer: Switching) -> None:
    """Every delivery arrived, without its schedule unless the receiver switched between two of its requests.

    The log shows each request that was made, with its signature.
    """
    log = await world.log()
    assert [delivery.status for delivery in log] == ["delivered"] * BURSTS * AT_ONCE
    signatures: list[str] = []
    switches = {json.loads(body)["data"]["job_id"]: len(knew) - 1 for body, knew in customer.knew.items()}
    for delivery in log:
        attempts = await world.attempts(delivery)
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        for before, after in pairwise(attempts):
            at_once = after.started_at == before.started_at
            assert at_once == (after.trigger == "rotation"), "at once, and not on the schedule"
        retried = sum(attempt.trigger == "retry" for attempt in attempts)
        assert retried <= switches[delivery.job_id], "on the schedule once for each switch between two of its requests"
        signatures += [attempt.outcome.headers["X-Tagmatic-Signature"] for attempt in attempts]
    assert sorted(signatures) == sorted(call.headers["X-Tagmatic-Signature"] for call in receiver.calls)
    assert len(customer.taken) == len(set(customer.taken)) == BURSTS * AT_ONCE


@pytest.mark.parametrize("seed", range(4))
async def test_whenever_the_receiver_switches_during_the_overlap_nothing_is_lost(
    world: World, receiver: Receiver, seed: int
) -> None:
    moment = Random(seed).randrange(2 * BURSTS * AT_ONCE)
    secrets = [FIRST, "the-second-signing-secret"]
    customer = Switching(receiver, secrets, [moment])
    await flow(world, receiver.url, secrets, customer)
    await assert_nothing_lost(world, receiver, customer)


@pytest.mark.parametrize(("rotations", "seed"), [(2, 0), (3, 1), (4, 2)])
async def test_with_rotations_on_top_of_each_other_nothing_is_lost_whichever_secret_the_receiver_knows(
    world: World, receiver: Receiver, rotations: int, seed: int
) -> None:
    secrets = [FIRST, *(f"signing-secret-number-{number}" for number in range(rotations))]
    step = 2 * AT_ONCE * BURSTS // len(secrets)
    luck = Random(seed)
    switches = [step * number + luck.randrange(step) for number in range(1, rotations + 1)]
    customer = Switching(receiver, secrets, switches)
    await flow(world, receiver.url, secrets, customer)
    await assert_nothing_lost(world, receiver, customer)


@pytest.mark.parametrize("known", range(4))
async def test_of_four_secrets_that_are_valid_the_receiver_may_know_any(
    world: World, receiver: Receiver, known: int
) -> None:
    secrets = [f"signing-secret-number-{number}" for number in range(4)]
    await rotated(world, receiver.url, secrets)
    receiver.trusts_only(secrets[known])
    await world.publish()
    await world.quiet()
    assert (await world.delivery()).status == "delivered"
    newest_first = secrets[::-1]
    assert [newest_first[number] for number, _ in enumerate(receiver.calls)] == [
        secret for call in receiver.calls for secret in secrets if verifies(call, secret)
    ]
    assert len(receiver.calls) == 4 - known


@pytest.mark.parametrize("known", range(5))
async def test_a_receiver_that_refuses_slowly_is_asked_with_each_of_five_secrets_before_the_schedule_ends(
    world: World, receiver: Receiver, known: int
) -> None:
    secrets = [f"signing-secret-number-{number}" for number in range(5)]
    await rotated(world, receiver.url, secrets)

    def refuses_slowly(call: Call) -> Reply:
        world.clock.forward(9)  # so that there is time for two requests, and not for a third
        return Reply(200 if verifies(call, secrets[known]) else 401)

    receiver.judges(refuses_slowly)
    await world.publish()
    await world.quiet()
    for wait in (60, 300, 1800, 7200, 28800):
        await world.later(1.1 * wait)
    assert (await world.delivery()).status == "delivered"


async def test_a_receiver_that_knows_none_of_them_gets_each_once_and_then_waits_for_the_schedule(
    world: World, receiver: Receiver
) -> None:
    await rotated(world, receiver.url, [FIRST, *(f"signing-secret-number-{number}" for number in range(8))])
    receiver.answers(401)
    await world.publish()
    await world.quiet()
    assert len(receiver.calls) == 5, "no more than five secrets are valid at a time"
    delivery = await world.delivery()
    assert (delivery.status, delivery.attempts_made, delivery.retries_used) == ("pending", 5, 1)


async def test_a_receiver_that_never_switched_fails_when_the_overlap_is_over_and_has_its_schedule_to_mend_it(
    world: World, receiver: Receiver
) -> None:
    secrets = [FIRST, "the-second-signing-secret"]
    endpoint = await world.register(receiver.url, FIRST)
    await world.registry.rotate(world.reach, endpoint.id, secrets[1], overlap_s=DAY, by=BY)
    receiver.trusts_only(FIRST)
    await world.later(DAY - 1)
    await world.publish(job_id="just_before")
    await world.quiet()
    assert [call for call in receiver.calls if verifies(call, FIRST)]
    await world.later(1)
    receiver.calls.clear()

    await world.publish(job_id="just_after")
    await world.quiet()

    (refused,) = receiver.calls
    assert verifies(refused, secrets[1])
    (late,) = await world.log(job_id="just_after")
    (attempt,) = await world.attempts(late)
    assert attempt.outcome.failure is not None
    assert (late.status, attempt.outcome.failure.error, attempt.trigger) == ("pending", "http_4xx", "first")
    receiver.trusts_only(secrets[1])
    await world.later(1.1 * 60)
    (late,) = await world.log(job_id="just_after")
    assert (late.status, late.attempts_made) == ("delivered", 2)
    assert [delivery.status for delivery in await world.log(job_id="just_before")] == ["delivered"]


async def test_a_receiver_that_takes_the_new_secret_while_a_request_is_on_its_way_gets_it_again_at_once(
    world: World, receiver: Receiver
) -> None:
    endpoint = await world.register(receiver.url, FIRST)
    receiver.door.clear()
    receiver.answers(401, 200)
    await world.publish()
    await until(lambda: len(receiver.calls) == 1)
    await world.registry.rotate(world.reach, endpoint.id, "the-second-signing-secret", overlap_s=DAY, by=BY)
    receiver.door.set()
    await world.quiet()
    assert [attempt.trigger for attempt in await world.attempts()] == ["first", "rotation"]
    assert verifies(receiver.calls[1], "the-second-signing-secret")
    assert (await world.delivery()).status == "delivered"
