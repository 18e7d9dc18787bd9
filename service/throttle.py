"""Slowing down who guesses passwords, counted in the store: for all processes together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil

from delivery.store import logins
from delivery.store.engine import Transaction
from delivery.store.logins import Tries
from service.credentials import TooManyLogins

#: So many tries with wrong passwords for one e-mail address, and from one client, in ``WINDOW``.
MOST_OF_EMAIL = 10
MOST_OF_CLIENT = 100
WINDOW = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Attempted:
    """Who tries to log in, from where: as digests, for people type passwords into the wrong field."""

    email: str
    client: str | None

    @classmethod
    def by(cls, email: str, address: str | None) -> "Attempted":
        """Say who tries; an address that is not known is not counted."""
        return cls(_digest("email", email), _digest("client", _network(address)) if address else None)

    @property
    def limits(self) -> Mapping[str, int]:
        """How often each may be tried."""
        limits = {self.email: MOST_OF_EMAIL}
        return limits if self.client is None else limits | {self.client: MOST_OF_CLIENT}


async def admit(tx: Transaction, attempted: Attempted, now: datetime) -> TooManyLogins | None:
    """Count a try. It counts before the password is looked at, so that many at once are no way around."""
    limits = attempted.limits
    counted = await logins.count_tries(tx, list(limits), now=now, none_before=now - WINDOW)
    waits = [_wait_s(tries, now) for subject, tries in counted.items() if tries.count > limits[subject]]
    return TooManyLogins(max(waits)) if waits else None


async def forgive(tx: Transaction, attempted: Attempted) -> None:
    """The password was right. The client keeps its other tries: one account of its own must not buy it more."""
    await logins.forget_tries(tx, attempted.email)
    if attempted.client is not None:
        await logins.take_back_try(tx, attempted.client)


def _wait_s(tries: Tries, now: datetime) -> int:
    return max(1, ceil((tries.since + WINDOW - now).total_seconds()))


def _network(address: str) -> str:
    """What one client has for itself: an IPv4 address, or 64 bits of IPv6.

    >>> _network("192.0.2.1"), _network("::ffff:192.0.2.1"), _network("2001:db8::1:2:3:4")
    ('192.0.2.1', '192.0.2.1', '2001:db8::')
    """
    found = ip_address(address.partition("%")[0])
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))


def _digest(kind: str, subject: str) -> str:
    return sha256(f"{kind} {subject}".encode(errors="replace")).hexdigest()
