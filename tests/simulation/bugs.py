"""Mistakes that were never made, or made once and mended: each is put into the real code for as long as a block.

A simulation that does not find them proves nothing. For each, ``test_planted_bugs.py`` says by which invariant it is
found, and in how many seeds at the most.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from sqlalchemy import bindparam, null, select, update

from consumers.consumer import Consumer
from delivery import carriage, ledger
from delivery.departures import Departures
from delivery.domain import gate, retry
from delivery.gates import Gates
from delivery.lanes import Lanes
from delivery.ledger import Ledger
from delivery.places import Places
from delivery.store import deliveries, events, tables
from delivery.store.engine import is_database_fault
from service.settings import Settings

Plant = Callable[[], AbstractContextManager[Any]]


def settles_without_the_lease() -> AbstractContextManager[Any]:
    """Whoever comes back decides, though the delivery was taken over or cancelled long ago."""
    row = tables.deliveries.c
    names = (
        "standing",
        "retries_used",
        "next_attempt_at",
        "finished_at",
        "last_response_status",
        "last_error",
        "wake_at",
    )
    blind = (
        update(tables.deliveries)
        .where(row.id == bindparam("settled"))
        .values(
            attempts_made=row.attempts_made + bindparam("attempts"),
            asked=null(),
            lease=null(),
            **{name: bindparam(f"new_{name}", type_=row[name].type) for name in names},
        )
    )
    return patch.object(deliveries, "_SETTLE", blind)


def acknowledges_before_the_commit() -> AbstractContextManager[Any]:
    """Messages are settled as soon as they are read."""
    take = Consumer.take

    async def hasty(self: Consumer, messages: Sequence[Any], until: asyncio.Event) -> Sequence[Any]:
        self.later = asyncio.create_task(take(self, messages, until))  # type: ignore[attr-defined]
        return [None] * len(messages)

    return patch.object(Consumer, "take", hasty)


def forgets_the_bound_of_a_lane() -> AbstractContextManager[Any]:
    """An endpoint gets as many requests at a time as there are."""
    return patch.object(Lanes, "_may_send", lambda _self, _name, lane: bool(lane.waiting) and not lane.rests)


def forgets_the_bound_of_a_process() -> AbstractContextManager[Any]:
    """A process makes as many requests at a time as there are."""
    return patch.object(Lanes, "_free_tempos", lambda self: list(self._turns))


def forgets_how_much_it_may_hold() -> AbstractContextManager[Any]:
    """Memory has room for whatever comes."""
    return patch.object(Places, "_bound", lambda _self, _name: 1_000_000)


def leaves_without_a_last_look() -> AbstractContextManager[Any]:
    """What was cancelled, taken over or switched off since is sent all the same."""

    def careless(self: Departures, _parcel: Any, clearance: Any, now: Any) -> Any:
        return self._open(self._endpoints[clearance.endpoint_id], now)

    return patch.object(Departures, "_decide", careless)


def remembers_endpoints_as_they_were() -> AbstractContextManager[Any]:
    """A changed URL or secret is used once the process is started anew."""
    refresh = Departures._refresh

    async def stale(self: Departures, tx: Any, current: Any) -> None:
        await refresh(self, tx, [entry for entry in current if entry.endpoint_id not in self._endpoints])

    return patch.object(Departures, "_refresh", stale)


@contextmanager
def leases_less_than_an_attempt_takes() -> Iterator[None]:
    """A lease of six seconds for requests that take up to ten."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(Settings, "lease_s", 6.0))
        stack.enter_context(patch.object(Settings, "longest_delivery_s", 0.5))
        stack.enter_context(patch("delivery.upkeep._AS_GOOD_AS_NEW", timedelta(hours=1)))
        yield


def counts_an_attempt_by_hand() -> AbstractContextManager[Any]:
    """Who retries by hand has one automatic retry less."""
    after = ledger._after

    def greedy(parcel: Any, verdict: Any) -> Any:
        standing, _, next_at = after(parcel, verdict)
        return standing, parcel.retries_used + 1, next_at

    return patch.object(ledger, "_after", greedy)


def retries_too_early() -> AbstractContextManager[Any]:
    """The jitter goes the wrong way."""
    return patch.object(retry, "JITTER", -0.08)


def ignores_retry_after() -> AbstractContextManager[Any]:
    """What a receiver asks for is not heard."""
    return patch.object(retry, "retry_after", lambda _answer, _now: timedelta(0))


def takes_anybodys_event_for_a_duplicate() -> AbstractContextManager[Any]:
    """Two customers with the same id: the second one's event vanishes."""
    insert_new = events.insert_new

    async def by_identity(tx: Any, batch: Sequence[Any], passed_over: Any) -> Any:
        query = select(tables.events.c.identity).where(
            tables.events.c.identity.in_([event.identity for event in batch])
        )
        known = set((await tx.execute(query)).scalars())
        fresh = [event for event in batch if event.identity not in known]
        return await insert_new(tx, fresh, passed_over) if fresh else set()

    async def of_anybody(tx: Any, duplicates: Sequence[Any]) -> Any:
        query = select(tables.events.c.identity, tables.events.c.id)
        found = {row.identity: row.id for row in await tx.execute(query)}
        return {(event.account_id, event.identity): found[event.identity] for event in duplicates}

    stack = ExitStack()
    stack.enter_context(patch.object(events, "insert_new", by_identity))
    stack.enter_context(patch.object(events, "originals", of_anybody))
    return stack


