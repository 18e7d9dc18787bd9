"""Stopping: what is on its way is finished and logged, nothing else is begun, and nothing holds the end up."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from service.client import open_api
from tests.support.polling import until
from tests.support.program import Program, json_lines
from tests.support.receiver import Receiver
from tests.support.samples import envelope


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


async def test_sigterm_finishes_what_is_in_flight_and_loses_nothing(program: Program, receiver: Receiver) -> None:
    count = 60
    receiver.door.clear()
    async with program.serving() as service:
        await program.bootstrap()
        await program.register(receiver.url)
        events = [envelope(job_id=f"ann_{number}") for number in range(count)]
        assert (await program.run("publish", "-", "--json", stdin=json_lines(events))).json["accepted"] == count
        await until(lambda: len(receiver.calls) == 16)  # as many as go to one endpoint at a time

        service.process.send_signal(signal.SIGTERM)
        await until(lambda: bool(service.told("courier.stopping")))
        receiver.door.set()
        assert await service.end(0) == 0
        in_flight = len(receiver.calls)
        assert in_flight == 16, "nothing new is begun"

    async with program.serving():
        await until(lambda: len(receiver.calls) >= count, within_s=30)
    jobs = [json.loads(call.body)["data"]["job_id"] for call in receiver.calls]
    assert sorted(jobs) == sorted(f"ann_{number}" for number in range(count)), "all of them, and each once"


async def test_a_test_call_that_is_under_way_is_logged_though_the_service_stops(
    program: Program, receiver: Receiver
) -> None:
    receiver.door.clear()
    async with program.serving() as service:
        await program.bootstrap()
        webhook = await program.register(receiver.url)
        async with open_api(service.url, program.settings["API_KEY"]) as api:
            asked = asyncio.create_task(api.post(f"/api/webhooks/{webhook['id']}/test"))
            await until(lambda: len(receiver.calls) == 1)

            service.process.send_signal(signal.SIGTERM)
            await until(lambda: bool(service.told("courier.stopping")))
            receiver.door.set()
            assert await service.end(0) == 0
            await asyncio.gather(asked, return_exceptions=True)  # whether it still heard the answer is no matter

    async with program.serving():
        (tested,) = (await program.run("deliveries", "--json")).json["items"]
    assert (tested["status"], tested["attempts_made"]) == ("delivered", 1)
    assert len(receiver.calls) == 1


async def test_an_idle_service_ends_at_once_whichever_signal_asks(program: Program) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        async with program.serving() as service:
            assert await service.end(number) == 0


async def test_a_listener_does_not_hold_the_service_up(program: Program) -> None:
    async with program.serving() as service:
        await program.bootstrap()
        async with program.running("listen") as listener:
            await until(lambda: "Listening to" in listener.out, within_s=30)
            assert await service.end() == 0
            await until(lambda: "connecting again until it succeeds" in listener.err)
            assert not listener.ended
