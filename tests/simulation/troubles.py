"""What can go wrong with the store: drawn from the seed, for a stretch of time or for a single step."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tests.simulation.loop import Life

Step = Literal["connect", "begin", "statement", "commit"]

#: How a single step fails.
#:
#: * ``refused``: an error, and nothing was done; ``full``: the same, because the disk is.
#: * ``cut``: the connection is lost, and with it everything that was not committed.
#: * ``unheard``: it is done, and the connection is lost before anybody hears of it.
#: * ``late``: it is done, and nobody hears of it for a long while.
#: * ``slow``: nothing is done for a long while, then it is.
#: * ``timeout``: nothing is done for a long while, then an error.
Way = Literal["refused", "full", "cut", "unheard", "late", "slow", "timeout"]
WAYS: tuple[Way, ...] = ("refused", "full", "cut", "unheard", "late", "slow", "timeout")

#: In these words SQLAlchemy recognises a connection that is no more.
LOST = "no active connection"


@dataclass(frozen=True)
class Outage:
    """From ``start`` to ``end`` nobody of ``victims`` (none named: everybody) reaches the database."""

    start: float
    end: float
    victims: frozenset[str] = frozenset()
    how: Literal["refused", "full", "timeout"] = "refused"


async def _at_once() -> None:
    """The answer comes."""


@dataclass
class Troubles:
    """The store's share of a scenario. ``share`` of all steps until ``calm_from`` fail, in one of ``ways``."""

    luck: Random
    pause_s: float = 0.002
    share: float = 0.0
    calm_from: float = 0.0
    ways: tuple[Way, ...] = WAYS
    long_s: float = 20.0
    outages: tuple[Outage, ...] = ()
    tell: Callable[[Life, str], None] = field(default=lambda _life, _what: None)
    last_met: float = -1.0

    async def pass_through(
        self, step: Step, life: Life, *, lose: Callable[[], None] = lambda: None
    ) -> Callable[[], Awaitable[None]]:
        """Take the way to the database; what is returned is the way back, to be taken when the step is done."""
        await life.point()
        await asyncio.sleep(self.luck.expovariate(1 / self.pause_s))
        now = asyncio.get_running_loop().time()
        self._meet_outage(now, life)
        if now >= self.calm_from or self.luck.random() >= self.share:
            return life.point
        way = self.luck.choice(self.ways)
        self.last_met = now
        self.tell(life, f"store {step}: {way}")
        return await self._meet(way, life, lose)

    def _meet_outage(self, now: float, life: Life) -> None:
        for outage in self.outages:
            if outage.start <= now < outage.end and (
                not outage.victims or life.name.partition("-")[0] in outage.victims
            ):
                self.last_met = now
                _fail(outage.how)

    async def _meet(self, way: Way, life: Life, lose: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        match way:
            case "refused" | "full":
                _fail(way)
            case "timeout":
                await asyncio.sleep(self._long())
                _fail(way)
            case "cut":
                lose()
                raise sqlite3.OperationalError(LOST)
            case "slow":
                await asyncio.sleep(self._long())
            case "late" | "unheard":
                return lambda: self._keep_waiting(way, life, lose)
        return life.point

    async def _keep_waiting(self, way: Way, life: Life, lose: Callable[[], None]) -> None:
        await life.point()
        if way == "unheard":
            lose()
            raise sqlite3.OperationalError(LOST)
        await asyncio.sleep(self._long())

    def _long(self) -> float:
        return self.luck.uniform(0.1, self.long_s)


def _fail(how: str) -> None:
    match how:
        case "full":
            raise sqlite3.OperationalError("database or disk is full")
        case "timeout":
            raise TimeoutError("the database did not answer in time")
        case _:
            raise sqlite3.OperationalError("disk I/O error")
