"""How much memory a replay needs, and how long it takes: as measured at every tenth of it, in one process of ours.

What failed is written straight into the tables of a private PostgreSQL; the receiver is a process of its own. Prints
what it measured.

    python -m tests.benchmarks.replay [--deliveries N]
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from sqlalchemy import text

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.deeds import By
from delivery.domain.envelope import write_json
from delivery.store.engine import open_store
from delivery.store.log import DeliveryFilter
from delivery.store.reach import Reach
from service.observability import set_up_logging
from service.runtime import Runtime, open_runtime
from service.schema import migrate
from tests.benchmarks.rows import numbered_id, write
from tests.benchmarks.throughput import receiving, register, settings_for
from tests.servers.postgresql import PostgreSQL

_ENDPOINTS = 20
_BY = By("benchmark", "benchmark")

_EVENT, _DELIVERY = numbered_id("evt", "now()"), numbered_id("dlv", "now()")

_WRITES = (
    f"""insert into events (id, account_id, type, timestamp, accepted_at, identity, job_id, body, passed_over)
        select {_EVENT}, 'acc_' || n % {_ENDPOINTS}, 'annotation.completed', now(), now(), 'bench ' || n,
               'job_' || n, cast(:body as bytea), '[]' from generate_series(1, :count) as n""",
    f"""insert into deliveries (id, account_id, event_id, event_type, endpoint_id, job_id, standing, attempts_made,
                                retries_used, last_response_status, last_error, created_at, finished_at)
        select {_DELIVERY}, e.account_id, {_EVENT}, 'annotation.completed', e.id, 'job_' || n, 'failed', 6, 6, 503,
               'http_5xx', now(), now()
        from generate_series(1, :count) as n join endpoints as e on e.account_id = 'acc_' || n % {_ENDPOINTS}""",
)


def memory_mb() -> float:
    """What this process holds in memory now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def replayed(runtime: Runtime) -> tuple[float, Sequence[float]]:
    """Send it all again; return the seconds that it took and the memory at every tenth, in MB."""
    held = [memory_mb()]
    started = time.perf_counter()
    replay, found = await runtime.replays.start(Reach(None), DeliveryFilter(status="failed"), by=_BY)
    while replay.state == "running":
        await asyncio.sleep(0.2)
        async with runtime.store.reading() as tx:
            done = await tx.execute(text("select sum(delivered), min(state) from replay_parts, replays"))
            delivered, state = done.one()
        if delivered >= found.matched * len(held) / 10:
            held.append(memory_mb())
        if state == "finished":
            break
    return time.perf_counter() - started, held


async def run(count: int) -> None:
    postgres = PostgreSQL(durable=True)
    try:
        await asyncio.to_thread(postgres.start)
        settings = settings_for(postgres.url(await postgres.create_database()), "memory://")
        set_up_logging(settings)
        store = open_store(settings.database_url)
        await migrate(store)
        await store.close()
        with receiving() as receiver:
            async with open_runtime(settings) as runtime:
                await register(runtime, receiver, _ENDPOINTS)
                body = write_json(PUBLISHED["annotation.completed"].example)
                await write(settings.database_url, _WRITES, body=body, count=count)
                took, held = await replayed(runtime)
                sent = receiver.count()
    finally:
        postgres.close()
    print(f"{count:,} failed deliveries to {_ENDPOINTS} endpoints, one process: {sent:,} requests in {took:,.0f} s")
    print(f"  {count / took:,.0f} deliveries/s")
    print(f"  memory at every tenth, MB: {' '.join(f'{size:.0f}' for size in held)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=100_000)
    uvloop.run(run(parser.parse_args().deliveries))


if __name__ == "__main__":
    main()
