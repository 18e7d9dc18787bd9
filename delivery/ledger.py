"""The log: attempts and the states that follow from them, written together.

Everything that finished in the last few milliseconds goes into one transaction, so an attempt and the state that it led
to appear at the same moment, and a commit is shared by many.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from delivery.domain.deeds import HOOKLINE, given_up
from delivery.domain.envelope import Submission
from delivery.domain.gate import is_open
from delivery.domain.ids import Luck
from delivery.domain.model import Attempt, Endpoint, EndpointId, Parcel, Standing, Tempo
from delivery.domain.retry import AsBefore, Delivered, GiveUp, RetryAt, StandDown, Verdict
from delivery.domain.tally import Fact, Key, attempted, key, tallied
from delivery.notices import delivery_failed, post, webhook_disabled, worth_telling
from delivery.store import audit, deliveries, endpoints, gates, rollups
from delivery.store.deliveries import Settlement
from delivery.store.endpoints import Turn
from delivery.store.engine import Store, Transaction, is_database_fault
from delivery.telemetry import tell, warn

#: Pauses between tries while the database is away, in seconds; the last one repeats.
_PATIENCE = (0.05, 0.2, 0.5, 1.0, 2.0)

GONE = "The receiver answered 410 Gone"


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a parcel: the attempts that were made (none, one, or two in a rotation) and the verdict.

    ``tempo`` is what was learnt of the endpoint, None where that is no news.
    """

    parcel: Parcel
    verdict: Verdict
    finished_at: datetime
    attempts: Sequence[Attempt] = ()
    endpoint: Endpoint | None = None
    tempo: Tempo | None = None


class Ledger:
    """Writes entries, many at once."""

    def __init__(self, store: Store, luck: Luck) -> None:
        self._store = store
        self._luck = luck
        self.behind = False

    async def record(self, entries: Sequence[Entry]) -> Sequence[None]:
        """Write; when this returns, it is committed.

        The requests were made and the log must say so: while the database is away this waits and tries again, and
        the places in the courier stay taken meanwhile, which is what keeps memory bounded.
        """
        tries = 0
        while True:
            try:
                await self._write(entries)
            except Exception as error:
                # an entry may be at fault that the database refuses, if only because it was written already, and that
                # was not heard: the database is there
                self.behind = is_database_fault(error)
                if not self.behind:
                    raise
                warn("ledger.behind", error=str(error), entries=len(entries), tries=tries + 1)
                await asyncio.sleep(_PATIENCE[min(tries, len(_PATIENCE) - 1)])
                tries += 1
            else:
                self.behind = False
                break
        for entry in entries:
            _tell(entry)
        return [None] * len(entries)

    async def _write(self, entries: Sequence[Entry]) -> None:
        made = [attempt for entry in entries for attempt in entry.attempts]
        async with self._store.writing() as tx:
            if made:
                await deliveries.log(tx, made)
            ended = await _ended(tx, entries)
            await deliveries.settle(tx, [settlement(entry) for entry in entries])
            disabled = await _note_health(tx, entries, self._luck)
            notices = [*_failed_for_good(ended), *disabled]
            if notices:
                await post(tx, notices, now=entries[0].finished_at, luck=self._luck)
            await rollups.note(tx, tallied(_facts(entries, ended)))


