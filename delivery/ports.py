"""What the use cases need of others: small, and owned here."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from delivery.domain.ids import Luck
from delivery.domain.model import DeliveryId, Endpoint, Outcome, Parcel, Trigger


class Clock(Protocol):
    """The time of day. Tests hand in one that they move."""

    def now(self) -> datetime:
        """Return this moment, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time and chance, as handed to every use case."""

    clock: Clock
    luck: Luck
    entropy: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Shipment:
    """One attempt about to be made.

    ``secrets`` are open and all still valid; the first one makes the seed's single signature, each one a Standard
    Webhooks signature. ``number`` is 1-based, ``at`` is the moment of the attempt.
    """

    parcel: Parcel
    endpoint: Endpoint
    secrets: Sequence[str]
    number: int
    trigger: Trigger
    at: datetime


class Destination(Protocol):
    """Carries shipments of one kind of endpoint out of the house."""

    async def send(self, shipment: Shipment) -> Outcome:
        """Make one request. Never raises for what the other side does; ends within the attempt timeout."""
        ...


Destinations = Mapping[str, Destination]


class Booking(Protocol):
    """Places in this process for deliveries that are about to be committed."""

    def admit(self, parcels: Sequence[Parcel]) -> set[DeliveryId]:
        """Take the parcels for which there is room; return their ids."""
        ...


class Carrier(Protocol):
    """What intake needs of the courier."""

    def booking(self) -> AbstractContextManager[Booking]:
        """Open a booking. What it admitted is sent when the block ends well, and forgotten when it raises."""
        ...

    def new_lease(self) -> str:
        """Make a fencing token that was never used before."""
        ...
