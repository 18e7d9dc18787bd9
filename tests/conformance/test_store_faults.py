"""What the store promises about trouble: which errors are the data's fault, which the database's, and what comes after.

The difference decides everything: what is the data's fault is set aside, what is the database's is tried again.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from delivery.domain.model import AccountId
from delivery.store import accounts, deliveries, endpoints, events, tables
from delivery.store.engine import Store, is_database_fault, is_poison, listed
from delivery.store.reach import EVERYONE
from service.schema import migrate
from tests.conformance.rows import delivery_in, endpoint_in, events_in
from tests.servers.postgresql import PostgreSQL
from tests.support.clock import NOON
from tests.support.samples import an_endpoint, an_event
from tests.support.stores import ACCOUNT, opened

# --- lists of any length ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 5000])
async def test_a_list_of_any_length_is_one_parameter(store: Store, count: int) -> None:
    wanted = [f"{n} '\"\\ü{{}}" for n in range(count)]
    async with store.reading() as tx:
        assert sorted((await tx.execute(listed(tx, wanted))).scalars()) == sorted(wanted)
        count_inside = select(func.count()).where(tables.accounts.c.id.in_(listed(tx, [*wanted, ACCOUNT])))
        count_outside = select(func.count()).where(tables.accounts.c.id.not_in(listed(tx, wanted)))
        assert ((await tx.execute(count_inside)).scalar_one(), (await tx.execute(count_outside)).scalar_one()) == (1, 2)


async def test_five_thousand_deliveries_can_be_asked_about_at_once(store: Store) -> None:
    parcel = await delivery_in(store, await endpoint_in(store))
    others = [parcel.delivery_id.replace("dlv", f"no{n}") for n in range(5000)]
    async with store.reading() as tx:
        found = await deliveries.clearances(tx, [*others, parcel.delivery_id])  # type: ignore[list-item] # no ids of ours
    assert list(found) == [parcel.delivery_id]


# --- the data's fault -------------------------------------------------------------------------------------------------


async def error_of(store: Store, *statements: object) -> BaseException | None:
    """What a transaction with these statements fails with."""
    try:
        async with store.writing() as tx:
            for statement in statements:
                await tx.execute(statement)  # type: ignore[call-overload] # whatever the case wants
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return error
    return None


def account(**changes: object) -> object:
    values = {"id": "acc_9", "plan": "free", "monthly_events": None, "created_at": NOON}
    return insert(tables.accounts).values(values | changes)


async def test_what_can_never_be_stored_is_poison(store: Store) -> None:
    always = {
        "the same key twice": (account(), account()),
        "nothing where something must be": (account(plan=None),),
        "a row of a parent that is not there": (
            insert(tables.endpoints).values(**endpoints._row(an_endpoint(account_id=AccountId("acc_no")))),
        ),
        "half of a surrogate pair": (account(plan="\ud800"),),
        "a number that fits in no column": (account(monthly_events=2**70),),
        "no moment at all": (account(created_at="yesterday"),),
    }
    only_where_types_are_strict = {
        "a NUL character": (account(plan="a\0b"),),
        "more characters than the column has": (account(plan="x" * 1000),),
        "a number that is too large for its column": (account(monthly_events=2**40),),
    }
    cases = always if store.dialect == "sqlite" else always | only_where_types_are_strict
    for what, statements in cases.items():
        error = await error_of(store, *statements)
        assert error is not None, what
        assert is_poison(error), f"{what}: {error!r}"
        assert not is_database_fault(error), what


@pytest.mark.parametrize("error", [ValueError("a bug of ours"), KeyError("acc_1"), asyncio.CancelledError()])
def test_what_did_not_come_from_the_database_is_neither_its_fault_nor_poison(error: BaseException) -> None:
    assert not is_poison(error)
    assert not is_database_fault(error)


async def test_a_failed_transaction_leaves_nothing_behind_and_the_next_one_works(store: Store) -> None:
    assert is_poison(await error_of(store, account(), account()) or ValueError())
    async with store.writing() as tx:
        assert await accounts.find_account(tx, "acc_9") is None
    assert await error_of(store, account()) is None


# --- the database's fault ---------------------------------------------------------------------------------------------


async def fault_of(store: Store) -> BaseException:
    error = await error_of(store, text("SELECT 1"))
    assert error is not None
    assert is_database_fault(error), repr(error)
    assert not is_poison(error)
    return error


async def test_a_file_that_somebody_else_keeps_locked_is_no_poison(sqlite_url: str) -> None:
    impatient = Store(create_async_engine(sqlite_url, connect_args={"timeout": 0}))
    async with opened(sqlite_url) as holder, holder.writing() as tx:
        await tx.execute(text("CREATE TABLE held (id)"))
        error = await error_of(impatient, text("CREATE TABLE wanted (id)"))
        assert error is not None
        assert is_database_fault(error)
    assert await error_of(impatient, text("CREATE TABLE wanted (id)")) is None
    await impatient.close()


async def test_a_session_that_the_server_ends_is_no_poison_and_the_next_one_works(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        error = await error_of(store, text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert error is not None
        assert is_database_fault(error)
        assert await error_of(store, text("SELECT 1")) is None


async def test_a_deadlock_and_a_statement_that_took_too_long_are_no_poison(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        slow = await error_of(store, text("SET LOCAL statement_timeout = 1"), text("SELECT pg_sleep(9)"))
        locked = text("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$")
        for error in (slow, await error_of(store, locked)):
            assert error is not None
            assert is_database_fault(error)


async def test_a_database_that_is_not_there_or_takes_nobody_is_no_poison(
    postgres: PostgreSQL, postgres_url: str
) -> None:
    async with opened(postgres.url("no_such_database")) as store:
        await fault_of(store)
    name = postgres_url.rpartition("/")[2]
    await postgres.administer(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    async with opened(postgres_url) as store:
        await fault_of(store)


@pytest.fixture
async def own_server() -> AsyncIterator[PostgreSQL]:
    """A server that the test may stop."""
    server = PostgreSQL()
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.close)


async def test_a_server_that_went_away_is_no_poison_and_is_used_again_when_it_is_back(own_server: PostgreSQL) -> None:
    async with opened(own_server.url("postgres")) as store:
        await migrate(store)
        async with store.writing() as tx:
            await accounts.add_account(tx, accounts.Account(ACCOUNT, "free", None, NOON))
        await keep_several_connections(store)
        await asyncio.to_thread(own_server.stop)
        for _ in range(3):
            await fault_of(store)
        coming_up = asyncio.create_task(asyncio.to_thread(own_server.start))
        while not coming_up.done():  # refused at first, then "the database system is starting up"
            error = await error_of(store, text("SELECT 1"))
            assert error is None or is_database_fault(error), repr(error)
            await asyncio.sleep(0.01)
        await coming_up
        event = an_event()
        assert await until_it_works(store, event.id) is None
        assert await events_in(store, event) == {event.id}


async def keep_several_connections(store: Store) -> None:
    async def look() -> None:
        async with store.reading() as tx:
            await tx.execute(text("SELECT pg_sleep(0.05)"))

    await asyncio.gather(*(look() for _ in range(4)))


async def until_it_works(store: Store, event_id: str) -> object:
    """Read as long as what fails is the database's fault: connections that died with the server are still there."""
    while True:
        try:
            async with store.reading() as tx:
                return await events.find(tx, EVERYONE, event_id)
        except Exception as error:
            if not is_database_fault(error):
                raise


async def test_a_transaction_that_nobody_ends_gives_its_locks_back_by_itself(postgres_url: str) -> None:
    async with opened(postgres_url) as store, store.reading() as tx:
        shown = await tx.execute(
            text("SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'")
        )
        assert 0 < int(shown.scalar_one()) <= 60_000
