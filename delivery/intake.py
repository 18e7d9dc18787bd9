"""Accepting events: the moment from which nothing may be lost.

Accepted means committed, with its deliveries, in one transaction. Deliveries for which this process has room are
written as leased to it and sent straight from memory; the others lie in the store, due, for whoever has room.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.domain.envelope import Submission
from delivery.domain.errors import HooklineError, InvalidEvent, QuotaExceeded
from delivery.domain.model import KeyId
from delivery.domain.tally import Tally, key, tallied
from delivery.fanout import FanOut, Lease, Receipt, record
from delivery.ports import Carrier, Surroundings
from delivery.store import accounts, deliveries, events, rollups
from delivery.store.engine import Store, Transaction, is_database_fault
from delivery.telemetry import tell

#: How long it is news that nothing was taken; nobody knows better until somebody offers something again.
_NEWS = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Meter:
    """The counter that an offer is charged to: ``limit`` events in a calendar month, UTC."""

    key_id: KeyId
    limit: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What one publisher hands in at once. Metered offers are taken whole or, when they do not fit, not at all."""

    submissions: Sequence[Submission]
    meter: Meter | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A submission, or a whole offer, that was not taken."""

    error: HooklineError


#: What is to be committed together with what is taken.
Beginning = Callable[[Transaction], Awaitable[None]]

#: One result per submission, or one refusal for all of them.
Reply = Sequence[Receipt | Refused] | Refused


def period(now: datetime) -> str:
    """The billing period that a moment belongs to.

    >>> from datetime import UTC
    >>> period(datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    '2026-01'
    """
    return now.strftime("%Y-%m")


class Intake:
    """Turns submissions into events and deliveries."""

    def __init__(self, store: Store, carrier: Carrier, around: Surroundings, *, lease_s: float) -> None:
        self._store = store
        self._carrier = carrier
        self._around = around
        self._lease = timedelta(seconds=lease_s)
        self._refusal: tuple[datetime, Exception] | None = None

    @property
    def trouble(self) -> Exception | None:
        """Why the store took nothing when it was last offered something; None: it did, or that is no news."""
        if self._refusal is None or self._around.clock.now() > self._refusal[0] + _NEWS:
            return None
        return self._refusal[1]

    async def accept(self, offers: Sequence[Offer], *, first: Beginning | None = None) -> Sequence[Reply]:
        """Take offers in one transaction; when this returns, it is committed.

        ``first`` is what the transaction begins with; where it raises, nothing is taken.
        """
        try:
            replies = await self._accept(offers, first)
        except Exception as error:
            if is_database_fault(error):
                self._refusal = self._around.clock.now(), error
            raise
        if offers:
            self._refusal = None
        return replies

    async def _accept(self, offers: Sequence[Offer], first: Beginning | None) -> Sequence[Reply]:
        now = self._around.clock.now()
        with self._carrier.booking() as booking:
            async with self._store.writing() as tx:
                if first is not None:
                    await first(tx)
                admitted = await _metered(tx, offers, period(now))
                batch = [s for offer, ok in zip(offers, admitted, strict=True) if ok for s in offer.submissions]
                known = await events.known_accounts(tx, {s.account_id for s in batch})
                known_batch = [s for s in batch if s.account_id in known]
                lease = Lease(self._carrier.new_lease(), now + self._lease)
                fan_out = await record(tx, known_batch, now=now, lease=lease, luck=self._around.luck)
                if fan_out.parcels:
                    leased = booking.admit(fan_out.parcels)
                    await deliveries.insert_new(tx, fan_out.parcels, leased=leased)
                await rollups.note(tx, _tally(known_batch, fan_out, now))
        replies = [
            [fan_out.receipts.get(id(s)) or _unknown_account() for s in offer.submissions] if ok else _over_quota()
            for offer, ok in zip(offers, admitted, strict=True)
        ]
        _tell(batch, fan_out)
        return replies


async def _metered(tx: Transaction, offers: Sequence[Offer], month: str) -> Sequence[bool]:
    """Charge offers to their keys; False for one that no longer fits, which is then charged nothing."""
    meters = {offer.meter.key_id for offer in offers if offer.meter}
    if not meters:
        return [True] * len(offers)
    totals = await accounts.lock_usage(tx, sorted(meters), month)
    charged: dict[KeyId, int] = defaultdict(int)
    admitted = []
    for offer in offers:
        meter, count = offer.meter, len(offer.submissions)
        fits = meter is None or totals[meter.key_id] + count <= meter.limit
        if meter and fits:
            totals[meter.key_id] += count
            charged[meter.key_id] = totals[meter.key_id]
        admitted.append(fits)
    await accounts.count_usage(tx, charged, month)
    return admitted


def _tally(batch: Sequence[Submission], fan_out: FanOut, now: datetime) -> Tally:
    """What statistics count: the events that are new."""
    fresh = [submission for submission in batch if not fan_out.receipts[id(submission)].duplicate]
    return tallied((key(now, submission.account_id, "", submission.type), {"accepted": 1}) for submission in fresh)


def _unknown_account() -> Refused:
    return Refused(InvalidEvent("unknown_account", "No such account", field="account_id"))


def _over_quota() -> Refused:
    return Refused(QuotaExceeded())


def _tell(batch: Sequence[Submission], fan_out: FanOut) -> None:
    for submission in batch:
        receipt = fan_out.receipts.get(id(submission))
        if receipt is not None:
            tell(
                "event.accepted",
                event_id=receipt.event_id,
                account_id=submission.account_id,
                type=submission.type,
                job_id=submission.job_id,
                duplicate=receipt.duplicate,
                deliveries=receipt.deliveries,
                traceparent=submission.traceparent,
            )
