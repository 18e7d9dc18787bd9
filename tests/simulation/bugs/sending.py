"""Mistakes on the way out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from delivery.departures import Departures, Grounded
from delivery.domain import gate
from delivery.gates import Gates
from delivery.lanes import Lanes
from delivery.places import Places
from delivery.requests import Requests
from delivery.store.engine import Transaction
from delivery.tempo import SHARES


def send_without_asking_whose_it_is(patch: pytest.MonkeyPatch) -> None:
    """Send what another process has taken over meanwhile."""
    real: Any = Departures._decide

    def decide(self: Departures, parcel: Any, clearance: Any, now: Any) -> Any:
        return real(self, parcel, clearance and replace(clearance, lease=parcel.lease), now)

    patch.setattr(Departures, "_decide", decide)


def send_what_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    """Send what nobody has any more."""
    real: Any = Departures._decide

    def decide(self: Departures, parcel: Any, clearance: Any, now: Any) -> Any:
        if clearance and clearance.lease is None:
            return self._open(self._endpoints[clearance.endpoint_id], now)
        return real(self, parcel, clearance, now)

    patch.setattr(Departures, "_decide", decide)
    patch.setattr(Departures, "_runs_out", lambda *_: False)


def send_to_what_is_switched_off(patch: pytest.MonkeyPatch) -> None:
    """Look whose a delivery is, and not whether its endpoint is still on."""
    real: Any = Departures._decide

    def decide(self: Departures, parcel: Any, clearance: Any, now: Any) -> Any:
        decision = real(self, parcel, clearance, now)
        if isinstance(decision, Grounded):
            return self._open(self._endpoints[clearance.endpoint_id], now)
        return decision

    patch.setattr(Departures, "_decide", decide)


def send_to_the_endpoint_as_it_was_first_seen(patch: pytest.MonkeyPatch) -> None:
    """Use a changed URL or secret only in a new process."""
    real: Any = Departures._refresh

    async def refresh(self: Departures, tx: Transaction, current: Any) -> None:
        await real(self, tx, [entry for entry in current if entry.endpoint_id not in self._endpoints])

    patch.setattr(Departures, "_refresh", refresh)


def sign_with_the_old_secret_first(patch: pytest.MonkeyPatch) -> None:
    """Take the secrets of a rotation the wrong way round."""
    real: Any = Departures._opened
    patch.setattr(Departures, "_opened", lambda self, endpoint, now: real(self, endpoint, now)[::-1])


def never_try_the_old_secret(patch: pytest.MonkeyPatch) -> None:
    """Let a receiver that has not switched yet lose everything until it does."""
    patch.setattr("delivery.carriage._refused_signature", lambda _: False)


def limit_rates_in_each_process(patch: pytest.MonkeyPatch) -> None:
    """Give each process a rate limit of its own: three of them send three times as much."""
    real: Any = Gates.answer

    async def answer(self: Any, asks: Sequence[Any]) -> Sequence[Any]:
        own: dict[Any, gate.Gate] = self.__dict__.setdefault("own", {})
        answers = []
        for delivery_id, endpoint in asks:
            now = self._clock.now()
            limited = replace(endpoint, failures=0)
            own[endpoint.id], told = gate.admit(
                own.get(endpoint.id, gate.Gate()), limited, delivery_id, now=now, longest=self._longest
            )
            answers.append(told)
        unlimited = [(delivery_id, replace(endpoint, rate_limit=None)) for delivery_id, endpoint in asks]
        return [one or other for one, other in zip(answers, await real(self, unlimited), strict=True)]

    patch.setattr(Gates, "answer", answer)


def let_two_probes_out_at_once(patch: pytest.MonkeyPatch) -> None:
    """Do not see that an open circuit is being tried already."""
    patch.setattr(gate, "_busy_until", lambda *_: None)


def forget_how_many_may_go_to_one_endpoint(patch: pytest.MonkeyPatch) -> None:
    """Forget the bound of a lane."""
    patch.setattr(Lanes, "_pace", lambda *_: 10**6)


def forget_how_many_may_go_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """Forget the bound of a process."""
    patch.setattr(Requests, "tempos", lambda _: list(SHARES))
    patch.setattr(Requests, "may", lambda *_: True)


def forget_how_much_may_be_held(patch: pytest.MonkeyPatch) -> None:
    """Forget the bound of memory."""
    patch.setattr(Places, "_bound", lambda *_: 10**6)


def forget_to_give_places_back(patch: pytest.MonkeyPatch) -> None:
    """Keep the place of what is in the log."""
    patch.setattr(Lanes, "done", lambda *_: None)
