"""The demonstration: what it shows, how it ends, and that it keeps to itself."""

import signal
from pathlib import Path

import pytest

from delivery.domain.catalogue import PUBLISHED
from service.client import open_api
from tests.support.polling import until
from tests.support.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


async def test_once_delivers_each_type_to_both_receivers_and_ends_well(program: Program) -> None:
    done = await program.run("demo", "--once")

    assert done.code == 0, done.out + done.err
    rows = [line.split() for line in done.out.splitlines() if "verified" in line and line[0].isdigit()]
    steady = [row for row in rows if row[2] == "steady"]
    recovering = [row for row in rows if row[2] == "recovering"]
    assert sorted(row[1] for row in steady) == sorted(PUBLISHED)
    assert all(row[3:5] == ["1", "204"] and row[-1] == "delivered" for row in steady)
    # one refused attempt and a good one for each type
    assert sorted((row[1], row[4]) for row in recovering) == sorted(
        (name, answer) for name in PUBLISHED for answer in ("503", "204")
    )
    assert done.err == ""


async def test_settings_of_the_environment_do_not_touch_it(program: Program) -> None:
    program.settings = {"DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/none", "RETRY_SCHEDULE": "1000"}

    assert (await program.run("demo", "--once")).code == 0


async def test_without_once_it_stays_up_until_it_is_asked_to_stop(program: Program) -> None:
    async with program.running("demo") as demo:
        await until(lambda: demo.out.count("delivered") >= len(PUBLISHED))
        # the promised minute, as anywhere else
        await until(lambda: demo.out.count("retry in 6") == len(PUBLISHED))
        url = demo.out.partition("Dashboard")[2].split()[0].removesuffix("/")
        email, password = demo.out.partition("Login")[2].split()[:2]
        async with open_api(url) as api:
            session = await api.post("/api/auth/login", {"email": email, "password": password})
        assert session["user"]["email"] == email

        assert await demo.end(signal.SIGINT) == 0
        assert demo.err == ""


async def test_a_taken_port_is_told_in_one_line(program: Program) -> None:
    async with program.running("demo") as first:
        await until(lambda: "Dashboard" in first.out, within_s=30)
        port = first.out.partition("http://127.0.0.1:")[2].partition("/")[0]
        done = await program.run("demo", "--once", "--port", port)
    assert done.code == 1
    assert done.err.splitlines() == [f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use"]
