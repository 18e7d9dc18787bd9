"""Processes that are killed, one role after the other, and one that is asked to stop."""

import time
from pathlib import Path

import pytest

from delivery.places import Limits
from tests.faults.house import TOGETHER, House, open_house
from tests.faults.reckoning import Reckoning, reckon
from tests.faults.table import EMBEDDED, enter, fault
from tests.servers.postgresql import PostgreSQL
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

#: As many as one process holds for two endpoints, between the start of a request and the commit of its log entry.
MOST_ON_THEIR_WAY = 2 * Limits().places_per_lane

#: A grace period, and what a slow machine may need beyond it for an end that has five seconds for its last steps.
GRACE_S, LITTLE_S = 2, 10


async def killed(house: House, bus_url: str | None, name: str) -> Reckoning:
    """Kill a process under load, with requests on their way, and start it again."""
    async with house.loaded(bus_url) as load:
        async with house.hanging():
            await house.kill(name)
        await house.start(name)
        await load.goes_on()
    came_out = await reckon(house, load, in_flight=MOST_ON_THEIR_WAY)
    await house.until_all_are_ready()
    return came_out


@fault("API process killed (kill -9)")
async def test_a_killed_api_process_costs_nothing_that_was_accepted(
    house: House, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    enter(request, await killed(house, rabbit_url, "api"))


@fault("worker killed (kill -9)")
async def test_a_killed_worker_costs_nothing_that_was_accepted(
    house: House, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    enter(request, await killed(house, rabbit_url, "worker 1"))


@fault("scheduler killed (kill -9)")
async def test_a_killed_scheduler_costs_nothing_that_was_accepted(
    house: House, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    came_out = await killed(house, rabbit_url, "scheduler")
    assert came_out.repeated == 0
    enter(request, came_out)


@fault("the only process killed (kill -9)")
async def test_the_only_process_killed_costs_nothing_that_was_accepted(
    tmp_path: Path, prepared_url: str, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    async with open_house(tmp_path, TOGETHER, DATABASE_URL=prepared_url, BUS_URL=rabbit_url) as house:
        enter(request, await killed(house, rabbit_url, "api"))


@fault("the only process killed (kill -9)", EMBEDDED)
async def test_the_embedded_service_killed_costs_nothing_that_was_accepted(
    tmp_path: Path, sqlite_url: str, request: pytest.FixtureRequest
) -> None:
    async with open_house(tmp_path, TOGETHER, DATABASE_URL=sqlite_url) as house:
        enter(request, await killed(house, None, "api"))


@fault("API process and worker asked to stop (SIGTERM)")
async def test_who_is_asked_to_stop_leaves_nothing_behind_and_repeats_nothing(
    house: House, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    async with house.loaded(rabbit_url) as load:
        async with house.hanging():
            for name in ("worker 1", "api"):
                house.ask_to_stop(name)
        for name in ("worker 1", "api"):
            assert await house.until_stopped(name) == 0
            await house.start(name)
        await load.goes_on()
    came_out = await reckon(house, load)
    assert came_out.repeated == 0
    enter(request, came_out)


async def test_a_process_whose_database_says_nothing_ends_within_its_grace_period_all_the_same(
    tmp_path: Path, postgres: PostgreSQL, prepared_url: str, rabbit_url: str
) -> None:
    async with Proxy(postgres.port).running() as way:
        through = prepared_url.replace(f":{postgres.port}/", f":{way.port}/")
        opening = open_house(tmp_path, TOGETHER, DATABASE_URL=through, BUS_URL=rabbit_url, GRACE_PERIOD=str(GRACE_S))
        async with opening as house:
            async with house.loaded(rabbit_url) as load:
                async with house.hanging():
                    way.forsake()
                    house.ask_to_stop("api")
                    began = time.monotonic()
                    assert await house.until_stopped("api") == 0
                    assert time.monotonic() - began < GRACE_S + LITTLE_S, "one period for all, and not one for each"
                await house.start("api")
                await load.goes_on()
            await reckon(house, load, in_flight=MOST_ON_THEIR_WAY)
