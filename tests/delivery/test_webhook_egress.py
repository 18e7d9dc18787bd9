"""Where deliveries do not go: no connection is made to what the policy forbids, whatever a name resolves to."""

import asyncio
import errno
import socket
from ipaddress import IPv4Network, IPv6Network

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from delivery.destinations.journey import post
from delivery.destinations.session import BlockedAddressError, open_session
from delivery.domain.guard import EgressPolicy
from delivery.domain.model import Failure
from tests.delivery.receivers import LOOPBACK, OK, destination, failed, free_port, receiving, send, shipment

PUBLIC = EgressPolicy(require_https=False)
ONLY_ONE = EgressPolicy((IPv4Network("127.0.0.1/32"),), require_https=False)
LOOPBACK_BY_NAME = EgressPolicy(LOOPBACK.allowed_networks, require_https=False)
SHORT = 0.3
LIMIT = aiohttp.ClientTimeout(total=5)


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


class Wire:
    """Makes sockets that lead nowhere."""

    def __init__(self) -> None:
        self.dialled = 0

    def __call__(self, family: int, kind: int, protocol: int) -> socket.socket:
        self.dialled += 1
        raise OSError(errno.ENETUNREACH, "Network is unreachable")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# --- literal addresses ------------------------------------------------------------------------------------------------

SPELLINGS = """
    127.0.0.1 [::ffff:127.0.0.1] [::ffff:7f00:1] localhost 0.0.0.0 127.1 2130706433 0 0177.0.0.1 0x7f.1 127.000.000.001
    ①②⑦.⓪.⓪.① 127。0。0。1 app.localhost [::127.0.0.1] [64:ff9b::7f00:1] [::]
""".split()  # noqa: SIM905 - a table is easier to read


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_dialled(host: str) -> None:
    async with receiving() as canary, destination(PUBLIC) as webhooks:
        outcome = await webhooks.send(shipment(canary.url(host=host)))
    assert failed(outcome)[0] == "blocked_address"
    assert canary.accepts == 0
    assert outcome.timings.connect_ms is None


@pytest.mark.parametrize("host", SPELLINGS)
async def test_the_socket_refuses_by_itself_what_registration_would_have_let_through(host: str) -> None:
    async with receiving() as canary, open_session(PUBLIC) as session:
        with pytest.raises((aiohttp.ClientError, OSError, UnicodeError, ValueError)):
            await post(session, URL(f"http://{host}:{canary.port}/"), {}, b"", LIMIT)
    assert canary.accepts == 0


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


@pytest.mark.parametrize(
    "address",
    ["127.0.0.2", "10.0.0.1", "169.254.169.254", "168.63.129.16", "::1", "::ffff:7f00:2", "64:ff9b::7f00:2", "x"],
)
@pytest.mark.parametrize("beside", [[], ["127.0.0.1"]], ids=["alone", "beside an allowed one"])
async def test_one_forbidden_address_refuses_the_whole_name(address: str, beside: list[str]) -> None:
    names = Names(hook_example=[[*beside, address]])
    async with receiving() as allowed, receiving(host="127.0.0.2", port=allowed.port) as canary:
        outcome = await send(allowed.url(host="hook.example"), ONLY_ONE, resolver=names)
    assert failed(outcome)[0] == "blocked_address"
    assert address in failed(outcome)[1]
    assert (allowed.accepts, canary.accepts) == (0, 0)


async def test_what_was_judged_is_what_is_dialled() -> None:
    names = Names(hook_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with receiving() as first, receiving(host="127.0.0.2", port=first.port) as canary:
        outcomes = [await send(first.url(host="hook.example"), ONLY_ONE, resolver=names) for _ in range(3)]
    assert outcomes[0].failure is None
    assert [failed(outcome)[0] for outcome in outcomes[1:]] == ["blocked_address"] * 2
    assert (first.accepts, canary.accepts, len(names.asked)) == (1, 0, 3)


async def test_many_attempts_at_once_make_one_lookup() -> None:
    names = Names(hook_example=[["127.0.0.1"]])
    async with receiving() as receiver, destination(LOOPBACK_BY_NAME, resolver=names) as webhooks:
        url = receiver.url(host="hook.example")
        outcomes = await asyncio.gather(*(webhooks.send(shipment(url)) for _ in range(20)))
    assert all(outcome.failure is None for outcome in outcomes)
    assert names.asked == ["hook.example"]


async def test_of_many_addresses_all_are_judged_and_a_few_are_tried() -> None:
    many = [f"11.0.{n // 256}.{n % 256}" for n in range(500)]
    wire = Wire()
    outcome = await send("http://hook.example/", PUBLIC, resolver=Names(hook_example=[many]), make_socket=wire)
    assert failed(outcome)[0] == "connect_error"
    assert 1 <= wire.dialled <= 40
    wire = Wire()
    spoiled = Names(hook_example=[[*many, "127.0.0.1"]])
    outcome = await send("http://hook.example/", PUBLIC, resolver=spoiled, make_socket=wire)
    assert (failed(outcome)[0], wire.dialled) == ("blocked_address", 0)


async def test_an_ipv6_only_receiver_without_a_way_there_is_a_connect_error() -> None:
    names = Names(hook_example=[["2606:4700::1"]])
    outcome = await send("http://hook.example/", PUBLIC, resolver=names, make_socket=Wire())
    assert failed(outcome) == (
        "connect_error",
        "The receiver (2606:4700::1) cannot be reached: Network is unreachable",
    )


@pytest.mark.parametrize(
    "answer",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        UnicodeError("label too long"),
        [],
    ],
    ids=["no such name", "a CNAME loop", "no name at all", "no address"],
)
async def test_a_name_without_an_address_is_a_dns_error(answer: list[str] | Exception) -> None:
    outcome = await send("http://hook.example/", PUBLIC, resolver=Names(hook_example=[answer]))
    assert failed(outcome)[0] == "dns_error"
    assert "The host name has no address" in failed(outcome)[1]
    assert outcome.timings.dns_ms is not None
    assert outcome.timings.connect_ms is None


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


async def test_behind_a_proxy_addresses_are_judged_even_without_registration() -> None:
    async with receiving() as proxy, open_session(PUBLIC, proxy=proxy.url("")) as session:
        with pytest.raises(aiohttp.ClientOSError) as refused:
            await post(session, URL("http://10.0.0.1/"), {}, b"", LIMIT)
        assert isinstance(refused.value.__cause__, BlockedAddressError)
    assert proxy.accepts == 0


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
