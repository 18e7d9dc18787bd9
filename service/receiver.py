"""A receiver of deliveries, written as the setup guide tells a customer to write one."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """One request that came. ``verified`` is None where there was no secret to verify with."""

    event: str
    delivery_id: str
    attempt: int
    job_id: str
    verified: bool | None
    headers: Mapping[str, str]
    body: bytes


#: Looks at what came and says with which status to answer.
Answer = Callable[[Received], int]


def verify_webhook(payload_bytes: bytes, signature_header: str, secret: str) -> bool:
    """Verify a signature: the function of the setup guide, word for word.

    >>> verify_webhook(b"{}", "sha256=nonsense", "your-webhook-signing-secret")
    False
    """
    expected = hmac.new(secret.encode(), payload_bytes, hashlib.sha256).hexdigest()
    received = signature_header.replace("sha256=", "")
    return hmac.compare_digest(expected, received)


def read_delivery(headers: Mapping[str, str], body: bytes, secret: str | None) -> Received:
    """Understand a delivery, whatever the brand in its header names.

    >>> read_delivery({"X-Acme-Event": "batch.failed", "X-Acme-Attempt": "2"}, b"{}", None).attempt
    2
    """
    signature = _branded(headers, "signature")
    attempt = _branded(headers, "attempt")
    return Received(
        event=_branded(headers, "event"),
        delivery_id=_branded(headers, "delivery"),
        attempt=int(attempt) if attempt.isdecimal() else 1,
        job_id=_job_id(body),
        verified=None if secret is None else signature.isascii() and verify_webhook(body, signature, secret),
        headers=headers,
        body=body,
    )


def _branded(headers: Mapping[str, str], last: str) -> str:
    lower = ((name.lower(), value) for name, value in headers.items())
    return next((value for name, value in lower if name.startswith("x-") and name.endswith(f"-{last}")), "")


def _job_id(body: bytes) -> str:
    try:
        data: Any = json.loads(body)["data"]
        return str(data["job_id"])
    except (ValueError, KeyError, TypeError):  # not one of ours: shown without
        return ""


def judge(received: Received) -> int:
    """Answer as the guide's handler does: 403 where the signature is wrong."""
    return 403 if received.verified is False else 204


@asynccontextmanager
async def receiving(host: str, port: int, *, secret: str | None, answer: Answer = judge) -> AsyncIterator[str]:
    """Receive on every path while the block is open; gives the address."""

    async def handle(request: web.Request) -> web.Response:
        received = read_delivery(request.headers, await request.read(), secret)
        return web.Response(status=answer(received))

    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_route("POST", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://{host}:{bound}"
    finally:
        await runner.cleanup()
