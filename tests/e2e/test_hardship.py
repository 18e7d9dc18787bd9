"""When the house is full, or the database is away: nothing that was accepted or sent is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select, text

from delivery.domain.model import AccountId
from delivery.places import Limits
from delivery.store import accounts
from delivery.store.engine import is_database_fault
from delivery.store.tables import deliveries
from service.schema import migrate
from tests.servers.postgresql import PostgreSQL
from tests.support.clock import NOON
from tests.support.polling import until
from tests.support.receiver import Receiver
from tests.support.samples import a_submission
from tests.support.stores import ACCOUNT, opened
from tests.support.world import World, another, working

# --- a full house -----------------------------------------------------------------------------------------------------


async def leased(world: World) -> int:
    async with world.store.reading() as tx:
        query = select(func.count()).select_from(deliveries).where(deliveries.c.lease.is_not(None))
        return int((await tx.execute(query)).scalar_one())


async def test_however_much_is_due_a_process_holds_no_more_than_its_places(world: World, receiver: Receiver) -> None:
    limits = Limits(parallel=32, per_endpoint=8)
    async with another(world, name="source", sending=False) as source:
        for number in range(10):
            await source.register(f"{receiver.url}?{number}")
        await source.publish(*(a_submission() for _ in range(500)))
    receiver.door.clear()

    async with another(world, limits=limits) as process:
        for _ in range(3):
            await process.sweep.run()
        most = limits.places // 2  # one account leaves as much to the others
        assert await leased(process) == len(process.in_hand)
        # endpoints that nothing is known of have three quarters; of that, those at one origin leave most to the others
        assert len(process.in_hand) == limits.places * 3 // 4 // 4
        await until(lambda: len(receiver.calls) == limits.parallel * 3 // 4 // 3)
        await process.publish(a_submission())
        assert len(process.in_hand) <= most, "what is accepted now waits in the store"

        # endpoints that answered count by themselves: of what is left to those, the account leaves half once more
        most = 3 * limits.places // 4

        def goes_on_within_bounds() -> bool:
            assert len(process.in_hand) <= most
            return len(receiver.calls) >= 5 * limits.places

        receiver.door.set()
        await until(goes_on_within_bounds, within_s=60)
    assert await leased(world) == 0, "and what was not sent is given back"


# --- the database is away ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def held(world: World) -> AsyncIterator[None]:
    """Keep everybody else from writing to the database while the block is open."""
    async with world.store.engine.connect() as connection:
        await connection.execution_options(writing=True)  # SQLite: begin by taking the file's only lock
        async with connection.begin():
            if world.store.dialect == "postgresql":
                await connection.execute(text("LOCK TABLE attempts, deliveries IN EXCLUSIVE MODE"))
            yield


async def test_what_was_sent_while_the_database_takes_no_writes_is_logged_when_it_does(
    world: World, receiver: Receiver
) -> None:
    await world.register(receiver.url)
    receiver.door.clear()
    await world.publish(*(a_submission() for _ in range(20)))
    await until(lambda: len(receiver.calls) == 16)
    async with held(world):
        receiver.door.set()
        await until(lambda: len(receiver.calls) == 20)
        assert len(await world.log(status="sending")) == 20
    await world.quiet()
    assert len(await world.log(status="delivered")) == 20
    assert len(receiver.calls) == 20


@pytest.fixture
async def own_server() -> AsyncIterator[PostgreSQL]:
    """A server that the test may stop."""
    server = PostgreSQL()
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.close)


@pytest.fixture
async def exposed(own_server: PostgreSQL) -> AsyncIterator[World]:
    """A process on that server."""
    async with opened(own_server.url("postgres")) as store:
        await migrate(store)
        async with store.writing() as tx:
            await accounts.add_account(tx, accounts.Account(AccountId(ACCOUNT), "enterprise", None, NOON))
        async with working(store, limits=Limits(parallel=8, per_endpoint=2)) as world:
            yield world


async def test_a_database_that_goes_away_and_comes_back_costs_no_log_entry_and_no_second_request(
    own_server: PostgreSQL, exposed: World, receiver: Receiver
) -> None:
    await exposed.register(receiver.url)
    receiver.door.clear()
    await exposed.publish(a_submission(), a_submission())
    await until(lambda: len(receiver.calls) == 2)

    await asyncio.to_thread(own_server.stop, hard=True)
    receiver.door.set()
    await until(lambda: exposed.ledger.behind)
    with pytest.raises(Exception) as refusal:  # noqa: PT011 - which one it is depends on the moment
        await exposed.publish(a_submission())
    assert is_database_fault(refusal.value)
    assert len(exposed.in_hand) == 2, "what is not yet written keeps its place"

    await asyncio.to_thread(own_server.start)
    await exposed.quiet()
    assert not exposed.ledger.behind
    assert [delivery.status for delivery in await exposed.log()] == ["delivered"] * 2
    await exposed.later(24 * 3600)
    assert len(receiver.calls) == 2


async def test_a_process_can_stop_while_the_database_is_away(
    own_server: PostgreSQL, exposed: World, receiver: Receiver
) -> None:
    receiver.door.clear()
    async with working(exposed.store, exposed.clock, name="stopping", limits=Limits(1, 1), patience_s=0.1) as stopping:
        await stopping.register(receiver.url)
        await stopping.publish(*(a_submission() for _ in range(2)))
        await until(lambda: len(receiver.calls) == 1)
        await asyncio.to_thread(own_server.stop, hard=True)
        receiver.door.set()
        await until(lambda: stopping.ledger.behind)

    await asyncio.to_thread(own_server.start)
    await until(lambda: works(exposed))
    await exposed.later(60)
    assert len(await exposed.log(status="delivered")) == 2, "another process finds what was left"


async def works(world: World) -> bool:
    try:
        await world.log()
    except Exception as error:
        if not is_database_fault(error):
            raise
        return False
    return True
