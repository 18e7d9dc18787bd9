"""What happens in a run, line by line: for people who look for a fault, and to tell whether two runs differ."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from tests.simulation.loop import LIFE


class Story:
    """Listens to everybody; the product's own log lines come here, too. ``aloud``: what to do with each line."""

    def __init__(self, aloud: Callable[[str], object] | None = None) -> None:
        self._aloud = aloud
        self._hash = hashlib.sha256()

    def tell(self, who: str, what: str) -> None:
        """Add a line."""
        line = f"{asyncio.get_running_loop().time():14.6f}  {who:<8} {what}"
        self._hash.update(line.encode())
        if self._aloud:
            self._aloud(line)

    @property
    def digest(self) -> str:
        """The same for the same story, and for no other."""
        return self._hash.hexdigest()

    # -- where ``delivery.telemetry`` has its logger -------------------------------------------------------------------

    def info(self, fact: str, **facts: Any) -> None:
        self._tell_fact(fact, facts)

    def warning(self, fact: str, **facts: Any) -> None:
        self._tell_fact(fact, facts)

    def _tell_fact(self, fact: str, facts: dict[str, Any]) -> None:
        life = LIFE.get()
        told = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None and name != "exc_info")
        self.tell(life.name if life else "world", f"says {fact} {told}")
