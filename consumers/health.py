"""How the consumers are: known at any moment, and told once when it changes."""

from collections.abc import Mapping
from dataclasses import dataclass

from delivery.telemetry import CONSUMING, tell, warn


@dataclass(frozen=True, slots=True)
class Health:
    """One consumer: at work, or not and why."""

    name: str
    up: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Depth:
    """One queue: messages that wait in it, and consumers that are attached to it."""

    queue: str
    messages: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Survey:
    """A bus as it stands: its queues, and by name what differs from what it should be."""

    depths: tuple[Depth, ...]
    problems: Mapping[str, str]


class BusUnavailable(Exception):
    """The bus could not take a message, or could not be asked, within its time. Trying again is safe."""


class Board:
    """What troubles each consumer, by aspect: the broker, its queue, the database. No trouble is up."""

    def __init__(self) -> None:
        self._troubles: dict[str, dict[str, str]] = {}

    def post(self, name: str) -> None:
        """Begin with a consumer. Its first trouble is that it has not started."""
        self._troubles[name] = {"start": "not started yet"}
        CONSUMING.labels(name).set(0)

    def trouble(self, aspect: str, why: str, *names: str) -> None:
        """Note a trouble of one consumer or of several. Said aloud when it is a new one, not while it lasts."""
        fresh = [name for name in names if aspect not in self._troubles.get(name, ())]
        if fresh:
            warn("consumer.troubled", consumers=fresh, aspect=aspect, why=why)
        for name in names:
            self._troubles.setdefault(name, {})[aspect] = why
            CONSUMING.labels(name).set(0)

    def clear(self, aspect: str, name: str) -> None:
        """Note that a trouble is over, if there was one."""
        troubles = self._troubles.setdefault(name, {})
        if troubles.pop(aspect, None) is not None:
            tell("consumer.mended", consumer=name, aspect=aspect)
            CONSUMING.labels(name).set(0 if troubles else 1)

    def close(self) -> None:
        """End with all consumers."""
        for name in self._troubles:
            CONSUMING.labels(name).set(0)
        self._troubles.clear()

    def view(self) -> tuple[Health, ...]:
        """All consumers, as they are now."""
        return tuple(Health(name, not why, "; ".join(why.values())) for name, why in self._troubles.items())
