"""What a bus is to those who publish and to those who run it; and which one an address means."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, SupportsFloat

from consumers.health import Health, Survey
from consumers.memory import MemoryBus
from consumers.rabbit.bus import RabbitBus
from consumers.wire import Message
from delivery.intake import Intake
from delivery.ports import Surroundings
from delivery.store.engine import Store


class Bus(Protocol):
    """Carries events from publishers to the intake."""

    async def publish(self, message: Message) -> None:
        """Hand a message over; it is safe when this returns. Publishing again after an error is harmless.

        Raises:
            BusUnavailable: the bus did not confirm the message within its time.
        """
        ...

    def running(self, *, consume: bool = True, grace_s: SupportsFloat = 15.0) -> AbstractAsyncContextManager[None]:
        """Keep the bus open; with ``consume``, take in what comes. At the end, what is in hand is settled.

        That has ``grace_s``, which is asked then.
        """
        ...

    def health(self) -> Sequence[Health]:
        """How each consumer of this process is; empty where nothing is consumed."""
        ...

    async def survey(self) -> Survey:
        """Look at the bus from outside, changing nothing.

        Raises:
            BusUnavailable: there is no answer.
        """
        ...


def open_bus(url: str, *, intake: Intake, store: Store, around: Surroundings) -> Bus:
    """Make the bus of an address: ``memory://``, ``amqp://…`` or ``amqps://…``. Connects while it is running."""
    scheme = url.partition(":")[0]
    if scheme in ("amqp", "amqps"):
        return RabbitBus(url, intake, store, around)
    if scheme == "memory":
        return MemoryBus(intake, store, around)
    raise ValueError(f'A bus is "memory://", "amqp://…" or "amqps://…", not "{scheme}:…"')
