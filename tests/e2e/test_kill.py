"""What was accepted survives the worst: the whole service is killed in the middle of its work, and started again."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.support.polling import until
from tests.support.program import Program, json_lines
from tests.support.receiver import Receiver
from tests.support.samples import envelope

COUNT = 2000
EVENTS = json_lines([envelope(job_id=f"ann_{number}") for number in range(COUNT)])

#: A second for an attempt makes leases that run out after fourteen, and a retry a second later.
SETTINGS = {"ATTEMPT_TIMEOUT": "1", "RETRY_SCHEDULE": ",".join("1" * 20), "LOG_LEVEL": "warning"}

pytestmark = pytest.mark.slow


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, dict(SETTINGS))


def jobs(receiver: Receiver) -> set[str]:
    return {json.loads(call.body)["data"]["job_id"] for call in receiver.calls}


async def all_delivered(program: Program) -> bool:
    """Whether the log knows of nothing that has not arrived."""
    states = ("pending", "sending", "failed", "cancelled")
    return not any([(await program.run("deliveries", "--status", state, "--json")).json["items"] for state in states])


async def test_on_sqlite(program: Program, receiver: Receiver) -> None:
    receiver.door.clear()
    async with program.serving() as service:
        await program.bootstrap()
        await program.register(receiver.url)
        published = await program.run("publish", "-", "--json", stdin=EVENTS)
        assert published.json["accepted"] == COUNT
        receiver.door.set()
        await until(lambda: len(receiver.calls) > COUNT // 4, within_s=30)
        await service.end(signal.SIGKILL)
        assert len(jobs(receiver)) < COUNT, "killed in the middle"

    async with program.serving():
        await until(lambda: len(receiver.calls) >= COUNT and len(jobs(receiver)) == COUNT, within_s=90)
        await until(lambda: all_delivered(program))


async def test_on_postgresql_with_rabbitmq(
    program: Program, receiver: Receiver, postgres_url: str, rabbit_url: str
) -> None:
    program.settings |= {"DATABASE_URL": postgres_url, "BUS_URL": rabbit_url}
    assert (await program.run("migrate")).code == 0
    async with program.serving() as service:
        made = await program.bootstrap()
        await program.register(receiver.url)
        publishing = asyncio.create_task(
            program.run("publish", "-", "--json", "--account", made["account_id"], stdin=EVENTS)
        )
        await until(lambda: len(receiver.calls) > COUNT // 4, within_s=60)
        await service.end(signal.SIGKILL)
        assert len(jobs(receiver)) < COUNT, "killed in the middle"

    assert (await publishing).json["accepted"] == COUNT
    async with program.serving():
        await until(lambda: len(receiver.calls) >= COUNT and len(jobs(receiver)) == COUNT, within_s=90)
        await until(lambda: all_delivered(program))
