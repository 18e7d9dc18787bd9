"""A master key is changed while the service runs: no delivery fails, no signature is wrong, the old key can go."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from service.client import Api, open_api
from tests.support.polling import until
from tests.support.program import Program
from tests.support.receiver import Receiver, receiving, verifies
from tests.support.samples import envelope
from tests.support.stores import prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

K1, K2 = (f"{name}:{base64.b64encode(name.encode() * 16).decode()}" for name in ("k1", "k2"))
WEBHOOKS = 6


@pytest.fixture(params=["sqlite", "postgresql"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The command line, on each database, with the first master key."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    asyncio.run(prepare(url))
    return Program(tmp_path, {"DATABASE_URL": url, "MASTER_KEYS": K1})


@pytest.fixture
async def receivers() -> AsyncIterator[Sequence[Receiver]]:
    """A receiver for each webhook."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(receiving()) for _ in range(WEBHOOKS)]


def secret_of(number: int) -> str:
    return f"a-signing-secret-{number}"


def processes(program: Program) -> Sequence[str]:
    return ("--processes", "2") if program.settings["DATABASE_URL"].startswith("postgresql") else ()


async def publish_until(done: asyncio.Event, api: Api) -> int:
    """Publish, a few events at a time, until it is done; say how many."""
    count = 0
    while not done.is_set():
        events = [envelope(job_id=f"ann_{count + number}") for number in range(3)]
        await api.post("/api/events/batch", {"events": events})
        count += len(events)
    return count


async def all_delivered(api: Api, count: int) -> bool:
    return len(await every(api, status="delivered")) == count


async def every(api: Api, **which: Any) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = await api.get("/api/deliveries", limit=100, cursor=cursor, **which)
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


async def test_the_master_key_changes_under_load_without_a_failed_delivery_or_a_wrong_signature(
    program: Program, receivers: Sequence[Receiver]
) -> None:
    async with program.serving(*processes(program)):
        await program.bootstrap()
        for number, receiver in enumerate(receivers):
            await program.register(receiver.url, secret_of(number))

    async with (
        program.serving(*processes(program), MASTER_KEYS=f"{K2},{K1}") as service,
        open_api(service.url, program.settings["API_KEY"]) as api,
    ):
        done = asyncio.Event()
        load = asyncio.create_task(publish_until(done, api))
        await until(lambda: all(receiver.calls for receiver in receivers), within_s=60)
        rotated = await program.run("secrets", "rotate", "--json", MASTER_KEYS=f"{K2},{K1}")
        seen = [len(receiver.calls) for receiver in receivers]
        await until(lambda: all(len(r.calls) > before for r, before in zip(receivers, seen, strict=True)), within_s=60)
        done.set()
        published = await load
        await until(lambda: all_delivered(api, published * WEBHOOKS), within_s=120)
        log = await every(api)
    assert rotated.json == {"key": "k2", "resealed": WEBHOOKS, "unreadable": [], "sealed_with": {"k2": WEBHOOKS}}
    assert {delivery["attempts_made"] for delivery in log} == {1}
    for number, receiver in enumerate(receivers):
        assert len(receiver.calls) == published
        assert all(verifies(call, secret_of(number)) for call in receiver.calls)

    async with program.serving(*processes(program), MASTER_KEYS=K2):
        before = len(receivers[0].calls)
        await program.run("trigger", "annotation.completed")
        await until(lambda: len(receivers[0].calls) == before + 1, within_s=30)
        assert verifies(receivers[0].calls[-1], secret_of(0))


async def finding(program: Program, keys: str) -> Any:
    found = await program.run("doctor", "--json", MASTER_KEYS=keys)
    [secrets] = [finding for finding in json.loads(found.out) if finding["subject"] == "secrets"]
    return secrets


async def test_doctor_says_what_is_sealed_with_which_key_and_whether_one_is_missing(
    program: Program, receivers: Sequence[Receiver]
) -> None:
    async with program.serving():
        await program.bootstrap()
        for number, receiver in enumerate(receivers[:3]):
            await program.register(receiver.url, secret_of(number))

    assert (await finding(program, K1))["level"] == "ok"
    older = await finding(program, f"{K2},{K1}")
    assert older["level"] == "warn"
    assert older["says"] == "sealed 3 with k1; the newest master key is k2"
    assert "hookline secrets rotate" in older["mend"]
    missing = await finding(program, K2)
    assert missing["level"] == "fail"
    assert "3 cannot be opened" in missing["says"]
    assert "k1" in missing["mend"]

    refused = await program.run("secrets", "rotate", MASTER_KEYS=K2)
    assert refused.code == 1
    assert "3 webhooks" in refused.err
    assert "keys missing: k1" in refused.err
    changed = await program.run("secrets", "rotate", MASTER_KEYS=f"{K2},{K1}")
    assert (changed.code, changed.out) == (0, "Sealed 3 secrets anew with k2\n")
    assert await finding(program, K2) == {
        "level": "ok",
        "subject": "secrets",
        "says": "sealed 3 with k2; the newest master key is k2",
        "mend": "",
    }
