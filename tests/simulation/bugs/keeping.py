"""Mistakes between the bus, the store and memory."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import bindparam, null, select, update

from consumers.consumer import Consumer
from delivery import fanout, ledger
from delivery.courier import Courier, OpenBooking
from delivery.departures import Departures
from delivery.domain.model import Event, EventId
from delivery.ledger import Ledger
from delivery.store import dead_letters, deliveries, endpoints, erasures, events, tables
from delivery.store.engine import Transaction, is_database_fault, listed
from service.settings import Settings


def count_what_another_process_holds(patch: pytest.MonkeyPatch) -> None:
    """Count the end of a delivery without looking whether it is still this process's."""

    async def ended(_: Transaction, entries: Sequence[Any]) -> Sequence[Any]:
        return [entry for entry in entries if ledger._is_an_end(entry)]

    patch.setattr(ledger, "_ended", ended)


def erase_what_is_on_its_way(patch: pytest.MonkeyPatch) -> None:
    """Erase without looking whether a request is under way."""
    patch.setattr(erasures, "_at_rest", lambda _: ())


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Settle messages as soon as they are read."""
    real = Consumer.take

    async def take(self: Any, messages: Sequence[Any], until: asyncio.Event) -> Sequence[Any]:
        self.later = asyncio.create_task(real(self, messages, until))
        return [None] * len(messages)

    patch.setattr(Consumer, "take", take)


def send_what_was_never_committed(patch: pytest.MonkeyPatch) -> None:
    """Send what was booked though its transaction failed, and look only at the endpoint before."""
    real = Courier.booking

    @contextmanager
    def booking(self: Courier) -> Iterator[OpenBooking]:
        failure = None
        with real(self) as booked:
            try:
                yield booked
            except Exception as error:  # noqa: BLE001 - this is the mistake
                failure = error
        if failure is not None:
            raise failure

    async def clear(self: Any, parcels: Sequence[Any]) -> Sequence[Any]:
        async with self._store.reading() as tx:
            found = {one.id: one for one in await endpoints.by_ids(tx, {parcel.endpoint_id for parcel in parcels})}
        return [self._open(found[parcel.endpoint_id], self._clock.now()) for parcel in parcels]

    patch.setattr(Courier, "booking", booking)
    patch.setattr(Departures, "clear", clear)


def look_for_duplicates_in_all_accounts(patch: pytest.MonkeyPatch) -> None:
    """Take another account's event of the same name for this one's."""
    real = events.insert_new

    async def insert_new(tx: Transaction, batch: Sequence[Event], passed_over: Any) -> set[EventId]:
        identity = tables.events.c.identity
        found = await tx.execute(select(identity).where(identity.in_(listed(tx, [event.identity for event in batch]))))
        known = set(found.scalars())
        fresh = [event for event in batch if event.identity not in known]
        return await real(tx, fresh, passed_over) if fresh else set()

    async def originals(_: Transaction, duplicates: Any) -> Any:
        return {(event.account_id, event.identity): event.id for event in duplicates}

    patch.setattr(events, "insert_new", insert_new)
    patch.setattr(events, "originals", originals)


def look_for_endpoints_in_all_accounts(patch: pytest.MonkeyPatch) -> None:
    """Send an event to whoever wants its type."""
    real = endpoints.of_accounts

    async def of_accounts(tx: Transaction, accounts: Iterable[Any]) -> Any:
        wanted = list(accounts)
        found = await real(tx, (await tx.execute(select(tables.accounts.c.id))).scalars())
        everybody = [endpoint for those in found.values() for endpoint in those]
        return dict.fromkeys(wanted, everybody)

    patch.setattr(endpoints, "of_accounts", of_accounts)


def overlook_an_endpoint(patch: pytest.MonkeyPatch) -> None:
    """Make deliveries for all endpoints but the last one."""
    real = fanout._match

    def match(receivers: Sequence[Any], submission: Any) -> Any:
        wanted, passed_over = real(receivers, submission)
        return wanted[:-1] if len(wanted) > 1 else wanted, passed_over

    patch.setattr(fanout, "_match", match)


def lose_what_nobody_can_use(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge a dead letter without keeping it."""

    async def park(*_: Any) -> None:
        pass

    patch.setattr(dead_letters, "park", park)


def settle_without_the_lease(patch: pytest.MonkeyPatch) -> None:
    """Let whoever comes back decide, though the delivery was taken over or cancelled long ago."""
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
    new = {name: bindparam(f"new_{name}", type_=row[name].type) for name in names}
    blind = (
        update(tables.deliveries)
        .where(row.id == bindparam("settled"))
        .values(attempts_made=row.attempts_made + bindparam("attempts"), asked=null(), lease=null(), **new)
    )
    patch.setattr(deliveries, "_SETTLE", blind)


def drop_the_log_on_a_database_fault(patch: pytest.MonkeyPatch) -> None:
    """Forget what cannot be written now."""

    async def record(self: Ledger, entries: Sequence[Any]) -> Sequence[None]:
        try:
            await self._write(entries)
        except Exception as error:
            if not is_database_fault(error):
                raise
        return [None] * len(entries)

    patch.setattr(Ledger, "record", record)


def count_no_attempts(patch: pytest.MonkeyPatch) -> None:
    """Leave the number of attempts as it is."""
    real = ledger.settlement
    patch.setattr(ledger, "settlement", lambda entry: replace(real(entry), attempts=0))


def release_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """Give back what is then due at no time."""

    async def release(tx: Transaction, parcels: Sequence[Any], _: Any) -> None:
        given = tables.deliveries.c.id.in_([parcel.delivery_id for parcel in parcels])
        await tx.execute(update(tables.deliveries).where(given).values(wake_at=null(), lease=null()))

    patch.setattr(deliveries, "release", release)


def claim_what_others_hold(patch: pytest.MonkeyPatch) -> None:
    """Take for due what will be due soon."""
    real = deliveries.claim

    async def claim(tx: Transaction, lease: str, terms: Any, *, now: Any, **how: Any) -> Any:
        return await real(tx, lease, terms, now=now + timedelta(seconds=30), **how)

    patch.setattr(deliveries, "claim", claim)


def notice_late_what_is_due(patch: pytest.MonkeyPatch) -> None:
    """Look only for what has been due for half a minute."""
    real = deliveries.claim

    async def claim(tx: Transaction, lease: str, terms: Any, *, now: Any, **how: Any) -> Any:
        return await real(tx, lease, terms, now=now - timedelta(seconds=30), **how)

    patch.setattr(deliveries, "claim", claim)


def lease_for_less_than_a_request_takes(patch: pytest.MonkeyPatch) -> None:
    """Lease for two seconds, for requests that take up to ten."""
    patch.setattr(Settings, "lease_s", property(lambda _: 2.0))
    patch.setattr(Settings, "longest_delivery_s", property(lambda _: 1.0))


def lease_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Let leases of dead processes never run out."""
    patch.setattr(Settings, "lease_s", property(lambda _: 1e7))
