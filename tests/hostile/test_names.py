"""Section C, with a name server on the wire: nobody forbidden is ever dialled, and every attempt ends in its time."""

import asyncio
from ipaddress import ip_network

import pytest

from delivery.domain.guard import EgressPolicy
from tests.delivery.receivers import destination, failed, send, shipment
from tests.hostile.canaries import Leash, canaries
from tests.hostile.cases import Case, cases_of, each
from tests.hostile.name_server import SILENCE, naming
from tests.hostile.names import AT_ONCE, CHANGING, HONEST, PUBLIC, Answers

ONLY_ONE = EgressPolicy((ip_network(f"{PUBLIC}/32"),), require_https=False)
SHORT = 0.4
MOST_ADDRESSES = 8

#: Longer than any attempt.
PATIENT_RESOLVER_S = 30

pytestmark = pytest.mark.asyncio(loop_scope="module")


@each(cases_of(AT_ONCE))
async def test_a_name_server_that_misbehaves_is_told_apart(case: Case[Answers]) -> None:
    leash = Leash()
    async with canaries() as canary, naming(case.given, patience_s=PATIENT_RESOLVER_S) as (resolver, zone):
        url = f"http://hook.example:{canary.port}/"
        patience = SHORT if case.expected == "timeout" else 5.0
        outcome = await send(url, ONLY_ONE, patience=patience, resolver=resolver, make_socket=leash)
    error, message = failed(outcome)
    assert error == case.expected
    assert case.says in message
    assert zone.asked[0][0] == "hook.example"
    assert canary.accepts == 0
    if case.expected == "connect_error":
        assert 1 <= len(set(leash.dialled)) <= MOST_ADDRESSES
    else:
        assert leash.dialled == []


@each(cases_of(CHANGING))
async def test_what_was_judged_is_what_is_dialled(case: Case[Answers]) -> None:
    leash = Leash()
    async with canaries() as canary, naming(case.given) as (resolver, zone):
        url = f"http://hook.example:{canary.port}/"
        first, *later = [await send(url, ONLY_ONE, resolver=resolver, make_socket=leash) for _ in range(3)]
        assert [receiver.accepts for receiver in canary.receivers][:2] == [1, 0]
    assert (first.failure, first.remote_address) == (None, PUBLIC)
    assert [failed(outcome)[0] for outcome in later] == [case.expected] * 2
    assert leash.dialled == [PUBLIC]
    assert canary.accepts == 1
    assert zone.asked.count(("hook.example", "A")) == 3, "each attempt looks up once"


@each(cases_of(HONEST))
async def test_an_ordinary_name_is_delivered_to(case: Case[Answers]) -> None:
    async with canaries() as canary, naming(case.given) as (resolver, _):
        outcome = await send(f"http://hook.example:{canary.port}/", ONLY_ONE, resolver=resolver, make_socket=Leash())
    assert (outcome.failure, outcome.remote_address) == (None, PUBLIC)
    assert outcome.timings.dns_ms is not None


async def test_a_name_server_that_says_nothing_holds_up_nobody_else() -> None:
    answers: Answers = {"slow.example": [SILENCE], "hook.example": [[PUBLIC]]}
    async with (
        canaries() as canary,
        naming(answers, patience_s=PATIENT_RESOLVER_S) as (resolver, _),
        destination(ONLY_ONE, resolver=resolver) as webhooks,
    ):
        hanging = shipment(f"http://slow.example:{canary.port}/")
        healthy = shipment(f"http://hook.example:{canary.port}/")
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(webhooks.send(hanging)) for _ in range(300)]
            for _ in range(10):
                assert (await webhooks.send(healthy)).failure is None
            assert not any(one.done() for one in waiting)
            for one in waiting:
                one.cancel()
    assert canary.accepts == 1
