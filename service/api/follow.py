"""Following the log: a stream of deliveries, each as it is made, after every attempt, and when it is cancelled."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from aiohttp import web
from pydantic import Field

from delivery.domain import model
from delivery.store import changes, log
from delivery.store.cursors import PageRequest
from delivery.store.engine import Transaction
from service.api.calls import Call
from service.api.deliveries import DeliveryFilters, delivery_shape
from service.api.streams import position_of, stream
from service.api.tails import Tail

#: How long after the end of its lease an attempt may still be written down, in seconds.
_WRITING_S = 15


class FollowQuery(DeliveryFilters):
    """Which deliveries, and how many of those there are already come first."""

    last: int = Field(0, ge=0, le=1000)


async def follow(call: Call[FollowQuery]) -> web.StreamResponse:
    """Stream what is new in the log until the listener, their key or the service goes."""
    which, position = call.asked.filter(), position_of(call)
    runtime, reach = call.runtime, call.reach

    async def keys(tx: Transaction, since: datetime, until: datetime | None) -> Mapping[str, str]:
        return await changes.between(tx, reach, since, until)

    async def rows(tx: Transaction, ids: Collection[str]) -> Sequence[model.Delivery]:
        return await log.those(tx, reach, which, ids)

    late = timedelta(seconds=runtime.settings.lease_s + _WRITING_S)
    tail = Tail(runtime.store, runtime.around.clock, keys, rows, late=late)
    newest: Sequence[model.Delivery] = ()
    if position is not None:
        tail.begin_at(position)
    else:
        async with runtime.store.reading() as tx:
            await tail.begin_now(tx)
            newest = (await log.browse(tx, reach, which, PageRequest(call.asked.last))).items if call.asked.last else ()
    return await stream(call, tail, delivery_shape, *map(delivery_shape, reversed(newest)))
