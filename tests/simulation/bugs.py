"""Mistakes that somebody could make, planted into the real code to see that the simulation finds each of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from delivery import carriage, ledger
from delivery.courier import Courier
from delivery.departures import Departures
from delivery.domain import retry
from delivery.domain.model import Endpoint, Event, EventId
from delivery.domain.retry import AsBefore, RetryAt
from delivery.lanes import Lanes
from delivery.places import Places
from delivery.store import deliveries, events, tables
from delivery.store.engine import Transaction, listed
from service.settings import Settings

Plant = Callable[[pytest.MonkeyPatch], None]


def settle_without_looking_at_the_lease(patch: pytest.MonkeyPatch) -> None:
    real = deliveries.settle

    async def settle(tx: Transaction, settlements: Sequence[deliveries.Settlement]) -> None:
        row = tables.deliveries.c
        ids = [settlement.parcel.delivery_id for settlement in settlements]
        found = await tx.execute(select(row.id, row.lease).where(row.id.in_(listed(tx, ids))))
        leases = {one.id: one.lease for one in found}
        careless = [replace(s, parcel=replace(s.parcel, lease=leases[s.parcel.delivery_id] or "")) for s in settlements]
        await real(tx, careless)

    patch.setattr(deliveries, "settle", settle)


def forget_how_many_may_go_to_one_endpoint(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lanes, "_pace", lambda *_: 10**6)


def forget_how_many_places_there_are(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Places, "_bound", lambda *_: 10**6)


def send_to_the_endpoint_as_it_was_first_seen(patch: pytest.MonkeyPatch) -> None:
    real: Any = Departures._refresh

    async def refresh(self: Departures, tx: Transaction, current: Any) -> None:
        await real(self, tx, [entry for entry in current if entry.endpoint_id not in self._endpoints])

    patch.setattr(Departures, "_refresh", refresh)


def send_without_asking_whose_it_is(patch: pytest.MonkeyPatch) -> None:
    real: Any = Departures._decide

    def decide(self: Departures, parcel: Any, clearance: Any, now: Any) -> Any:
        mine = clearance and replace(clearance, lease=parcel.lease, wake_at=now + timedelta(days=1))
        return real(self, parcel, mine, now)

    patch.setattr(Departures, "_decide", decide)


def lease_for_less_than_a_request_takes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Settings, "lease_s", property(lambda _: 2.0))
    patch.setattr(Settings, "longest_delivery_s", property(lambda _: 1.0))


def lease_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Settings, "lease_s", property(lambda _: 1e7))


def let_a_retry_by_hand_eat_from_the_schedule(patch: pytest.MonkeyPatch) -> None:
    real = ledger._after

    def after(parcel: Any, verdict: Any) -> Any:
        standing, used, at = real(parcel, verdict)
        return standing, used + isinstance(verdict, AsBefore), at

    patch.setattr(ledger, "_after", after)


def lose_the_time_of_the_next_attempt(patch: pytest.MonkeyPatch) -> None:
    real = ledger._after

    def after(parcel: Any, verdict: Any) -> Any:
        standing, used, at = real(parcel, verdict)
        return standing, used, None if isinstance(verdict, RetryAt) else at

    patch.setattr(ledger, "_after", after)


def retry_too_early(patch: pytest.MonkeyPatch) -> None:
    real = retry.decide

    def decide(*facts: Any, schedule: Sequence[int], **more: Any) -> Any:
        return real(*facts, schedule=[wait * 9 // 10 for wait in schedule], **more)

    patch.setattr(carriage, "decide", decide)


def ignore_how_long_a_receiver_asks_to_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retry, "retry_after", lambda *_: timedelta(0))


def never_try_the_old_secret(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(carriage, "_refused_signature", lambda _: False)


def sign_with_the_old_secret_first(patch: pytest.MonkeyPatch) -> None:
    real: Any = Departures._open

    def opened(self: Departures, endpoint: Endpoint, now: Any) -> Any:
        return real(self, replace(endpoint, secrets=endpoint.secrets[::-1]), now)

    patch.setattr(Departures, "_open", opened)


def look_for_duplicates_in_all_accounts(patch: pytest.MonkeyPatch) -> None:
    real = events.insert_new

    async def insert_new(tx: Transaction, batch: Sequence[Event], passed_over: Any) -> set[EventId]:
        identity = tables.events.c.identity
        found = await tx.execute(select(identity).where(identity.in_(listed(tx, [event.identity for event in batch]))))
        known = set(found.scalars())
        fresh = [event for event in batch if event.identity not in known]
        return await real(tx, fresh, passed_over) if fresh else set()

    async def originals(tx: Transaction, duplicates: Any) -> Any:
        return {(event.account_id, event.identity): event.id for event in duplicates}

    patch.setattr(events, "insert_new", insert_new)
    patch.setattr(events, "originals", originals)


def drop_the_log_when_the_database_is_away(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "is_database_fault", lambda _: False)


def count_no_attempts(patch: pytest.MonkeyPatch) -> None:
    real = ledger.settlement
    patch.setattr(ledger, "settlement", lambda entry: replace(real(entry), attempts=0))


def send_what_was_never_committed(patch: pytest.MonkeyPatch) -> None:
    real: Any = Courier.book

    def book(self: Courier, parcel: Any) -> bool:
        taken = bool(real(self, parcel))
        if taken and parcel.attempts_made == 0:
            self._lanes.put(parcel)
            self._start_what_may_start()
        return taken

    patch.setattr(Courier, "book", book)


#: Each mistake, and the promises by one of which it is to be found.
PLANTED: dict[Plant, tuple[str, ...]] = {
    settle_without_looking_at_the_lease: ("a lease is respected", "states change as in the picture"),
    forget_how_many_may_go_to_one_endpoint: ("limits hold",),
    send_to_the_endpoint_as_it_was_first_seen: ("sent to where the endpoint is, signed with its secret",),
    send_without_asking_whose_it_is: ("who sends has the lease",),
    lease_for_less_than_a_request_takes: ("never twice at a time",),
    lease_for_ever: ("nothing is stuck",),
    let_a_retry_by_hand_eat_from_the_schedule: ("the row counts what was made",),
    lose_the_time_of_the_next_attempt: ("nothing is stuck",),
    retry_too_early: ("never before its time",),
    ignore_how_long_a_receiver_asks_to_wait: ("planned as promised", "never before its time"),
    sign_with_the_old_secret_first: ("sent to where the endpoint is, signed with its secret",),
    look_for_duplicates_in_all_accounts: ("what was accepted is there once",),
    count_no_attempts: ("the row counts what was made",),
    send_what_was_never_committed: ("who sends has the lease", "the wire shows what the log says"),
    never_try_the_old_secret: ("a valid secret is not refused to the end",),
    drop_the_log_when_the_database_is_away: ("the wire shows what the log says",),
}
