"""Five hundred endpoints that hang do not slow the five hundred and first.

It is counted, not timed: everything arrives there before a single request to the others had to end for it. Whether the
five hundred are known to be slow, hang all of a sudden, or were never sent anything; whether the healthy one is known,
or was never sent anything, either; whose they are; and whether the process has begun anew since. Of one account, and of
endpoints none of which was ever sent anything, it has to be at an origin of its own: nothing else tells it apart.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import pytest

from delivery.domain.ids import new_id
from delivery.domain.model import EndpointId, SealedSecret
from delivery.places import Limits
from delivery.store import endpoints
from delivery.store.engine import Store
from delivery.tempo import SLOW_S
from tests.delivery.receivers import OK, Receiver, receiving
from tests.hostile.desk import LOOPBACK
from tests.service.house import SECRET, Account, House, open_house
from tests.support.polling import until
from tests.support.stores import database_url, prepared_postgres, store

__all__ = ["database_url", "prepared_postgres", "store"]

HANGING = 500
EVENTS = 30

#: As in ``serve`` by default.
LIMITS = Limits()

#: How long an endpoint that is slow and answers takes, in seconds: so much that a busy machine sees it, too.
_DROWSY_S = 2.5 * SLOW_S

_OK = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

_FOREVER = datetime.max.replace(tzinfo=UTC)

pytestmark = pytest.mark.slow


Mood = Literal["slow", "quick", "hangs"]


@dataclass
class Tar:
    """A receiver that takes every request and answers none; or all at once, or a moment after it was slow.

    ``holds`` are those that wait for it now, ``given_up`` those that no longer do. At ``/well`` it is always quick.
    """

    mood: Mood = "hangs"
    holds: int = 0
    most: int = 0
    given_up: int = 0
    answered: int = 0
    answered_well: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n")
        if head.startswith(b"POST /well "):
            self.answered_well += 1
            writer.write(_OK)
            return
        self.holds += 1
        self.most = max(self.most, self.holds)
        try:
            async with asyncio.timeout({"slow": _DROWSY_S, "quick": 0, "hangs": None}[self.mood]):
                await reader.read()  # until the other side has had enough
            self.given_up += 1
        except TimeoutError:
            self.answered += 1
            writer.write(_OK)
        finally:
            self.holds -= 1


@dataclass
class Street:
    """A service, a receiver that hangs, and a healthy one."""

    house: House
    tar: Tar
    tar_url: str
    healthy: Receiver

    async def settle(self, account: Account) -> None:
        """Register five hundred endpoints of the account that will hang."""
        made = await account.key.register(f"{self.tar_url}/0")
        runtime = self.house.runtime
        async with runtime.store.writing() as tx:
            (first,) = await endpoints.by_ids(tx, [made["id"]])
            for number in range(1, HANGING):
                name = EndpointId(new_id("wh", self.house.clock.now(), runtime.around.luck))
                sealed = runtime.ring.seal(SECRET, owner=name, entropy=os.urandom)
                secrets = (SealedSecret(sealed, SECRET[-4:], first.created_at),)
                await endpoints.add(tx, replace(first, id=name, url=f"{self.tar_url}/{number}", secrets=secrets))

    async def show(self, account: Account, mood: Mood) -> None:
        """Let each of them answer one request, soon or late."""
        self.tar.mood = mood
        await account.key.publish(job_id=mood)
        await until(lambda: self.tar.answered == HANGING, within_s=90)
        await self.house.quiet()
        self.tar.mood = "hangs"

    async def deliver_at_once(self, account: Account, *, beside: Account, at_the_tar: bool = False) -> None:
        """See everything arrive at the healthy endpoint while nothing that hangs is answered or given up."""

        def arrived() -> int:
            return self.tar.answered_well if at_the_tar else len(self.healthy.requests)

        before = arrived()
        await beside.key.publish(job_id="flood")
        for number in range(EVENTS):
            for publisher in {account.id: account, beside.id: beside}.values():
                assert (await publisher.key.publish(job_id=f"flow-{number}")).status == 202
        expected = before + EVENTS + (account is beside)

        async def all_arrived() -> bool:
            await self.house.runtime.sweep.run()  # as the clock has it done every second
            return arrived() == expected

        await until(all_arrived, within_s=60)
        assert self.tar.given_up == 0, "the healthy one had to wait until others were given up"
        assert self.tar.holds >= LIMITS.parallel // 8, "and they hang"
        assert self.tar.most <= LIMITS.parallel
        in_hand = self.house.runtime.courier.held_until(_FOREVER)
        assert len(in_hand) <= LIMITS.places, "the rest lies in the store"


@asynccontextmanager
async def open_street(database_url: str, tar: Tar, sticky: Receiver, healthy: Receiver) -> AsyncIterator[Street]:
    async with open_house(database_url, allowed_networks=LOOPBACK, attempt_timeout=60, grace_period=0) as house:
        yield Street(house, tar, sticky.url(""), healthy)


@pytest.fixture
async def street(database_url: str, store: Store) -> AsyncIterator[Street]:
    tar = Tar()
    async with (
        receiving(converse=tar.take) as sticky,
        receiving() as healthy,
        open_street(database_url, tar, sticky, healthy) as street,
    ):
        yield street


@pytest.mark.parametrize("whose", ["of the same account", "of another"])
@pytest.mark.parametrize("healthy", ["quick", "new"])
@pytest.mark.parametrize("hanging", ["slow", "quick", "new"])
async def test_the_healthy_one_gets_everything_while_they_hang(
    street: Street, hanging: Mood | Literal["new"], healthy: str, whose: str
) -> None:
    ada = await street.house.account()
    bob = ada if whose == "of the same account" else await street.house.account("bob@example.com")
    if healthy == "quick":
        await bob.key.register(street.healthy.url())
        await bob.key.publish(job_id="first")
        await street.house.quiet()
    if (healthy, hanging) == ("new", "new"):
        await bob.key.register(street.healthy.url())
    await street.settle(ada)
    if hanging != "new":
        await street.show(ada, hanging)
    if healthy == "new" and hanging != "new":
        await bob.key.register(street.healthy.url())
    await street.deliver_at_once(bob, beside=ada)


async def test_a_process_that_begins_anew_knows_who_was_slow_and_who_was_quick(database_url: str, store: Store) -> None:
    tar = Tar()
    async with receiving(converse=tar.take) as sticky, receiving() as healthy:
        async with open_street(database_url, tar, sticky, healthy) as street:
            ada = await street.house.account()
            await ada.key.register(sticky.url("/well"))
            await street.settle(ada)
            await street.show(ada, "slow")
        async with open_street(database_url, tar, sticky, healthy) as street:
            ada = replace(ada, key=replace(ada.key, client=street.house.client))
            await street.deliver_at_once(ada, beside=ada, at_the_tar=True)


@pytest.mark.parametrize("hanging", ["slow", "quick", "new"])
async def test_what_another_process_accepted_is_fetched_past_what_hangs(
    street: Street, database_url: str, hanging: Mood | Literal["new"]
) -> None:
    ada = await street.house.account()
    await ada.key.register(street.healthy.url())
    await street.settle(ada)
    if hanging != "new":
        await street.show(ada, hanging)
    async with open_house(database_url, clock=street.house.clock, roles=("api",)) as front:
        ada = replace(ada, key=replace(ada.key, client=front.client))
        await street.deliver_at_once(ada, beside=ada)
