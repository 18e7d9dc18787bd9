"""How the policy decides where deliveries go. The addresses and names that are tried are listed in `tests/hostile`."""

import asyncio
import socket
from ipaddress import IPv4Network, IPv6Network

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from delivery.domain.guard import EgressPolicy
from delivery.domain.model import Failure
from tests.delivery.receivers import LOOPBACK, OK, destination, failed, free_port, receiving, send, shipment

PUBLIC = EgressPolicy(require_https=False)
ONLY_ONE = EgressPolicy((IPv4Network("127.0.0.1/32"),), require_https=False)
LOOPBACK_BY_NAME = EgressPolicy(LOOPBACK.allowed_networks, require_https=False)
SHORT = 0.3


class Names(AbstractResolver):
    """A name service of the test's own; each lookup of a name takes the next of its answers, the last one for ever."""

    def __init__(self, **answers: list[list[str] | Exception]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self.answers[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0) for address in answer
        ]

    async def close(self) -> None:
        pass


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# --- literal addresses ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_the_ipv6_loopback_is_dialled_only_where_it_is_allowed() -> None:
    async with receiving(host="::1") as canary:
        blocked = await send(canary.url(host="[::1]"), ONLY_ONE)
        assert (failed(blocked)[0], canary.accepts) == ("blocked_address", 0)
        allowed = await send(canary.url(host="[::1]"), EgressPolicy((IPv6Network("::1/128"),)))
    assert (allowed.failure, allowed.remote_address) == (None, "::1")


async def test_an_allowed_network_does_not_open_its_neighbours() -> None:
    async with receiving() as allowed, receiving(host="127.0.0.2", port=allowed.port) as canary:
        assert (await send(allowed.url(), ONLY_ONE)).failure is None
        assert failed(await send(canary.url(host="127.0.0.2"), ONLY_ONE))[0] == "blocked_address"
    assert canary.accepts == 0


async def test_a_url_that_the_policy_no_longer_permits_is_blocked_and_says_what_to_do() -> None:
    outcome = await send("https://10.0.0.1/hook")
    assert outcome.failure == Failure(
        "blocked_address",
        "10.0.0.1 is a private address (10.0.0.0/8), which deliveries may not reach. "
        "Use a public address, or ask the operator to add the network to HOOKLINE_ALLOWED_NETWORKS",
    )
    assert (outcome.headers, outcome.remote_address, outcome.answer) == ({}, None, None)
    assert failed(await send("http://example.com/", EgressPolicy()))[0] == "blocked_address"
    assert failed(await send("https://example.com:22/", EgressPolicy()))[0] == "blocked_address"


# --- names ------------------------------------------------------------------------------------------------------------


async def test_many_attempts_at_once_make_one_lookup() -> None:
    names = Names(hook_example=[["127.0.0.1"]])
    async with receiving() as receiver, destination(LOOPBACK_BY_NAME, resolver=names) as webhooks:
        url = receiver.url(host="hook.example")
        outcomes = await asyncio.gather(*(webhooks.send(shipment(url)) for _ in range(20)))
    assert all(outcome.failure is None for outcome in outcomes)
    assert names.asked == ["hook.example"]


