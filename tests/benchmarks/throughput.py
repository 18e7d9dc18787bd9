"""Deliveries per second, end to end: RabbitMQ → PostgreSQL → HTTP → PostgreSQL, in one process of ours.

Beside it, in the same run, the bare HTTP client making the same requests to the same receiver: the machine's own
measure. Servers are private, PostgreSQL flushes to disk as in service. Prints what it measured.

    python -m tests.benchmarks.throughput [--events N] [--accounts N]
"""

import argparse
import asyncio
import base64
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network

import aiohttp
import uvloop
from sqlalchemy import func, select

from consumers.wire import publication
from delivery.domain.catalogue import PUBLISHED
from delivery.domain.deeds import COMMAND_LINE
from delivery.domain.envelope import write_json
from delivery.domain.model import AccountId
from delivery.registry import Wishes
from delivery.store import accounts
from delivery.store.engine import open_store
from delivery.store.tables import deliveries
from service.observability import set_up_logging
from service.runtime import Runtime, open_runtime
from service.schema import migrate
from service.settings import Settings
from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ

_PARALLEL = 256
_WINDOW = 1000


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def count(self) -> int:
        """How many requests it has answered."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def receiving() -> Iterator[Receiver]:
    command = [sys.executable, "-m", "tests.benchmarks.receiver"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Receiver(process, int(process.stdout.readline()))
        process.kill()


async def bare_client(url: str, count: int) -> float:
    """POST the same body with the bare client; return requests per second."""
    body = write_json(PUBLISHED["annotation.completed"].example)
    left = iter(range(count))

    async def post(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()

    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(post(session) for _ in range(_PARALLEL)))
    return count / (time.perf_counter() - started)


def settings_for(database: str, bus: str) -> Settings:
    return Settings(
        database_url=database,
        bus_url=bus,
        master_keys="k1:" + base64.b64encode(bytes(32)).decode(),
        jwt_secret="x" * 32,
        allowed_networks=(ip_network("127.0.0.0/8"),),
        require_https=False,
        log_level="warning",
    )


async def register(runtime: Runtime, receiver: Receiver, number: int) -> list[AccountId]:
    """Accounts with an endpoint each."""
    names = [AccountId(f"acc_{index}") for index in range(number)]
    for name in names:
        async with runtime.store.writing() as tx:
            await accounts.add_account(tx, accounts.Account(name, "enterprise", None, datetime.now(UTC)))
        wishes = Wishes(url=f"http://127.0.0.1:{receiver.port}/{name}", events=["*"])
        await runtime.registry.register(name, wishes, None, by=COMMAND_LINE)
    return names


async def publish(runtime: Runtime, names: list[AccountId], count: int) -> None:
    """Fill the queue: ``count`` annotations, spread over the accounts."""
    example = dict(PUBLISHED["annotation.completed"].example)
    for start in range(0, count, _WINDOW):
        messages = [
            publication(example | {"data": example["data"] | {"job_id": f"ann_{index}"}}, names[index % len(names)])
            for index in range(start, min(start + _WINDOW, count))
        ]
        await asyncio.gather(*(runtime.bus.publish(message) for message in messages))


async def delivered(runtime: Runtime) -> int:
    query = select(func.count()).where(deliveries.c.standing == "delivered")
    async with runtime.store.reading() as tx:
        count: int = (await tx.execute(query)).scalar_one()
        return count


@asynccontextmanager
async def prepared(settings: Settings, receiver: Receiver, *, number: int, count: int) -> AsyncIterator[None]:
    """A database with accounts and endpoints, and a broker with everything published and nothing consumed."""
    store = open_store(settings.database_url)
    await migrate(store)
    await store.close()
    async with open_runtime(settings, ["api"], ticks=False) as runtime:
        names = await register(runtime, receiver, number)
        await publish(runtime, names, count)
    yield


async def pipeline(settings: Settings, receiver: Receiver, count: int) -> tuple[float, float]:
    """Deliver everything; return deliveries per second and our CPU seconds per delivery."""
    before = receiver.count()
    cpu, started = time.process_time(), time.perf_counter()
    async with open_runtime(settings, ["worker"]) as runtime:
        while receiver.count() - before < count or await delivered(runtime) < count:
            await asyncio.sleep(0.05)
        took = time.perf_counter() - started
    return count / took, (time.process_time() - cpu) / count


async def run(count: int, number: int) -> None:
    postgres, rabbitmq = PostgreSQL(durable=True), RabbitMQ()
    try:
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(rabbitmq.start))
        settings = settings_for(postgres.url(await postgres.create_database()), rabbitmq.url(rabbitmq.create_vhost()))
        set_up_logging(settings)
        with receiving() as receiver:
            await bare_client(f"http://127.0.0.1:{receiver.port}/", 500)
            bare = await bare_client(f"http://127.0.0.1:{receiver.port}/", count)
            async with prepared(settings, receiver, number=number, count=count):
                rate, cpu = await pipeline(settings, receiver, count)
            bare_after = await bare_client(f"http://127.0.0.1:{receiver.port}/", count)
    finally:
        rabbitmq.close()
        postgres.close()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    baseline = (bare + bare_after) / 2
    print(f"{count:,} events, {number} accounts with an endpoint each, {os.cpu_count()} cores, one process")
    print(f"  end to end        {rate:8,.0f} deliveries/s   {cpu * 1e6:6,.0f} µs of our CPU each")
    print(f"  bare HTTP client  {baseline:8,.0f} requests/s     (before {bare:,.0f}, after {bare_after:,.0f})")
    print(f"  share             {rate / baseline:8.0%}")
    print(f"  peak memory       {peak_mb:8,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=20)
    options = parser.parse_args()
    uvloop.run(run(options.events, options.accounts))


if __name__ == "__main__":
    main()
