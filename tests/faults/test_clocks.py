"""Clocks are set while the service works: forward, back, and each one differently."""

import itertools
from collections import defaultdict
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import select

from delivery.store.tables import attempts
from tests.faults.house import APART, SECRET, TOGETHER, House, open_house
from tests.faults.reckoning import reckon
from tests.faults.table import EMBEDDED, enter, fault
from tests.support.faketime import SetClock
from tests.support.polling import until
from tests.support.receiver import Call, Receiver, Reply, verifies
from tests.support.stores import opened

pytestmark = pytest.mark.slow

HOURS = 3600
RETRY_S = 10
SCHEDULE = ",".join([str(RETRY_S)] * 20)


class Refusing:
    """A judge who refuses the first request of a delivery now and then, and remembers when each one came."""

    def __init__(self, receiver: Receiver) -> None:
        self.came: dict[str, list[float]] = defaultdict(list)
        self._numbers = itertools.count()
        receiver.judges(self._judge)

    def _judge(self, call: Call) -> Reply:
        came = self.came[call.headers["X-Tagmatic-Delivery"]]
        came.append(monotonic())
        refused = len(came) == 1 and next(self._numbers) % 8 == 0
        return Reply(500 if refused else 200 if verifies(call, SECRET) else 403)

    def waits(self) -> dict[str, float]:
        """Seconds between a delivery's refused request and the next one, by a clock that nobody sets."""
        return {name: came[1] - came[0] for name, came in self.came.items() if len(came) > 1}


@fault("machine clocks set forward and back, each differently")
async def test_where_the_database_tells_the_time_nobodys_clock_matters(
    tmp_path: Path, prepared_url: str, rabbit_url: str, request: pytest.FixtureRequest
) -> None:
    clocks = {name: SetClock(tmp_path / f"{name}.clock") for name in APART}
    environment = {name: clock.environment for name, clock in clocks.items()}
    settings = {"DATABASE_URL": prepared_url, "BUS_URL": rabbit_url, "RETRY_SCHEDULE": SCHEDULE}
    async with open_house(tmp_path, APART, environment, **settings) as house:
        judge = Refusing(house.receivers[0])
        async with house.loaded(rabbit_url) as load:
            for turn in range(3):
                for clock, hours in zip(clocks.values(), (2, -2, 5, -3), strict=True):
                    clock.set(hours * HOURS * (-1) ** turn)
                await load.goes_on()
        came_out = await reckon(house, load)
        await house.until_all_are_ready()
    assert came_out.repeated == 0, "no lease ran out"
    assert len(judge.waits()) > 5
    # a request may be on its way for longer than the one after it, but not for as long as that
    assert min(judge.waits().values()) > RETRY_S / 2, "no retry was early"
    enter(request, came_out)


@fault("machine clock set back and forward", EMBEDDED)
async def test_where_the_machine_tells_the_time_nothing_is_early_by_its_clock(
    tmp_path: Path, sqlite_url: str, request: pytest.FixtureRequest
) -> None:
    clock = SetClock(tmp_path / "clock")
    settings = {"DATABASE_URL": sqlite_url, "RETRY_SCHEDULE": SCHEDULE}
    async with open_house(tmp_path, TOGETHER, {"api": clock.environment}, **settings) as house:
        judge = Refusing(house.receivers[0])
        async with house.loaded() as load:
            for hours in (-2, 0, 24 * 20):
                clock.set(hours * HOURS)
                await load.goes_on()
                await goes_on_retrying(judge)
        came_out = await reckon(house, load)
        await house.until_all_are_ready()
        early = {name: wait for name, wait in await waits_in_the_log(house) if wait < RETRY_S}
    # the clock may have been set back after a retry was found due and before it was made: then it did wait
    assert {name: wait for name, wait in early.items() if judge.waits()[name] <= RETRY_S / 2} == {}
    enter(request, came_out)


async def goes_on_retrying(judge: Refusing) -> None:
    """Wait for one more retry: those from before the clock was set back are not due now, those from after it are."""
    seen = len(judge.waits())
    await until(lambda: len(judge.waits()) > seen, within_s=60, every_s=0.1)


async def waits_in_the_log(house: House) -> list[tuple[str, float]]:
    """Each delivery with the seconds from its failed attempt to the next one, by the service's own clock."""
    async with opened(house.program.settings["DATABASE_URL"]) as store, store.reading() as tx:
        query = select(attempts.c.delivery_id, attempts.c.started_at, attempts.c.error_class)
        rows = (await tx.execute(query.order_by(attempts.c.delivery_id, attempts.c.number))).all()
    return [
        (after.delivery_id, (after.started_at - before.started_at).total_seconds())
        for before, after in itertools.pairwise(rows)
        if before.delivery_id == after.delivery_id and before.error_class
    ]
