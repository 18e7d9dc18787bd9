"""Collecting single items into batches: the reason why a delivery costs two commits per batch and not two commits.

Whoever hands in an item waits for its own result; one worker takes what has gathered, works on all of it in one go, and
hands the results back. While the worker is busy the next batch gathers by itself, so batches grow with the load and a
lone item waits for nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Generic, SupportsFloat, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Work = Callable[[Sequence[T]], Awaitable[Sequence[R]]]


class Gatherer(Generic[T, R]):
    """Calls ``work`` with batches of what is handed in one by one.

    ``work`` returns one result per item, in order. If it raises, a batch that ``divides`` (its fault may lie in a
    single item) is halved until the bad item stands alone, and only who handed that one in sees the error; any other
    error goes to all of the batch.
    """

    def __init__(
        self, work: Work[T, R], *, most: int = 500, divides: Callable[[Exception], bool] = lambda _: False
    ) -> None:
        self._work = work
        self._most = most
        self._divides = divides
        self._waiting: asyncio.Queue[tuple[T, asyncio.Future[R]]] = asyncio.Queue()
        self._batch: list[tuple[T, asyncio.Future[R]]] = []
        self._closed = False

    @asynccontextmanager
    async def running(self, *, grace_s: SupportsFloat = 10.0) -> AsyncIterator["Gatherer[T, R]"]:
        """Work while the block is open.

        What was handed in before it is left is still worked on, for ``grace_s`` at most, which is asked then; whoever
        waits longer, or has not been answered when the block is left by an exception, is cancelled.
        """
        worker = asyncio.create_task(self._run())
        worker.add_done_callback(self._dismiss)
        try:
            yield self
            with suppress(TimeoutError):
                async with asyncio.timeout(float(grace_s)):
                    await self._waiting.join()
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def hand_in(self, item: T) -> R:
        """Wait for the item's result."""
        if self._closed:
            raise RuntimeError("handed in after closing: nobody would ever answer")
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, result))
        return await result

    async def _run(self) -> None:
        while True:
            self._batch.append(await self._waiting.get())
            await asyncio.sleep(0)  # let everything that is ready to run now hand in, too
            self._take(self._most - 1)
            await self._settle(self._batch)
            self._forget()

    def _take(self, most: int) -> None:
        for _ in range(min(most, self._waiting.qsize())):
            self._batch.append(self._waiting.get_nowait())

    def _forget(self) -> None:
        for _ in self._batch:
            self._waiting.task_done()
        self._batch = []

    def _dismiss(self, _worker: asyncio.Task[None]) -> None:
        """Nobody works here any more: whoever still waits must not wait for ever."""
        self._closed = True
        self._take(self._waiting.qsize())
        for _, result in self._batch:
            result.cancel()
        self._forget()

    async def _settle(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(batch) > 1 and self._divides(error):
                middle = len(batch) // 2
                await self._settle(batch[:middle])
                await self._settle(batch[middle:])
                return
            for _, result in batch:
                if not result.done():  # who waited may have been cancelled
                    result.set_exception(error)
        else:
            for (_, result), value in zip(batch, results, strict=True):
                if not result.done():
                    result.set_result(value)
