"""The guarded HTTP client: everything that leaves the house goes through a session made here.

* Names are looked up by ``GuardedResolver``: one answer that may not be called refuses the name as a whole.
* Each address that is really dialled passes ``_Gate.open_socket``, literals included; there is no lookup in between.
* With an egress proxy nothing but the proxy is dialled, and names are judged before the proxy hears of them.
* No redirects are followed here, no cookies kept, no compression undone, no environment variables read.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client import ClientRequest
from aiohttp.connector import AddrInfoType
from yarl import URL

from delivery.destinations.journey import Request, current
from delivery.domain.guard import EgressPolicy, IPAddress, refusal

#: Seconds that an idle connection may be used again: less than any server in common use keeps one (gunicorn: 2).
KEEP_ALIVE = 1.0

#: Seconds that a checked answer of the name service is used for further connections.
_NAMES_KEPT = 3

#: Of all the addresses of a name, as many are tried; all of them are checked.
_MOST_ADDRESSES = 8

#: Lookups that hang must not hold up the others.
_LOOKUP_THREADS = 128

#: Answers are small. A small receive buffer bounds what a flood of bytes costs in one turn of the event loop.
_RECEIVE_BUFFER = 32 * 1024

_READ_AHEAD = 16 * 1024
_LONGEST_LINE = 8190
_MOST_ANSWER_HEADERS = 100

MakeSocket = Callable[[int, int, int], socket.socket]


class BlockedAddressError(OSError):
    """A connection that was not made because the policy forbids it. An OSError, because aiohttp can end with one."""


# --- the guard --------------------------------------------------------------------------------------------------------


class ThreadedResolver(AbstractResolver):
    """The system's resolver, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look up the addresses of a name."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [_answer(host, str(sockaddr[0]), port) for *_, sockaddr in found]

    async def close(self) -> None:
        """Let go of the threads without waiting for a lookup that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _answer(name: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=name, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


class GuardedResolver(AbstractResolver):
    """A resolver that refuses a name as a whole when one of its addresses may not be called.

    A verdict, good or bad, holds for a few seconds, and whoever asks meanwhile waits for the one lookup under way.
    """

    def __init__(self, inner: AbstractResolver, policy: EgressPolicy) -> None:
        self._inner = inner
        self._policy = policy
        self._verdicts: dict[tuple[str, int], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Say which addresses may be dialled for the name."""
        verdict = self._verdicts.get((host, port))
        if verdict is None:
            verdict = self._verdicts[host, port] = asyncio.create_task(self._judge(host, port, family))
            verdict.add_done_callback(lambda done: self._keep(host, port, done))
        return await asyncio.shield(verdict)  # who gives up waiting must not take the lookup away from the others

    def _keep(self, host: str, port: int, verdict: asyncio.Task[list[ResolveResult]]) -> None:
        if not verdict.cancelled():
            verdict.exception()  # seen, even if everybody who asked has given up
            verdict.get_loop().call_later(_NAMES_KEPT, self._verdicts.pop, (host, port), None)

    async def _judge(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        found = await self._look_up(host, port, family)
        for answer in found:
            if why := refusal(_read(answer["host"]), self._policy, port):
                raise BlockedAddressError(f"{host} has a forbidden address: {why}")
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return found[:_MOST_ADDRESSES]

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        if host == "localhost" or host.endswith(".localhost"):  # never asks the name service (RFC 6761, section 6.3)
            return [_answer(host, str(address), port) for address in self._policy.loopbacks or ("127.0.0.1",)]
        return await self._inner.resolve(host, port, family)

    async def close(self) -> None:
        """Give up what is being looked up."""
        for verdict in self._verdicts.values():
            verdict.cancel()


def _read(address: str) -> IPAddress:
    try:
        return ip_address(address)
    except ValueError as error:
        raise BlockedAddressError(f"The name service answered {address!r}, which is no address") from error


class _Gate:
    """Makes the sockets. Without a proxy each address is judged; with one, only the proxy's own is let through."""

    def __init__(self, policy: EgressPolicy, make_socket: MakeSocket) -> None:
        self._policy = policy
        self._make_socket = make_socket

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, port, *_) = info
        if why := self._refusal(str(host), int(port)):
            raise BlockedAddressError(why)
        journey = current.get()
        if journey is not None:
            journey.dial(str(host))
        sock = self._make_socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return sock

    def _refusal(self, host: str, port: int) -> str | None:
        return refusal(_read(host), self._policy, port)


class _ProxyGate(_Gate, AbstractResolver):
    """Knows the addresses of the proxy because it is also the resolver through which the proxy's name goes."""

    def __init__(self, policy: EgressPolicy, make_socket: MakeSocket, proxy: URL, inner: AbstractResolver) -> None:
        super().__init__(policy, make_socket)
        self._proxy = proxy
        self._inner = inner
        self._addresses = {proxy.raw_host}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host == self._proxy.raw_host:
            self._addresses.update(answer["host"] for answer in found)
        return found

    async def close(self) -> None:
        await self._inner.close()

    def _refusal(self, host: str, port: int) -> str | None:
        if host in self._addresses and port == self._proxy.port:
            return None
        return f"{host} port {port} is not the egress proxy, and nothing else may be dialled"


def _judge_before_proxy(resolver: GuardedResolver, policy: EgressPolicy) -> aiohttp.ClientMiddlewareType:
    """Apply the rules to what the proxy is asked for. The proxy looks names up again and needs rules of its own."""

    async def judge(request: ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        host, port = request.url.raw_host or "", request.url.port or 0
        try:
            address = ip_address(host)
        except ValueError:  # a name
            await resolver.resolve(host, port)
        else:
            if why := refusal(address, policy, port):
                raise BlockedAddressError(why)
        return await handler(request)

    return judge


# --- the session ------------------------------------------------------------------------------------------------------


class _Context(ssl.SSLContext):
    """Marks the moment when TCP is done and TLS begins; asyncio and uvloop both start TLS here."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature of the standard library
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        journey = current.get()
        if journey is not None:
            journey.begin_tls()
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def tls_context() -> ssl.SSLContext:
    """Verified TLS 1.2 or newer, trusting what the system trusts."""
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    return context


@asynccontextmanager
async def open_session(
    policy: EgressPolicy,
    *,
    resolver: AbstractResolver | None = None,
    proxy: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    make_socket: MakeSocket = socket.socket,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the client; leaving the block closes it.

    There is no limit on connections and no time limit: both belong to whoever sends, whose clock must not run while
    it waits behind others.
    """
    inner = resolver or ThreadedResolver()
    guarded = GuardedResolver(inner, policy)
    proxy_gate = _ProxyGate(policy, make_socket, URL(proxy), inner) if proxy else None
    gate = proxy_gate or _Gate(policy, make_socket)
    connector = aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=KEEP_ALIVE,
        use_dns_cache=False,  # the guarded resolver keeps its verdicts itself
        resolver=proxy_gate or guarded,
        socket_factory=gate.open_socket,
        ssl=ssl_context or tls_context(),
    )
    session = aiohttp.ClientSession(
        connector=connector,
        request_class=Request,
        middlewares=(_judge_before_proxy(guarded, policy),) if proxy else (),
        proxy=proxy,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_READ_AHEAD,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
        max_headers=_MOST_ANSWER_HEADERS,
    )
    async with session:
        try:
            yield session
        finally:
            await guarded.close()
            if resolver is None:
                await inner.close()
