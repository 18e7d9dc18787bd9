"""What must hold after every fault: what was published, what the receivers got, and what the log says of it."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from delivery.store.engine import Store
from delivery.store.tables import attempts, deliveries
from tests.faults.house import SECRET, House
from tests.faults.load import TYPES, Load
from tests.support.polling import until
from tests.support.receiver import Call, Receiver, verifies
from tests.support.stores import opened

_PATIENCE_S = 120


@dataclass(frozen=True)
class Reckoning:
    """Events that were published, events that reached whoever wants them, requests made again without a failure."""

    published: int
    received: int
    repeated: int

    @property
    def lost(self) -> int:
        return self.published - self.received


async def reckon(house: House, load: Load, *, in_flight: int = 0) -> Reckoning:
    """Wait until everything is delivered, and hold what the receivers got against the log.

    ``in_flight`` is how many requests may lack their log entry, because a process was killed while it made them.
    """
    everything = load.accepted
    annotations = {job for job in everything if load.type_of(job) == TYPES[0]}
    wanted = list(zip(house.receivers, (everything, annotations), strict=True))
    await until(
        lambda: all(len(receiver.calls) >= len(jobs) for receiver, jobs in wanted), within_s=_PATIENCE_S, every_s=0.1
    )
    await until(lambda: not any(_missing(*each) for each in wanted), within_s=_PATIENCE_S, every_s=0.1)
    async with opened(house.program.settings["DATABASE_URL"]) as store:
        await until(lambda: _all_delivered(store), within_s=_PATIENCE_S, every_s=0.1)
        log = await _log(store)

    calls = [call for receiver in house.receivers for call in receiver.calls]
    made = Counter(call.headers["X-Tagmatic-Delivery"] for call in calls)
    assert all(verifies(call, SECRET) for call in calls)
    assert not log.answered - made, "nothing is in the log that was not made"
    unlogged = made - log.written
    assert unlogged.total() <= in_flight, "all that was made is, but for what a killed process had on its way"
    assert max(unlogged.values(), default=0) <= 1, "and of that, one request for each delivery at the most"
    assert len(made) == len(everything) + len(annotations), "one delivery for each event and receiver"
    lost = set[str]().union(*(_missing(*each) for each in wanted))
    repeated = made - Counter(dict.fromkeys(made, 1)) - log.failed
    return Reckoning(len(everything), len(everything - lost), repeated.total())


def _missing(receiver: Receiver, wanted: Collection[str]) -> set[str]:
    return set(wanted) - {_job(call) for call in receiver.calls}


def _job(call: Call) -> str:
    return str(json.loads(call.body)["data"]["job_id"])


async def _all_delivered(store: Store) -> bool:
    async with store.reading() as tx:
        resting = deliveries.c.lease.is_(None), deliveries.c.standing == "delivered"
        all_, done = select(func.count()).select_from(deliveries), select(func.count()).where(*resting)
        return bool((await tx.execute(all_)).scalar_one() == (await tx.execute(done)).scalar_one())


@dataclass(frozen=True)
class _Log:
    """Attempts of each delivery: all that are written, those that were answered, those that failed."""

    written: Counter[str]
    answered: Counter[str]
    failed: Counter[str]


async def _log(store: Store) -> _Log:
    async with store.reading() as tx:
        found = (
            await tx.execute(select(attempts.c.delivery_id, attempts.c.response_status, attempts.c.error_class))
        ).all()
        counted = (await tx.execute(select(deliveries.c.id, deliveries.c.attempts_made))).all()
    written = Counter(row.delivery_id for row in found)
    assert Counter({row.id: row.attempts_made for row in counted}) == written, "each row counts its own"
    answered = Counter(row.delivery_id for row in found if row.response_status is not None)
    return _Log(written, answered, Counter(row.delivery_id for row in found if row.error_class is not None))
