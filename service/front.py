"""The front door: one listening socket, answered by excuses until the house is open, and by the house from then on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from service.connections import USUAL, Connection, Patience
from service.headers import protect
from service.trouble import Trouble

_BACKLOG = 1024

#: Addresses that mean every address of this machine: bound to, but not called.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound to

#: How long open requests have to end once nothing new is taken. Deliveries have a grace period of their own.
_GRACE_S = 3.0


class Front:
    """Serves a socket. What connects while nobody answers waits in it; nothing is turned away in between.

    Requests that are open at the end have ``grace_s``, at most a few seconds.
    """

    def __init__(self, listener: socket.socket, patience: Patience = USUAL, *, grace_s: float = _GRACE_S) -> None:
        self._listener = listener
        self._patience = patience
        self._grace_s = min(grace_s, _GRACE_S)
        self._why = "The service is starting"
        self._excuses = AsyncExitStack()

    def excuse(self, why: str) -> None:
        """Say this to whoever asks while the house is not open."""
        self._why = why

    @asynccontextmanager
    async def excusing(self) -> AsyncIterator[None]:
        """Answer: alive, not ready, and why."""
        app = web.Application()
        app.router.add_get("/healthz", self._alive)
        app.router.add_route("*", "/{path:.*}", self._not_ready)
        app.on_response_prepare.append(_protect)
        async with self._excuses:
            await self._excuses.enter_async_context(self._answering(app))
            yield

    @asynccontextmanager
    async def showing(self, app: web.Application) -> AsyncIterator[None]:
        """Answer with the application. When the block is left, what is being answered ends; nothing new is taken."""
        await self._excuses.aclose()
        async with self._answering(app):
            yield

    @asynccontextmanager
    async def _answering(self, app: web.Application) -> AsyncIterator[None]:
        runner = web.AppRunner(app, shutdown_timeout=self._grace_s)
        await runner.setup()
        server = runner.server
        assert server is not None  # it was just set up
        # a copy, because what listens closes what it is given
        listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(server, self._patience), sock=self._listener.dup(), backlog=_BACKLOG
        )
        try:
            yield
        finally:
            listening.close()
            await runner.cleanup()

    async def _alive(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _not_ready(self, _: web.Request) -> web.Response:
        body = {"status": "not ready", "checks": {"start": self._why}, "error": self._why, "code": "not_ready"}
        return web.json_response(body, status=503, headers={"Retry-After": "1"})


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    protect(response, https=request.secure)


class CannotListenError(Trouble):
    """The address is taken, not allowed, or none of this machine's."""


def listen(host: str, port: int) -> socket.socket:
    """Take an address; port 0 takes a free one.

    Raises:
        CannotListenError: with what the operating system has against it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # the address, said once more
        raise CannotListenError(f"Cannot listen on {host}:{port}: {why}") from error


def address(listener: socket.socket) -> str:
    """Where the socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    return url_of(host, port)


def url_of(host: str, port: int) -> str:
    """Where a service that listens there is reached from this machine.

    >>> url_of("0.0.0.0", 8080), url_of("::", 80)
    ('http://127.0.0.1:8080', 'http://[::1]:80')
    """
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
