"""Five hundred endpoints that hang do not slow the five hundred and first.

It is counted, not timed: everything arrives there before a single request to the others had to end for it. The only
case that is left out is that of 501 endpoints of one account none of which has ever been sent anything.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product

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

_FOREVER = datetime.max.replace(tzinfo=UTC)

pytestmark = pytest.mark.slow


@dataclass
class Tar:
    """A receiver that takes every request and answers none; or, while it is ``drowsy``, a moment after it was slow.

    ``holds`` are those that wait for it now, ``given_up`` those that no longer do.
    """

    drowsy: bool = False
    holds: int = 0
    most: int = 0
    given_up: int = 0
    answered: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.holds += 1
        self.most = max(self.most, self.holds)
        try:
            async with asyncio.timeout(_DROWSY_S if self.drowsy else None):
                await reader.read()  # until the other side has had enough
            self.given_up += 1
        except TimeoutError:
            self.answered += 1
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
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

    async def show_that_they_are_slow(self, account: Account) -> None:
        """Let each of them keep one request for long."""
        self.tar.drowsy = True
        await account.key.publish(job_id="slow")
        await until(lambda: self.tar.answered == HANGING, within_s=90)
        await self.house.quiet()
        self.tar.drowsy = False

    async def deliver_at_once(self, account: Account, *, beside: Account) -> None:
        """See everything arrive at the healthy endpoint while nothing that hangs is answered or given up."""
        before = len(self.healthy.requests)
        await beside.key.publish(job_id="flood")
        for number in range(EVENTS):
            for publisher in {account.id: account, beside.id: beside}.values():
                assert (await publisher.key.publish(job_id=f"flow-{number}")).status == 202
        expected = before + EVENTS + (account is beside)
        await until(lambda: len(self.healthy.requests) == expected, within_s=60)
        assert self.tar.given_up == 0, "the healthy one had to wait until others were given up"
        assert self.tar.holds >= LIMITS.parallel // 4, "and they hang"
        assert self.tar.most <= LIMITS.parallel
        in_hand = self.house.runtime.courier.held_until(_FOREVER)
        assert len(in_hand) <= LIMITS.places, "the rest lies in the store"


@pytest.fixture
async def street(database_url: str, store: Store) -> AsyncIterator[Street]:
    tar = Tar()
    async with (
        receiving(converse=tar.take) as sticky,
        receiving() as healthy,
        open_house(database_url, allowed_networks=LOOPBACK, attempt_timeout=60, grace_period=0) as house,
    ):
        yield Street(house, tar, sticky.url(""), healthy)


@pytest.mark.parametrize(
    ("hanging", "whose", "healthy"),
    [
        case
        for case in product(["slow", "new"], ["of the same account", "of another"], ["quick", "new"])
        if case != ("new", "of the same account", "new")
    ],
)
async def test_the_healthy_one_gets_everything_while_they_hang(
    street: Street, hanging: str, whose: str, healthy: str
) -> None:
    ada = await street.house.account()
    bob = ada if whose == "of the same account" else await street.house.account("bob@example.com")
    if healthy == "quick":
        await bob.key.register(street.healthy.url())
        await bob.key.publish(job_id="first")
        await street.house.quiet()
    await street.settle(ada)
    if hanging == "slow":
        await street.show_that_they_are_slow(ada)
    if healthy == "new":
        await bob.key.register(street.healthy.url())
    await street.deliver_at_once(bob, beside=ada)
