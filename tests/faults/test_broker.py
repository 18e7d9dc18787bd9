"""RabbitMQ goes away, falls silent, and loses a queue."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import open_api
from tests.conformance.buses import channel_to
from tests.faults.house import APART, House, open_house
from tests.faults.load import Load
from tests.faults.reckoning import reckon
from tests.faults.table import enter, fault
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.support.polling import until
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

WORKERS = ("worker 1", "worker 2")


@pytest.fixture
def own_broker() -> Iterator[RabbitMQ]:
    """A broker that the test may stop."""
    broker = RabbitMQ()
    broker.start()
    yield broker
    broker.close()


@fault("RabbitMQ stopped and started")
async def test_a_broker_that_stops_and_starts_again_costs_nothing(
    tmp_path: Path, prepared_url: str, own_broker: RabbitMQ, request: pytest.FixtureRequest
) -> None:
    bus_url = own_broker.url(await asyncio.to_thread(own_broker.create_vhost))
    async with open_house(tmp_path, APART, DATABASE_URL=prepared_url, BUS_URL=bus_url) as house:
        async with house.loaded(bus_url) as load:
            await asyncio.to_thread(own_broker.stop)
            for worker in WORKERS:
                await house.until_it_says(worker, "the connection was lost", "no connection to the broker")
            await asyncio.to_thread(own_broker.start)
            await house.until_all_are_ready()
            await load.goes_on()
        enter(request, await reckon(house, load))


@fault("connection to RabbitMQ half-open")
async def test_a_connection_that_falls_silent_is_noticed_and_opened_anew(
    tmp_path: Path, prepared_url: str, rabbitmq: RabbitMQ, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    async with Proxy(rabbitmq.port).running() as way:
        bus_url = rabbit_url.replace(f":{rabbitmq.port}/", f":{way.port}/") + "?heartbeat=2"
        async with open_house(tmp_path, APART, DATABASE_URL=prepared_url, BUS_URL=bus_url) as house:
            async with house.loaded(rabbit_url) as load:
                way.target = free_port()
                way.forsake()
                for worker in WORKERS:
                    await house.until_it_says(worker, "the connection was lost", "no connection to the broker")
                way.target = rabbitmq.port
                await house.until_all_are_ready()
                await load.goes_on()
            enter(request, await reckon(house, load))


@fault("queue deleted under the consumers")
async def test_a_queue_that_is_deleted_is_there_again_and_what_missed_it_is_in_the_dead_letters(
    house: House, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    receiver = house.receivers[0]  # wants everything
    async with house.loaded(rabbit_url) as load:
        # what lies in a queue goes with it, and a broker confirms what nobody has taken out yet
        await until(lambda: load.at_rest and len(receiver.calls) >= len(load.accepted), within_s=60)
        async with channel_to(rabbit_url) as channel:
            await channel.queue_delete("hookline.annotation")
        await load.goes_on(200)
    await requeue_all(house, load)
    enter(request, await reckon(house, load))
    await house.until_all_are_ready()


async def requeue_all(house: House, load: Load) -> None:
    """Publish again what lies in the dead letters, until everything has come."""
    operator = await house.program.bootstrap("--operator")
    receiver = house.receivers[0]

    async def none_is_left() -> bool:
        async with open_api(house.api.url, operator["api_key"]) as api:
            letters = (await api.get("/api/dead-letters", limit=100))["items"]
            for letter in letters:
                await api.post(f"/api/dead-letters/{letter['id']}/requeue")
        return not letters and len(receiver.calls) >= len(load.accepted)

    await until(none_is_left, within_s=60, every_s=0.5)
