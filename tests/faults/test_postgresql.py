"""PostgreSQL goes away, ends sessions, falls silent and moves, fills its disk, and cannot decide."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.faults.house import APART, House, open_house
from tests.faults.reckoning import reckon
from tests.faults.table import enter, fault
from tests.servers.postgresql import PostgreSQL
from tests.support.polling import until
from tests.support.proxy import Proxy
from tests.support.stores import prepare

pytestmark = pytest.mark.slow

#: Larger than any file of a new cluster, write-ahead log included, and no multiple of a page.
DISK_BYTES = 2 * 1024 * 1024 + 100

#: The first statements of each kind fail as those of transactions that got into each other's way.
CONFLICTS = 20
CONFLICT = f"""
CREATE SEQUENCE conflicts;
CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE number bigint := nextval('conflicts');
BEGIN
    IF number % 2 = 0 AND number <= {CONFLICTS} THEN RAISE SQLSTATE '40001'; END IF;
    IF number % 2 = 1 AND number <= {CONFLICTS} THEN RAISE SQLSTATE '40P01'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER conflict AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION conflict();
CREATE TRIGGER conflict AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION conflict();
"""


@pytest.fixture
def own_server() -> Iterator[PostgreSQL]:
    """A server that the test may stop; its files are small, so that there is little on its disk."""
    server = PostgreSQL(segment_mib=1)
    server.start()
    yield server
    server.close()


@asynccontextmanager
async def house_on(server: PostgreSQL, folder: Path, bus_url: str) -> AsyncIterator[House]:
    url = server.url(await server.create_database())
    await prepare(url)
    async with open_house(folder, APART, DATABASE_URL=url, BUS_URL=bus_url) as house:
        yield house


async def until_all_say(house: House, *words: str) -> None:
    for name in house.processes:
        await house.until_it_says(name, *words)


@fault("PostgreSQL killed and started")
async def test_a_database_that_is_killed_and_comes_back_costs_nothing(
    tmp_path: Path, own_server: PostgreSQL, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    async with house_on(own_server, tmp_path, rabbit_url) as house:
        async with house.loaded(rabbit_url) as load:
            await asyncio.to_thread(own_server.stop, hard=True)
            await until_all_say(house, "database does not answer")
            await until(lambda: bool(load.refusals), within_s=30)
            await asyncio.to_thread(own_server.start)
            await house.until_all_are_ready()
            await load.goes_on()
        assert {refusal.code for refusal in load.refusals} == {"unavailable"}
        enter(request, await reckon(house, load))


@fault("PostgreSQL sessions terminated")
async def test_sessions_that_the_server_ends_cost_nothing(
    house: House, postgres: PostgreSQL, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    name = house.program.settings["DATABASE_URL"].rpartition("/")[2]
    ending = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    async with house.loaded(rabbit_url) as load:
        for _ in range(3):
            assert (await postgres.administer(ending)) != "SELECT 0"
            await load.goes_on()
        await house.until_all_are_ready()
    enter(request, await reckon(house, load))


@fault("PostgreSQL silent, then at a new address")
async def test_a_database_that_falls_silent_and_moves_is_found_where_it_is_now(
    tmp_path: Path, own_server: PostgreSQL, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    url = own_server.url(await own_server.create_database())
    await prepare(url)
    async with Proxy(own_server.port).running() as way:
        through = url.replace(f":{own_server.port}/", f":{way.port}/")
        async with open_house(tmp_path, APART, DATABASE_URL=through, BUS_URL=rabbit_url) as house:
            async with house.loaded(rabbit_url) as load:
                way.forsake()
                await asyncio.to_thread(own_server.move)
                await until_all_say(house, "database does not answer")
                way.target = own_server.port
                await house.until_all_are_ready()
                await load.goes_on()
            enter(request, await reckon(house, load))


@fault("PostgreSQL disk full")
async def test_a_full_disk_refuses_what_comes_and_loses_nothing(
    tmp_path: Path, own_server: PostgreSQL, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    async with house_on(own_server, tmp_path, rabbit_url) as house:
        await asyncio.to_thread(own_server.let_files_grow, DISK_BYTES)
        async with house.loaded(rabbit_url, padding=secrets.token_hex(16_000)) as load:
            await until(lambda: bool(load.refusals), within_s=60)
            await house.until_it_says("api", "could not extend file")
            await house.until_it_says("worker 1", "could not extend file")
            await asyncio.to_thread(own_server.let_files_grow, None)
            await house.until_all_are_ready()
            await load.goes_on()
        assert {refusal.code for refusal in load.refusals} == {"unavailable"}
        enter(request, await reckon(house, load))


@fault("PostgreSQL serialization errors and deadlocks")
async def test_transactions_that_get_into_each_others_way_cost_nothing(
    house: House, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    async with house.loaded(rabbit_url) as load:
        database = await asyncpg.connect(house.program.settings["DATABASE_URL"].replace("+asyncpg", ""))
        await database.execute(CONFLICT)
        await load.goes_on()
        assert await database.fetchval("SELECT last_value FROM conflicts") > CONFLICTS
        await database.close()
        await house.until_all_are_ready()
    enter(request, await reckon(house, load))
