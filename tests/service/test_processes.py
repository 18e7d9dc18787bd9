"""Worker processes beside the one that was started."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.support.polling import until
from tests.support.program import Program, Running, json_lines
from tests.support.receiver import Receiver
from tests.support.samples import envelope

COUNT = 300


@pytest.fixture
async def program(tmp_path: Path, postgres_url: str) -> Program:
    program = Program(tmp_path, {"DATABASE_URL": postgres_url, "ATTEMPT_TIMEOUT": "1"})
    assert (await program.run("migrate")).code == 0
    return program


@pytest.fixture
async def service(program: Program, receiver: Receiver) -> AsyncIterator[Running]:
    """A service with two workers, and an account with a webhook."""
    async with program.serving("--processes", "2") as service:
        await until(lambda: len(service.told("worker.started")) == 2)
        await program.bootstrap()
        await program.register(receiver.url)
        yield service


async def publish(program: Program, count: int) -> None:
    events = json_lines([envelope(job_id=f"ann_{number}") for number in range(count)])
    assert (await program.run("publish", "-", "--json", stdin=events)).json["accepted"] == count


def jobs(receiver: Receiver) -> set[bytes]:
    return {call.body for call in receiver.calls}


def pids(service: Running) -> list[int]:
    return [line["pid"] for line in service.told("worker.started")]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_workers_deliver_and_their_numbers_are_added_up(
    program: Program, service: Running, receiver: Receiver
) -> None:
    await publish(program, COUNT)
    await until(lambda: len(jobs(receiver)) == COUNT, within_s=30)
    assert len(receiver.calls) == COUNT, "each once, whichever worker it was"

    async def counted() -> bool:
        async with ClientSession() as session, session.get(f"{service.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return f'hookline_deliveries_finished_total{{status="delivered"}} {COUNT}.0' in lines

    await until(counted)


async def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    program: Program, service: Running, receiver: Receiver
) -> None:
    receiver.door.clear()
    await publish(program, COUNT)
    await until(lambda: len(receiver.calls) > 0, within_s=30)

    os.kill(pids(service)[0], signal.SIGKILL)
    receiver.door.set()

    await until(lambda: len(pids(service)) == 3, within_s=30)
    assert service.told("worker.died")[0]["why"] == "exit code -9"
    await until(lambda: len(jobs(receiver)) == COUNT, within_s=90)


async def test_sigterm_ends_the_workers_first(service: Running) -> None:
    assert await service.end(signal.SIGTERM) == 0
    assert not any(alive(pid) for pid in pids(service))
    # three programs, and each of them ended in its own good order
    assert len(service.told("service.stopped")) == 3
    assert service.told("worker.died") == []


async def test_workers_do_not_outlive_the_one_that_started_them(service: Running) -> None:
    await until(lambda: len(service.told("service.ready")) == 3, within_s=30)
    await service.end(signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in pids(service)), within_s=30)
    assert len(service.told("service.stopped")) == 2
