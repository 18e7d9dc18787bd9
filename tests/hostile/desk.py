"""A running service with a healthy receiver beside every hostile one: what is published goes to both."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from tests.delivery.receivers import Receiver, receiving
from tests.hostile.doors import Door, open_door

PATIENCE_S = 0.5
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True)
class Desk:
    """An account with a healthy webhook."""

    door: Door
    healthy: Receiver

    async def send_to(self, url: str, *, times: int = 1, **wishes: Any) -> list[Any]:
        """Publish events, one after the other, to a webhook at this URL; return its deliveries with their attempts.

        The healthy receiver gets each of the events once.
        """
        key = self.door.account.key
        webhook = await key.register(url, **wishes)
        before = len(self.healthy.requests)
        for _ in range(times):
            assert (await key.publish(job_id=os.urandom(8).hex())).status == 202
            await self.door.house.quiet()
        assert len(self.healthy.requests) == before + times
        found = [
            await key.get(f"/api/deliveries/{sent['id']}") for sent in await key.deliveries(webhook_id=webhook["id"])
        ]
        await key.delete(f"/api/webhooks/{webhook['id']}")
        return [answer.body for answer in found]


@asynccontextmanager
async def open_desk(folder: Path, **settings: Any) -> AsyncIterator[Desk]:
    """Run a service that may reach this machine, and whose attempts have half a second."""
    reach: dict[str, Any] = {"allowed_networks": LOOPBACK, "attempt_timeout": PATIENCE_S}
    async with open_door(folder, **reach | settings) as door, receiving() as healthy:
        await door.account.key.register(healthy.url())
        yield Desk(door, healthy)