async def _ended(tx: Transaction, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Those with which a delivery comes to be delivered or failed: it was not so before, and the lease still holds."""
    ending = [entry for entry in entries if _is_an_end(entry)]
    held = await deliveries.leases(tx, [entry.parcel.delivery_id for entry in ending]) if ending else {}
    return [entry for entry in ending if held.get(entry.parcel.delivery_id) == entry.parcel.lease]


def _is_an_end(entry: Entry) -> bool:
    standing = _after(entry.parcel, entry.verdict)[0]
    return standing in ("delivered", "failed") and standing != entry.parcel.standing


def _failed_for_good(ended: Sequence[Entry]) -> Sequence[Submission]:
    """What is to be told of deliveries that failed."""
    over = [entry for entry in ended if isinstance(entry.verdict, GiveUp) and worth_telling(entry.parcel)]
    return [delivery_failed(e.parcel, e.attempts, e.attempts[-1].outcome.url, e.finished_at) for e in over]


def _facts(entries: Sequence[Entry], ended: Sequence[Entry]) -> Iterator[Fact]:
    """What statistics count: each attempt at its start, each end when it came."""
    for entry in entries:
        for attempt in entry.attempts:
            yield _key(entry.parcel, attempt.started_at), attempted(attempt.outcome)
    for entry in ended:
        yield _key(entry.parcel, entry.finished_at), {_after(entry.parcel, entry.verdict)[0]: 1}


def _key(parcel: Parcel, moment: datetime) -> Key:
    return key(moment, parcel.account_id, parcel.endpoint_id, parcel.event_type)


def settlement(entry: Entry) -> Settlement:
    """What a verdict means for the delivery's row."""
    parcel = entry.parcel
    standing, retries_used, next_at = _after(parcel, entry.verdict)
    last = entry.attempts[-1].outcome if entry.attempts else None
    return Settlement(
        parcel=parcel,
        standing=standing,
        retries_used=retries_used,
        next_attempt_at=next_at,
        finished_at=entry.finished_at if standing != parcel.standing else parcel.finished_at,
        attempts=len(entry.attempts),
        last_response_status=last.answer.status if last and last.answer else None,
        last_error=_last_error(entry),
    )


def _after(parcel: Parcel, verdict: Verdict) -> tuple[Standing, int, datetime | None]:
    spent = parcel.retries_used + (parcel.asked is None)
    match verdict:
        case Delivered():
            return "delivered", spent, None
        case RetryAt(at):
            return "pending", spent, at
        case GiveUp():
            # a delivery that arrived stays delivered, whatever a later attempt by hand comes to
            return "delivered" if parcel.standing == "delivered" else "failed", spent, None
        case AsBefore():
            return parcel.standing, parcel.retries_used, parcel.next_attempt_at
        case StandDown():
            ended: Standing = "cancelled" if parcel.standing == "pending" else parcel.standing
            return ended, parcel.retries_used, None
        case _:
            assert_never(verdict)


def _last_error(entry: Entry) -> str | None:
    if isinstance(entry.verdict, StandDown):
        return entry.verdict.reason
    failure = entry.attempts[-1].outcome.failure
    return failure.error if failure else None


async def _note_health(tx: Transaction, entries: Sequence[Entry], luck: Luck) -> Sequence[Submission]:
    """Write down how endpoints fared; return what is to be told of those that were disabled."""
    fared: dict[EndpointId, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.endpoint is not None:
            fared[entry.endpoint.id].append(entry)
    turns = {endpoint_id: turn for endpoint_id, those in fared.items() if (turn := _turn(those)) is not None}
    if turns:
        await endpoints.note(tx, turns)
    probes = [(e.endpoint.id, e.parcel.delivery_id) for e in entries if e.endpoint is not None and is_open(e.endpoint)]
    if probes:
        await gates.end_probes(tx, probes)
    gone = {e.parcel.endpoint_id: e.finished_at for e in entries if isinstance(e.verdict, GiveUp) and e.verdict.gone}
    if not gone:
        return ()
    now = max(gone.values())
    disabled = await endpoints.disable(tx, gone, reason=GONE, now=now)
    await audit.note(tx, HOOKLINE, *map(given_up, disabled), now=now, luck=luck)
    return [webhook_disabled(endpoint, gone[endpoint.id]) for endpoint in disabled]


def _turn(entries: Sequence[Entry]) -> Turn | None:
    """How one endpoint fared; None where it goes on as it was known, which costs no statement."""
    recovered, failures, since = False, 0, None
    for entry in entries:
        if isinstance(entry.verdict, Delivered):
            recovered, failures, since = True, 0, None
        else:
            failures += 1
            since = since or entry.finished_at
    known, tempo = entries[-1].endpoint, entries[-1].tempo
    as_before = known is None or (failures == 0 and known.failures == 0) or (not recovered and is_open(known))
    return None if as_before and tempo is None else Turn(recovered, failures, since, tempo)


def _tell(entry: Entry) -> None:
    parcel = entry.parcel
    for attempt in entry.attempts:
        outcome = attempt.outcome
        tell(
            "delivery.attempted",
            delivery_id=parcel.delivery_id,
            event_id=parcel.event_id,
            account_id=parcel.account_id,
            endpoint_id=parcel.endpoint_id,
            type=parcel.event_type,
            number=attempt.number,
            trigger=attempt.trigger,
            result=outcome.failure.error if outcome.failure else "delivered",
            response_status=outcome.answer.status if outcome.answer else None,
            duration_ms=outcome.timings.total_ms,
            traceparent=parcel.traceparent,
        )
    if not isinstance(entry.verdict, (RetryAt, AsBefore)):
        tell(
            "delivery.finished",
            delivery_id=parcel.delivery_id,
            event_id=parcel.event_id,
            account_id=parcel.account_id,
            endpoint_id=parcel.endpoint_id,
            status=_after(parcel, entry.verdict)[0],
            attempts=parcel.attempts_made + len(entry.attempts),
            after_s=(entry.finished_at - parcel.created_at).total_seconds(),
            traceparent=parcel.traceparent,
        )
