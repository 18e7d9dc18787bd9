"""Asking before sending, where an endpoint has a rate limit or an open circuit: all processes share it in the store."""

from collections.abc import Sequence
from datetime import timedelta

from delivery.domain.gate import NotBefore, admit
from delivery.domain.model import DeliveryId, Endpoint
from delivery.ports import Clock
from delivery.store import gates
from delivery.store.engine import Store, is_database_fault
from delivery.telemetry import warn

#: When to ask again after an ask that the store could not answer, and how much may wait meanwhile.
_PATIENCE = timedelta(seconds=1)
_FEW = 16

Ask = tuple[DeliveryId, Endpoint]


class Gates:
    """Answers who may go out now. ``longest_s`` is the longest that sending one delivery can take."""

    def __init__(self, store: Store, clock: Clock, *, longest_s: float) -> None:
        self._store = store
        self._clock = clock
        self._longest = timedelta(seconds=longest_s)

    async def answer(self, asks: Sequence[Ask]) -> Sequence[NotBefore | None]:
        """Answer each ask, in order, in one transaction; None lets the delivery out."""
        try:
            return await self._answer(asks)
        except Exception as error:
            if not is_database_fault(error):
                raise
            # those without a gate need not suffer: only these wait
            warn("gates.unanswered", count=len(asks), error=str(error))
            return [NotBefore(self._clock.now() + _PATIENCE, _FEW, None)] * len(asks)

    async def _answer(self, asks: Sequence[Ask]) -> Sequence[NotBefore | None]:
        answers = []
        async with self._store.writing() as tx:
            before = await gates.lock(tx, {endpoint.id for _, endpoint in asks})
            after = dict(before)
            now = self._clock.now()
            for delivery_id, endpoint in asks:
                gate, answer = admit(after[endpoint.id], endpoint, delivery_id, now=now, longest=self._longest)
                after[endpoint.id] = gate
                answers.append(answer)
            changed = {name: gate for name, gate in after.items() if gate != before[name]}
            if changed:
                await gates.save(tx, changed)
        return answers
