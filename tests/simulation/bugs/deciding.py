"""Mistakes with the schedule."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from delivery import carriage, ledger
from delivery.domain import retry
from delivery.domain.retry import AsBefore, RetryAt


def retry_too_early(patch: pytest.MonkeyPatch) -> None:
    """Make waits a tenth shorter."""
    real = retry.decide

    def decide(*facts: Any, schedule: Sequence[int], **more: Any) -> Any:
        return real(*facts, schedule=[wait * 9 // 10 for wait in schedule], **more)

    patch.setattr(carriage, "decide", decide)


def give_up_early(patch: pytest.MonkeyPatch) -> None:
    """Leave the last retry of a schedule out."""
    real = retry.decide

    def decide(*facts: Any, schedule: Sequence[int], **more: Any) -> Any:
        return real(*facts, schedule=schedule[:-1], **more)

    patch.setattr(carriage, "decide", decide)


def ignore_how_long_a_receiver_asks_to_wait(patch: pytest.MonkeyPatch) -> None:
    """Do not read ``Retry-After``."""
    patch.setattr(retry, "retry_after", lambda *_: timedelta(0))


def let_a_retry_by_hand_eat_from_the_schedule(patch: pytest.MonkeyPatch) -> None:
    """Leave whoever retries by hand one automatic retry less."""
    real = ledger._after

    def after(parcel: Any, verdict: Any) -> Any:
        standing, used, at = real(parcel, verdict)
        return standing, used + isinstance(verdict, AsBefore), at

    patch.setattr(ledger, "_after", after)


def lose_the_time_of_the_next_attempt(patch: pytest.MonkeyPatch) -> None:
    """Leave what failed as it is, so that nobody comes back to it."""
    real = ledger._after

    def after(parcel: Any, verdict: Any) -> Any:
        standing, used, at = real(parcel, verdict)
        return standing, used, None if isinstance(verdict, RetryAt) else at

    patch.setattr(ledger, "_after", after)