async def test_a_name_service_that_hangs_ends_in_time_and_holds_up_nobody_else() -> None:
    class Hanging(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            if host == "slow.example":
                self.asked.append(host)
                await asyncio.Event().wait()
            return await super().resolve(host, port, family)

    names = Hanging(hook_example=[["127.0.0.1"]])
    async with receiving() as receiver, destination(LOOPBACK_BY_NAME, patience=SHORT, resolver=names) as webhooks:
        slow = [asyncio.create_task(webhooks.send(shipment("http://slow.example/"))) for _ in range(5)]
        assert (await webhooks.send(shipment(receiver.url(host="hook.example")))).failure is None
        for outcome in await asyncio.gather(*slow):
            assert failed(outcome) == (
                "timeout",
                "The 0.3 seconds of an attempt ran out while looking up the name",
            )
    assert names.asked.count("slow.example") == 1


async def test_who_gives_up_does_not_take_the_lookup_from_the_others() -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()

    class Slow(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            asked.set()
            await go_on.wait()
            return await super().resolve(host, port, family)

    names = Slow(hook_example=[["127.0.0.1"]])
    async with receiving() as receiver, destination(LOOPBACK_BY_NAME, resolver=names) as webhooks:
        parcel = shipment(receiver.url(host="hook.example"))
        impatient, patient = (asyncio.create_task(webhooks.send(parcel)) for _ in range(2))
        await asked.wait()
        impatient.cancel()
        await asyncio.wait([impatient])
        go_on.set()
        assert (await patient).failure is None
    assert impatient.cancelled()


async def test_localhost_is_not_looked_up() -> None:
    names = Names()
    async with receiving() as receiver:
        outcome = await send(receiver.url(host="localhost"), ONLY_ONE, resolver=names)
    assert (outcome.failure, names.asked) == (None, [])


async def test_the_systems_own_name_service_is_guarded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        address = {"good.example": "127.0.0.1", "bad.example": "127.0.0.2"}[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    async with receiving() as receiver, destination(ONLY_ONE) as webhooks:
        assert (await webhooks.send(shipment(receiver.url(host="good.example")))).failure is None
        assert failed(await webhooks.send(shipment(receiver.url(host="bad.example"))))[0] == "blocked_address"


# --- the egress proxy -------------------------------------------------------------------------------------------------


async def test_with_a_proxy_only_the_proxy_is_dialled_and_the_name_is_judged_before() -> None:
    names = Names(hook_example=[["93.184.216.34"]], inner_example=[["10.0.0.1"]], mixed_example=[["1.1.1.1", "::1"]])
    async with receiving() as proxy, destination(PUBLIC, resolver=names, proxy=proxy.url("")) as webhooks:
        sent = await webhooks.send(shipment("http://hook.example/x"))
        assert (sent.failure, sent.remote_address) == (None, "127.0.0.1")
        assert proxy.requests[0].startswith(b"POST http://hook.example/x HTTP/1.1\r\n")
        for url in ("http://inner.example/", "http://mixed.example/", "http://10.0.0.1/", "http://localhost/"):
            assert failed(await webhooks.send(shipment(url)))[0] == "blocked_address"
    assert len(proxy.requests) == 1


async def test_the_proxy_may_have_a_name_and_a_private_address() -> None:
    names = Names(proxy_internal=[["127.0.0.1"]], hook_example=[["93.184.216.34"]])
    async with (
        receiving() as proxy,
        destination(PUBLIC, resolver=names, proxy=proxy.url("", host="proxy.internal")) as webhooks,
    ):
        assert (await webhooks.send(shipment("http://hook.example/"))).failure is None
        aimed_at_the_proxy = await webhooks.send(shipment(proxy.url(host="proxy.internal")))
    assert failed(aimed_at_the_proxy)[0] == "blocked_address"


async def test_a_proxy_that_is_away_or_refuses_is_not_blamed_on_the_receiver() -> None:
    names = Names(hook_example=[["93.184.216.34"]])
    away = await send("http://hook.example/", PUBLIC, resolver=names, proxy=f"http://127.0.0.1:{free_port()}")
    assert failed(away) == ("connect_refused", "The egress proxy refused the connection: nothing listens on its port")
    forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(forbidden)

    async with receiving(converse=refuse) as proxy:
        refused = await send("https://hook.example/", PUBLIC, resolver=names, proxy=proxy.url(""))
    assert failed(refused) == ("connect_error", "The egress proxy refused to connect: status 403")


async def test_environment_variables_do_not_redirect_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(OK) as receiver, receiving() as canary:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, canary.url(""))
        assert (await send(receiver.url())).failure is None
    assert canary.accepts == 0
