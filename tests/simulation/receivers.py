"""Customers' servers: each has a mood, and knows one secret."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Literal

from tests.simulation.wire import Call, Reply
from tests.support.receiver import verify_webhook

#: How a server is, until its mood is over; then it is well. The names that need more words:
#:
#: * ``flapping``: fails and is well by turns of some seconds; ``overloaded``: 429 or 503 with ``Retry-After``;
#: * ``gone``: answers 410 once it has had enough; ``mistrusting``: 401 whatever comes; ``rough``: closes connections,
#:   before it has read or after.
Mood = Literal["well", "slow", "failing", "flapping", "hanging", "rough", "overloaded", "gone", "broken", "mistrusting"]

_FAILURES = (301, 400, 404, 500, 502, 503, 504)


class Receiver:
    """One server. ``calls`` are those that reached it; ``bad`` is how many its mood lasts for."""

    def __init__(self, url: str, secret: str, mood: Mood, luck: Random) -> None:
        self.url = url
        self.secret = secret
        self.mood = mood
        self.calls: list[Call] = []
        self._luck = luck
        self._bad = luck.choice((1, 1, 2, 3, 8))
        self._period = luck.uniform(2, 40)
        self._replies = self._in_mood()

    def take(self, call: Call, now: float, today: datetime) -> Reply | None:
        """Answer a call; None: nobody is there."""
        self._now, self._today = now, today
        self.calls.append(call)
        reply = next(self._replies)
        if reply is not None and reply.status == 200 and not self._verifies(call):
            return Reply(self._luck.choice((401, 403)), reply.after_s)
        return reply

    def _verifies(self, call: Call) -> bool:
        return verify_webhook(call.body, call.headers["X-Tagmatic-Signature"], self.secret)

    def _quick(self, status: int, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, self._luck.expovariate(20), named)

    def _in_mood(self) -> Iterator[Reply | None]:
        """Answer for ever."""
        match self.mood:
            case "failing" | "hanging" | "rough" | "overloaded":
                yield from (self._badly() for _ in range(self._bad))
            case "gone":
                yield from (self._quick(200) for _ in range(self._bad))
                yield self._quick(410)
        while True:
            yield self._for_good()

    def _for_good(self) -> Reply:
        """Answer as ever."""
        match self.mood:
            case "slow":
                return Reply(200, self._luck.uniform(0.5, 9.5))
            case "flapping":
                return self._quick(500 if int(self._now / self._period) % 2 else 200)
            case "broken":
                return self._quick(500)
            case "mistrusting":
                return self._quick(401)
        return self._quick(200)

    def _badly(self) -> Reply | None:
        match self.mood:
            case "hanging":
                return Reply(None)
            case "rough":
                return self._luck.choice((None, Reply(0, 0.001), Reply(0, 2.0)))
            case "overloaded":
                return self._quick(self._luck.choice((429, 503)), retry_after=self._patience())
        return self._quick(self._luck.choice(_FAILURES))

    def _patience(self) -> str:
        seconds = self._luck.choice((0, 3, 90, 4000))
        if self._luck.random() < 0.5:
            return str(seconds)
        return format_datetime(self._today + timedelta(seconds=seconds), usegmt=True)