def releases_to_nobody() -> AbstractContextManager[Any]:
    """What is given back is due at no time."""

    async def lost(tx: Any, parcels: Sequence[Any], _now: Any) -> None:
        ids = [parcel.delivery_id for parcel in parcels]
        await tx.execute(
            update(tables.deliveries).where(tables.deliveries.c.id.in_(ids)).values(wake_at=null(), lease=null())
        )

    return patch.object(deliveries, "release", lost)


def drops_the_log_when_the_database_is_away() -> AbstractContextManager[Any]:
    """What cannot be written now is forgotten."""

    async def record(self: Ledger, entries: Sequence[Any]) -> Sequence[None]:
        try:
            await self._write(entries)
        except Exception as error:
            if not is_database_fault(error):
                raise
        return [None] * len(entries)

    return patch.object(Ledger, "record", record)


def tries_only_the_new_secret() -> AbstractContextManager[Any]:
    """A receiver that has not switched yet loses everything until it does."""
    return patch.object(carriage, "_refused_signature", lambda _outcome: False)


def limits_rates_in_each_process() -> AbstractContextManager[Any]:
    """Each process has a gate of its own: with three processes an endpoint gets three times as much."""

    async def answer(self: Any, asks: Sequence[Any]) -> Sequence[Any]:
        own: dict[Any, Any] = self.__dict__.setdefault("own", {})
        answers = []
        for delivery_id, endpoint in asks:
            before = own.get(endpoint.id, gate.Gate())
            now = self._clock.now()
            own[endpoint.id], told = gate.admit(before, endpoint, delivery_id, now=now, longest=self._longest)
            answers.append(told)
        return answers

    return patch.object(Gates, "answer", answer)


def lets_every_probe_out() -> AbstractContextManager[Any]:
    """An open circuit stops nobody."""
    return patch.object(gate, "_busy_until", lambda *_: None)


def claims_what_others_hold() -> AbstractContextManager[Any]:
    """Due is what will be due soon."""
    claim = deliveries.claim

    async def impatient(tx: Any, lease: str, terms: Any, *, now: Any, until: Any, **how: Any) -> Any:
        return await claim(tx, lease, terms, now=now + timedelta(seconds=30), until=until, **how)

    return patch.object(deliveries, "claim", impatient)


def forgets_the_retry() -> AbstractContextManager[Any]:
    """A failed attempt ends the delivery without saying so: it stays as it is, and nobody comes back to it."""
    settlement = ledger.settlement

    def final(entry: Any) -> Any:
        return replace(settlement(entry), next_attempt_at=None)

    return patch.object(ledger, "settlement", final)


#: Every one with the invariants that find it. Which of them is first to tell depends on the seed.
PLANTED: dict[str, tuple[Plant, frozenset[str]]] = {
    "settles without the lease": (
        settles_without_the_lease,
        frozenset({"a lease is respected", "states change as in the picture", "the row counts what was made"}),
    ),
    "acknowledges before the commit": (
        acknowledges_before_the_commit,
        frozenset({"acknowledged means committed", "what was accepted is there once"}),
    ),
    "forgets the bound of a lane": (forgets_the_bound_of_a_lane, frozenset({"limits hold"})),
    "forgets the bound of a process": (forgets_the_bound_of_a_process, frozenset({"limits hold"})),
    "forgets how much it may hold": (forgets_how_much_it_may_hold, frozenset({"memory is bounded"})),
    "leaves without a last look": (
        leaves_without_a_last_look,
        frozenset({"who sends has the lease", "sent to where the endpoint is, signed with its secret"}),
    ),
    "remembers endpoints as they were": (
        remembers_endpoints_as_they_were,
        frozenset({"sent to where the endpoint is, signed with its secret"}),
    ),
    "leases less than an attempt takes": (
        leases_less_than_an_attempt_takes,
        frozenset({"never twice at a time"}),
    ),
    "counts an attempt by hand": (counts_an_attempt_by_hand, frozenset({"the row counts what was made"})),
    "retries too early": (retries_too_early, frozenset({"planned as promised", "never before its time"})),
    "ignores Retry-After": (ignores_retry_after, frozenset({"planned as promised"})),
    "takes anybody's event for a duplicate": (
        takes_anybodys_event_for_a_duplicate,
        frozenset({"what was accepted is there once"}),
    ),
    "releases to nobody": (
        releases_to_nobody,
        frozenset({"states change as in the picture", "nothing is stuck"}),
    ),
    "drops the log when the database is away": (
        drops_the_log_when_the_database_is_away,
        frozenset({"the wire shows what the log says"}),
    ),
    "tries only the new secret": (tries_only_the_new_secret, frozenset({"a valid secret is not refused to the end"})),
    "limits rates in each process": (
        limits_rates_in_each_process,
        frozenset({"a rate limit holds over all processes"}),
    ),
    "lets every probe out": (lets_every_probe_out, frozenset({"an open circuit lets one out at a time"})),
    "claims what others hold": (
        claims_what_others_hold,
        frozenset({"a lease is respected", "never before its time", "never twice at a time"}),
    ),
    "forgets the retry": (forgets_the_retry, frozenset({"states change as in the picture", "nothing is stuck"})),
}
