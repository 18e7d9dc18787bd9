"""A customer's receiver on loopback: remembers what it is sent and answers as a test tells it to."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Call:
    """One request, as it came."""

    headers: Mapping[str, str]
    body: bytes
    query: str = ""


@dataclass(frozen=True)
class Reply:
    """What the receiver answers."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Receiver:
    """``calls`` are all requests so far. While the ``door`` is shut, every caller waits for its answer.

    ``most_at_once`` is how many were there together at the most.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.most_at_once = 0
        self._inside = 0
        self.door = asyncio.Event()
        self.door.set()
        self._judge: Callable[[Call], Reply] = lambda _: Reply(200)

    def answers(self, *replies: int | Reply) -> None:
        """Answer these, one after the other; the last one for ever."""
        left = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        self._judge = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def judges(self, judge: Callable[[Call], Reply]) -> None:
        """Answer each call as it deserves."""
        self._judge = judge

    def trusts_only(self, secret: str) -> None:
        """Behave like the setup guide's example: 403 for whatever is not signed with the one secret it knows."""
        self._judge = lambda call: Reply(200 if verifies(call, secret) else 403)

    async def take(self, request: web.Request) -> web.Response:
        call = Call(request.headers, await request.read(), request.query_string)
        self.calls.append(call)
        reply = self._judge(call)
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        await self.door.wait()
        await asyncio.sleep(0)  # whoever comes at the same moment comes in now
        self._inside -= 1
        return web.Response(status=reply.status, headers=reply.headers)


def verifies(call: Call, secret: str) -> bool:
    """Whether the seed's one signature on a call was made with this secret."""
    return verify_webhook(call.body, call.headers["X-Tagmatic-Signature"], secret)


def verify_webhook(payload_bytes: bytes, signature_header: str, secret: str) -> bool:
    """The setup guide's snippet, word for word: what customers run."""
    # fmt: off
    expected = hmac.new(
        secret.encode(), payload_bytes, hashlib.sha256
    ).hexdigest()
    received = signature_header.replace("sha256=", "")
    return hmac.compare_digest(expected, received)
    # fmt: on


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver while the block is open."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        receiver.door.set()
        await runner.cleanup()
