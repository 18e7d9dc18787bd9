"""`hookline replay`: the real program, a real service, a receiver that was broken and is mended."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from service.client import Api, open_api
from tests.support.polling import until
from tests.support.program import Program
from tests.support.receiver import Receiver
from tests.support.samples import envelope


@pytest.fixture
async def program(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Program]:
    """A service with three deliveries that have failed; its receiver works again."""
    program = Program(tmp_path, {"ATTEMPT_TIMEOUT": "60"})
    async with program.serving():
        await program.bootstrap()
        await program.register(receiver.url, retry_schedule=[])
        receiver.answers(500)
        async with called(program) as api:
            for number in range(3):
                await api.post("/api/events", envelope(job_id=f"ann_{number}"))
            await until(lambda: are_failed(api, 3), within_s=60)
        receiver.calls.clear()
        receiver.answers(200)
        yield program


def called(program: Program) -> AbstractAsyncContextManager[Api]:
    """The service, without a process for every question."""
    return open_api(program.settings["URL"], program.settings["API_KEY"])


async def are_failed(api: Api, count: int) -> bool:
    return len((await api.get("/api/deliveries", status="failed"))["items"]) == count


def words(text: str) -> Sequence[Sequence[str]]:
    return [line.split() for line in text.splitlines()]


async def test_what_failed_is_counted_then_sent_and_shown_on_the_way(program: Program, receiver: Receiver) -> None:
    counted = await program.run("replay", "--status", "failed", "--dry-run")
    shown = words(counted.out)
    assert shown[0] == ["3", "deliveries", "match"]
    assert (shown[1], shown[2]) == (["MATCHED", "LAST", "ERROR"], ["3", "http_5xx"])
    assert shown[3] == ["MATCHED", "ACTIVE", "WEBHOOK", "URL"]
    assert (shown[4][0], shown[4][1], shown[4][3]) == ("3", "yes", receiver.url)
    assert receiver.calls == []

    one = await program.run("replay", "--status", "failed", "--job-id", "ann_1", "--json")
    assert (one.json["state"], one.json["delivered"], one.json["skipped"]["in_progress"]) == ("finished", 1, 0)
    assert one.err == ""

    others = await program.run("replay", "--error-class", "http_5xx")
    assert (others.code, others.err) == (0, "")
    lines = others.out.splitlines()
    assert lines[0].startswith("rpl_")
    assert lines[0].endswith(": 2 deliveries match")
    assert lines[-1] == "finished: 2 of 2 sent, 2 delivered, 0 failed"
    assert len(receiver.calls) == 3


async def test_what_is_passed_over_is_told_with_its_reason(program: Program, receiver: Receiver) -> None:
    receiver.door.clear()
    async with called(program) as api:
        for delivery in (await api.get("/api/deliveries"))["items"]:
            await api.post(f"/api/deliveries/{delivery['id']}/retry")
    await until(lambda: len(receiver.calls) == 3, within_s=60)
    done = await program.run("replay", "--error-class", "http_5xx")
    assert done.out.splitlines()[-2:] == [
        "finished: 0 of 3 sent, 0 delivered, 0 failed",
        "skipped 3: sent or due at that moment anyway",
    ]


async def test_ctrl_c_leaves_it_running_and_says_how_to_stop_it(program: Program, receiver: Receiver) -> None:
    receiver.door.clear()
    async with program.running("replay", "--status", "failed") as running:
        await until(lambda: bool(receiver.calls), within_s=60)
        assert await running.end(signal.SIGINT) == 0
        replay_id = running.out.partition(":")[0]
        assert running.err.splitlines() == [
            f"{replay_id} goes on in the service",
            f"`hookline replay --watch {replay_id}` shows how far it is, --stop instead stops it",
        ]
    stopped = await program.run("replay", "--stop", replay_id)
    assert stopped.out == f"Stopped {replay_id}: 0 of 3 sent, 0 delivered, 0 failed\n"
    receiver.door.set()
    watched = await program.run("replay", "--watch", replay_id)
    assert watched.out.splitlines()[-1] == "stopped: 3 of 3 sent, 3 delivered, 0 failed"
    again = await program.run("replay", "--stop", replay_id)
    assert (again.code, again.err) == (1, "Error: The replay has already ended: stopped\n")


async def test_a_replay_of_nothing_in_particular_is_wrong_usage(tmp_path: Path) -> None:
    refused = await Program(tmp_path).run("replay", API_KEY="tmk_any")
    assert refused.code == 2
    assert "Say which deliveries: --status failed is usual" in refused.err
