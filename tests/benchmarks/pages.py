"""How long the service takes to make a page when a month of deliveries lies in PostgreSQL.

The month is written straight into the tables; the service is a process of its own, the pages are asked for as the
browsers of a customer and of an operator do, one after the other, and timed from the request to the last byte. Beside
it, in the same run, ``/healthz``, which asks nobody: the machine's own measure. Prints what it measured.

    python -m tests.benchmarks.pages [--deliveries N]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import uvloop

from delivery.domain.catalogue import PUBLISHED
from delivery.domain.envelope import write_json
from delivery.domain.tally import COUNTS
from delivery.store.engine import open_store
from service.schema import migrate
from tests.benchmarks.rows import numbered_id, write
from tests.servers.postgresql import PostgreSQL
from tests.support.program import EMAIL, PASSWORD, Program

_OPERATOR = "operator@example.com"
_OURS = {"Sec-Fetch-Site": "same-origin"}
_TIMES = 30

#: Every second delivery is the customer's; the others are spread over some more accounts.
_ACCOUNTS = 20
_ENDPOINTS = 200

_PAGES = (
    "/healthz",
    "/",
    "/?period=day",
    "/?period=month",
    "/deliveries",
    "/deliveries?status=failed",
    "/deliveries?status=pending",
    "/deliveries?response_status=503",
    "/deliveries?q=job_77777",
    "/events",
    "/webhooks",
)

_MONTH = f"""
create temporary table month as
select n, at, {numbered_id("evt", "at")} as event,
       {numbered_id("dlv", "at")} as delivery, {numbered_id("att", "at")} as attempt,
       case when n % 2 = 0 then :customer else 'acc_' || n % {_ACCOUNTS} end as account,
       'wh_' || case when n % 2 = 0 then n % 60 else 60 + n % {_ENDPOINTS - 60} end as endpoint,
       (array['annotation.completed', 'batch.completed', 'review.submitted'])[1 + n % 3] as type,
       case when n % 50 = 0 then 'failed' when at > now() - interval '90 minutes' and n % 20 = 0 then 'pending'
            else 'delivered' end as standing
from (select n, now() - interval '30 days' * (1 - n::float / :count) as at
      from generate_series(1, :count) as n) as numbers
"""

_WRITES = (
    "insert into accounts select 'acc_' || n, 'pro', null, now() from generate_series(0, :accounts) as n",
    """insert into endpoints (id, account_id, kind, url, description, events, headers, secrets, active, failures,
                              version, created_at, updated_at)
       select distinct on (endpoint) endpoint, account, 'webhook', 'https://' || endpoint || '.example.com/hook', '',
              '["*"]', '{}', '[]', true, 0, 1, now(), now() from month""",
    """insert into events (id, account_id, type, timestamp, accepted_at, identity, job_id, body, passed_over)
       select event, account, type, at, at, event, 'job_' || n, body, '[]'
       from month, (select cast(:body as bytea) as body) as sample""",
    """insert into deliveries (id, account_id, event_id, event_type, endpoint_id, job_id, standing, attempts_made,
                               retries_used, next_attempt_at, wake_at, last_response_status, last_error, created_at,
                               finished_at)
       select delivery, account, event, type, endpoint, 'job_' || n, standing,
              case standing when 'failed' then 6 else 1 end, case standing when 'failed' then 6 else 1 end,
              case standing when 'pending' then now() + interval '1 day' end,
              case standing when 'pending' then now() + interval '1 day' end,
              case standing when 'delivered' then 200 else 503 end,
              case standing when 'delivered' then null else 'http_5xx' end, at,
              case standing when 'pending' then null else at end from month""",
    """insert into attempts (id, delivery_id, account_id, number, trigger, started_at, url, request_headers,
                             response_status, response_headers, response_body, truncated, total_ms)
       select attempt, delivery, account, 1, 'first', at, 'https://example.com/hook', '{}',
              case standing when 'delivered' then 200 else 503 end, '{}', '', false, 12 from month""",
    *(
        f"""insert into rollups (account_id, grain, at, endpoint_id, event_type, {", ".join(COUNTS)})
            select account, '{grain}', date_trunc('{grain}', at, 'UTC'), endpoint, type,
                   {", ".join("count(*)" if name in ("attempts", "delivered") else "0" for name in COUNTS)}
            from month where at > now() - interval '{kept}' group by 1, 3, 4, 5"""
        for grain, kept in (("minute", "2 days"), ("hour", "30 days"), ("day", "30 days"))
    ),
    "analyze",
)


async def fill(database: str, customer: str, count: int) -> None:
    """Write a month of deliveries."""
    body = write_json(PUBLISHED["annotation.completed"].example)
    statements = [_MONTH, *_WRITES]
    await write(database, statements, customer=customer, count=count, accounts=_ACCOUNTS, body=body)


async def timed(browser: aiohttp.ClientSession, path: str) -> Sequence[float]:
    """Ask for a page some times; return the milliseconds that each took."""
    took = []
    for _ in range(_TIMES + 1):
        started = time.perf_counter()
        async with browser.get(path, allow_redirects=False) as answer:
            await answer.read()
            assert answer.status == 200, f"{path}: {answer.status}"
        took.append((time.perf_counter() - started) * 1000)
    return took[1:]  # the first reads the template


async def look(url: str, email: str) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # the service has no name here, only an address
    async with aiohttp.ClientSession(url, cookie_jar=jar) as browser:
        async with browser.post("/sign-in", json={"email": email, "password": PASSWORD}, headers=_OURS) as answer:
            assert answer.status == 200, await answer.text()
        for path in _PAGES:
            took = await timed(browser, path)
            print(f"  {path:<36}{statistics.median(took):8.1f}{max(took):8.1f}")


async def run(count: int) -> None:
    postgres = PostgreSQL(durable=True)
    try:
        await asyncio.to_thread(postgres.start)
        database = postgres.url(await postgres.create_database())
        store = open_store(database)
        await migrate(store)
        await store.close()
        with tempfile.TemporaryDirectory() as folder:
            program = Program(Path(folder), {"DATABASE_URL": database, "LOG_LEVEL": "warning"})
            customer = (await program.bootstrap())["account_id"]
            operator = await program.run("bootstrap", "--email", _OPERATOR, "--password", PASSWORD, "--operator")
            assert operator.code == 0, operator.err
            started = time.perf_counter()
            await fill(database, customer, count)
            print(
                f"{count:,} deliveries with their events and attempts, written in {time.perf_counter() - started:.0f} s"
            )
            async with program.serving() as service:
                for who, email in (("a customer with half of them", EMAIL), ("an operator", _OPERATOR)):
                    print(f"{who:<38}{'median':>8}{'most':>8}   ms, of {_TIMES}")
                    await look(service.url, email)
    finally:
        postgres.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    uvloop.run(run(parser.parse_args().deliveries))


if __name__ == "__main__":
    main()
