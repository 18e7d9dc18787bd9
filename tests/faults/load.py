"""A publisher that insists: numbered events, each offered again under the same identity until it is accepted."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from consumers.health import BusUnavailable
from consumers.rabbit.publisher import Publisher
from consumers.wire import publication
from service.client import ApiError, open_api
from tests.support.polling import until
from tests.support.samples import envelope

#: Half of the events are of the family that both receivers want.
TYPES = ("annotation.completed", "file.completed")

#: What is published before anybody waits for more; a slow machine must not turn a longer wait into a greater load.
_AT_FIRST = 400
_AT_ONCE = 10
_PACE_S = 0.2
_PATIENCE_S = 25.0

_LANES = 2

#: What a service answers that cannot take anything now: nothing at all, or 503.
AWAY = (0, 503)

Send = Callable[[Sequence[str]], Awaitable[None]]


class Load:
    """``accepted`` are the jobs of all events that were accepted so far; ``refusals`` is what else was answered.

    ``padding`` is put into every event, to make them as large as a test wants.
    """

    def __init__(self, url: str, key: str, account_id: str, bus_url: str | None, padding: str) -> None:
        self._url = url
        self._key = key
        self._account_id = account_id
        self._bus_url = bus_url
        self._padding = padding
        self._numbers = itertools.count()
        self._enough = asyncio.Event()
        self._offered = 0
        self._granted = asyncio.Semaphore(_AT_FIRST // _AT_ONCE)
        self.accepted: set[str] = set()
        self.refusals: list[ApiError] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Publish while the block is open; when it is left, everything that was offered is accepted."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._publish(self._over_http))
            if self._bus_url is not None:
                lanes.create_task(self._over_bus(self._bus_url))
            await self.goes_on()
            yield self
            self._enough.set()
            self._grant(_LANES)

    @property
    def at_rest(self) -> bool:
        """Whether all that was granted is accepted."""
        return self._granted.locked() and len(self.accepted) == self._offered

    async def goes_on(self, count: int = 100, within_s: float = 60) -> None:
        """Wait until so many more events are accepted."""
        before = len(self.accepted)
        self._grant(count // _AT_ONCE)
        await until(lambda: len(self.accepted) >= before + count, within_s=within_s, every_s=0.05)

    def _grant(self, batches: int) -> None:
        for _ in range(batches):
            self._granted.release()

    async def _publish(self, send: Send) -> None:
        while True:
            await self._granted.acquire()
            if self._enough.is_set():
                return
            number = next(self._numbers)
            self._offered += _AT_ONCE
            jobs = [f"job_{number * _AT_ONCE + nth}" for nth in range(_AT_ONCE)]
            await send(jobs)
            self.accepted.update(jobs)
            await asyncio.sleep(_PACE_S)

    async def _over_http(self, jobs: Sequence[str]) -> None:
        batch = {"events": [self._event(job) for job in jobs]}
        async with open_api(self._url, self._key) as api:
            while True:
                try:
                    async with asyncio.timeout(_PATIENCE_S):
                        answer = await api.post("/api/events/batch", batch)
                except ApiError as refusal:
                    if refusal.status not in AWAY:
                        raise
                    self.refusals.append(refusal)
                except TimeoutError:  # nobody knows what became of it: offered again, it is accepted or a duplicate
                    pass
                else:
                    assert answer["accepted"] + answer["duplicates"] == len(jobs), answer
                    return
                await asyncio.sleep(_PACE_S)

    async def _over_bus(self, bus_url: str) -> None:
        publisher = Publisher(bus_url)

        async def send(jobs: Sequence[str]) -> None:
            await asyncio.gather(*(self._insist(publisher, job) for job in jobs))

        try:
            await self._publish(send)
        finally:
            await publisher.close()

    async def _insist(self, publisher: Publisher, job: str) -> None:
        while True:
            try:
                await publisher.publish(publication(self._event(job), self._account_id))
            except BusUnavailable:  # as any publisher would: once more
                continue
            return

    def _event(self, job: str) -> dict[str, object]:
        return envelope(self.type_of(job), job_id=job, note=self._padding)

    @staticmethod
    def type_of(job: str) -> str:
        """The type of the event about a job."""
        return TYPES[int(job.removeprefix("job_")) % len(TYPES)]
