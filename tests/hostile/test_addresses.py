"""Section B: at registration, as a name's address, at the socket itself, and before an egress proxy."""

from ipaddress import ip_address

import aiohttp
import pytest
from yarl import URL

from delivery.destinations.journey import request
from delivery.destinations.session import open_session, tls_context
from delivery.domain.guard import EgressPolicy, refusal
from delivery.domain.model import Outcome
from tests.delivery.receivers import failed, send
from tests.hostile.addresses import FORBIDDEN, NAMES_OF_THIS_MACHINE, NEIGHBOURS, SPELLINGS, as_host
from tests.hostile.canaries import Leash, canaries, proxying
from tests.hostile.cases import Case, cases_of, each
from tests.hostile.doors import Door
from tests.hostile.name_server import naming

PUBLIC = EgressPolicy(require_https=False)
TLS = tls_context()
LIMIT = aiohttp.ClientTimeout(total=5)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def was_blocked(outcome: Outcome, says: str = "") -> None:
    error, message = failed(outcome)
    assert error == "blocked_address"
    assert says in message
    assert (outcome.timings.connect_ms, outcome.remote_address, outcome.answer) == (None, None, None)


# --- at registration --------------------------------------------------------------------------------------------------


@each(cases_of(FORBIDDEN))
async def test_a_forbidden_address_cannot_be_registered(door: Door, case: Case[str]) -> None:
    await door.refuses("url", case.says, url=f"https://{as_host(case.given)}/hook")


@each(cases_of(SPELLINGS))
async def test_no_other_spelling_of_one_can_be_registered(door: Door, case: Case[str]) -> None:
    await door.refuses("url", case.says, url=f"https://{case.given}/hook")


@each(cases_of(NEIGHBOURS))
async def test_a_public_neighbour_can_be_registered(door: Door, case: Case[str]) -> None:
    assert (await door.takes(url=f"https://{as_host(case.given)}/hook"))["url"] == f"https://{as_host(case.given)}/hook"


@each(cases_of(NAMES_OF_THIS_MACHINE))
async def test_a_name_can_be_registered_because_it_is_judged_at_every_attempt(door: Door, case: Case[str]) -> None:
    await door.takes(url=f"https://{case.given}/hook")


@each(cases_of(FORBIDDEN))
async def test_a_refusal_says_which_rule_it_was_and_what_to_do(case: Case[str]) -> None:
    why = refusal(ip_address(case.given), PUBLIC)
    assert why is not None
    assert case.says in why
    assert "HOOKLINE_ALLOWED_NETWORKS" in why


# --- at an attempt ----------------------------------------------------------------------------------------------------


@each([*cases_of(FORBIDDEN), *cases_of(SPELLINGS)])
async def test_what_was_registered_under_another_policy_is_blocked_without_a_connect(case: Case[str]) -> None:
    leash = Leash()
    async with canaries() as canary:
        outcome = await send(f"http://{as_host_or_spelling(case)}:{canary.port}/", PUBLIC, make_socket=leash)
    was_blocked(outcome, case.says)
    assert (leash.dialled, canary.accepts) == ([], 0)


@each([*cases_of(FORBIDDEN), *cases_of(SPELLINGS)])
async def test_the_socket_refuses_by_itself(case: Case[str]) -> None:
    leash = Leash()
    async with canaries() as canary, open_session(PUBLIC, make_socket=leash, ssl_context=TLS) as session:
        with pytest.raises((aiohttp.ClientError, OSError, UnicodeError, ValueError)):
            await request(
                session, "POST", URL(f"http://{as_host_or_spelling(case)}:{canary.port}/"), data=b"", timeout=LIMIT
            )
    assert (leash.dialled, canary.accepts) == ([], 0)


@each(cases_of(FORBIDDEN))
async def test_a_name_with_a_forbidden_address_is_blocked_without_a_connect(case: Case[str]) -> None:
    leash = Leash()
    async with canaries() as canary, naming({"hook.example": [[case.given]]}) as (resolver, zone):
        url = f"http://hook.example:{canary.port}/"
        outcome = await send(url, PUBLIC, resolver=resolver, make_socket=leash)
    was_blocked(outcome, case.says)
    assert ("hook.example", "AAAA" if ":" in case.given else "A") in zone.asked
    assert (leash.dialled, canary.accepts) == ([], 0)


@each(cases_of(NAMES_OF_THIS_MACHINE))
async def test_a_public_name_of_this_machine_is_blocked_without_a_connect(case: Case[str]) -> None:
    leash = Leash()
    async with canaries() as canary, naming({case.given: [["127.0.0.1", "::1"]]}) as (resolver, _):
        url = f"http://{case.given}:{canary.port}/"
        was_blocked(await send(url, PUBLIC, resolver=resolver, make_socket=leash))
    assert (leash.dialled, canary.accepts) == ([], 0)


@each(cases_of(NEIGHBOURS))
async def test_a_public_neighbour_is_dialled_and_nobody_else(case: Case[str]) -> None:
    literal, named = Leash(), Leash()
    await send(f"http://{as_host(case.given)}/", PUBLIC, make_socket=literal)
    async with naming({"hook.example": [[case.given]]}) as (resolver, _):
        outcome = await send("http://hook.example/", PUBLIC, resolver=resolver, make_socket=named)
    assert literal.dialled == named.dialled == [case.given]
    assert failed(outcome) == (
        "connect_error",
        f"The receiver ({case.given}) cannot be reached: Network is unreachable",
    )


# --- before an egress proxy -------------------------------------------------------------------------------------------


@each([*cases_of(FORBIDDEN), *cases_of(SPELLINGS)])
async def test_the_proxy_is_not_asked_for_a_forbidden_address(case: Case[str]) -> None:
    async with proxying() as proxy:
        for scheme in ("http", "https"):
            url = f"{scheme}://{as_host_or_spelling(case)}/"
            was_blocked(await send(url, PUBLIC, proxy=proxy.url, make_socket=Leash()), case.says)
    assert proxy.requests == []


@each([*cases_of(FORBIDDEN), *cases_of(NAMES_OF_THIS_MACHINE)])
async def test_the_proxy_is_not_asked_for_a_name_with_a_forbidden_address(case: Case[str]) -> None:
    address = case.given if case.says else "127.0.0.1"
    async with proxying() as proxy, naming({"hook.example": [[address]]}) as (resolver, _):
        for scheme in ("http", "https"):
            url = f"{scheme}://hook.example/"
            was_blocked(await send(url, PUBLIC, resolver=resolver, proxy=proxy.url, make_socket=Leash()), case.says)
    assert proxy.requests == []


@each(cases_of(NEIGHBOURS))
async def test_the_proxy_is_asked_for_a_public_neighbour(case: Case[str]) -> None:
    async with proxying() as proxy, naming({"hook.example": [[case.given]]}) as (resolver, _):
        for url in (f"http://{as_host(case.given)}/", "http://hook.example/", "https://hook.example/"):
            await send(url, PUBLIC, resolver=resolver, proxy=proxy.url, make_socket=Leash())
    assert proxy.requests == [
        f"POST http://{as_host(case.given)}/ HTTP/1.1",
        "POST http://hook.example/ HTTP/1.1",
        "CONNECT hook.example:443 HTTP/1.1",
    ]


def as_host_or_spelling(case: Case[str]) -> str:
    """Spellings are hosts already; bare IPv6 addresses are not."""
    return case.given if "[" in case.given else as_host(case.given)
