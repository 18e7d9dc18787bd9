"""Identifiers: prefixed strings whose order is the order of their making.

``evt_019357e0a3b4c2f09d5b7a61e8`` is a prefix, twelve hex digits of Unix milliseconds and sixteen of chance. Made here
and not by the database, so that a batch of rows that refer to each other is written in one go.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Luck(Protocol):
    """The source of chance: ``random.SystemRandom()`` in service, a seeded ``random.Random`` in a simulation."""

    def getrandbits(self, k: int, /) -> int: ...  # noqa: D102 - as in ``random``
    def random(self) -> float: ...  # noqa: D102 - as in ``random``


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def new_id(prefix: str, now: datetime, luck: Luck) -> str:
    """Make an id.

    >>> from datetime import UTC; from random import Random
    >>> new_id("evt", datetime(2026, 1, 1, tzinfo=UTC), Random(7))
    'evt_019b76daa800f2a74de452e6b438'
    """
    return f"{first_id(prefix, now)}{luck.getrandbits(64):016x}"


def first_id(prefix: str, moment: datetime) -> str:
    """Make the lower bound of all ids that are made from the moment's millisecond on.

    >>> first_id("evt", datetime(2026, 1, 1, tzinfo=UTC))
    'evt_019b76daa800'
    """
    return f"{prefix}_{(moment - _EPOCH) // _MILLISECOND:012x}"  # in whole numbers: a float may fall one short
