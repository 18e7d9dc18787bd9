"""What may be called and what may be sent along: how the rules depend on the policy, and their laws.

The inputs that they refuse are listed in `tests/hostile`.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from delivery.domain.errors import Unprocessable
from delivery.domain.guard import EgressPolicy, accept_headers, parse_target, refusal

PUBLIC = EgressPolicy()
PLAIN = EgressPolicy(require_https=False)


def policy(*networks: str, require_https: bool = True) -> EgressPolicy:
    return EgressPolicy(tuple(ip_network(network) for network in networks), require_https=require_https)


def refuse_url(text: object, rules: EgressPolicy = PLAIN) -> str:
    with pytest.raises(Unprocessable) as refused:
        parse_target(text, rules)
    assert (refused.value.code, refused.value.field) == ("invalid_url", "url")
    assert refused.value.message.isprintable()
    return refused.value.message


# --- URLs -------------------------------------------------------------------------------------------------------------


def test_a_refusal_is_for_people_and_quotes_nothing_that_could_break_a_line() -> None:
    for text in ("", "https://a b/", b"https://example.com/", "http\u017f://a.example/", "https://exa\u202emple.com/"):
        assert len(refuse_url(text)) > 20


def test_a_target_knows_where_it_goes() -> None:
    target = parse_target("https://Example.com:8443/hook", PUBLIC)
    assert (target.scheme, target.host, target.port, target.address) == ("https", "example.com", 8443, None)
    literal = parse_target("https://[2606:4700:4700::1111]/", PUBLIC)
    assert (literal.host, literal.port) == ("2606:4700:4700::1111", 443)
    assert literal.address == IPv6Address("2606:4700:4700::1111")


@given(st.text() | st.from_regex(r"https?://[\w.\-\[\]:@%]{1,30}(/[^\s]{0,20})?", fullmatch=True))
def test_law_what_is_accepted_is_plain_ascii_and_accepted_again_unchanged(text: str) -> None:
    try:
        target = parse_target(text, PLAIN)
    except Unprocessable:
        return
    assert re.fullmatch(r"https?://[\x21-\x7e]+", target.url)
    assert parse_target(target.url, PLAIN) == target
    dialled = URL(target.url, encoded=True)  # what the HTTP client makes of it
    assert (dialled.raw_host, dialled.port, str(dialled)) == (target.host, target.port, target.url)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_an_allowed_network_may_be_called_on_any_port_and_without_tls(address: str) -> None:
    inside = policy("10.0.0.0/8")
    assert refusal(ip_address(address), inside, 22) is None
    host = f"[{address}]" if ":" in address else address
    assert parse_target(f"http://{host}:22/", inside).port == 22
    refuse_url("http://192.168.1.1/", inside)


@pytest.mark.parametrize("wrapped", ["64:ff9b::a01:203", "2002:a01:203::1", "::10.1.2.3"])
def test_only_a_mapped_address_follows_its_ipv4_network(wrapped: str) -> None:
    assert refusal(IPv6Address(wrapped), policy("10.0.0.0/8")) is not None
    assert refusal(IPv6Address(wrapped), policy(f"{wrapped}/128")) is None


def test_localhost_is_what_the_policy_lets_loopback_be() -> None:
    inside = policy("127.0.0.0/8")
    assert parse_target("http://localhost:8000/hook", inside).url == "http://localhost:8000/hook"
    assert parse_target("http://app.localhost:8000/", inside).host == "app.localhost"
    assert inside.loopbacks == (IPv4Address("127.0.0.1"),)
    assert "HOOKLINE_ALLOWED_NETWORKS" in refuse_url("https://localhost/", PUBLIC)


def test_plain_http_is_for_allowed_networks_unless_the_operator_says_otherwise() -> None:
    assert "use https" in refuse_url("http://example.com/", PUBLIC)
    assert "use https" in refuse_url("http://1.1.1.1/", PUBLIC)
    assert "use https" in refuse_url("http://receiver:8000/", policy("172.16.0.0/12"))
    assert parse_target("http://example.com/", PLAIN).scheme == "http"


def test_the_ports_of_other_services_are_refused_at_the_socket_as_well() -> None:
    assert refusal(ip_address("1.1.1.1"), PUBLIC, 22) is not None
    assert refusal(ip_address("1.1.1.1"), PUBLIC, 443) is None


@pytest.mark.parametrize("port", [80, 443, 1024, 8443, 65535])
def test_the_ports_of_web_servers_are_accepted(port: int) -> None:
    assert parse_target(f"https://example.com:{port}/", PUBLIC).port == port


@given(st.ip_addresses())
def test_law_what_may_be_called_is_global_and_no_multicast(address: IPv4Address | IPv6Address) -> None:
    if refusal(address, PUBLIC) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "::", "::ffff:0:0:0", "64:ff9b::", "2607:f8b0::5efe:0:0"]))
def test_law_no_ipv4_address_passes_in_an_ipv6_coat(inner: IPv4Address, coat: str) -> None:
    assert refusal(IPv6Address(int(IPv6Address(coat)) | int(inner)), PUBLIC) is not None


@given(st.ip_addresses(v=4))
def test_law_no_6to4_or_teredo_address_passes(inner: IPv4Address) -> None:
    assert refusal(IPv6Address(0x2002 << 112 | int(inner) << 80 | 1), PUBLIC) is not None
    assert refusal(IPv6Address(0x20010000 << 96 | int(inner)), PUBLIC) is not None


@given(st.ip_addresses(), st.integers(0, 32))
def test_law_an_allowed_network_is_open_and_opens_nothing_else(address: IPv4Address | IPv6Address, prefix: int) -> None:
    network = ip_network((address, prefix + (96 if address.version == 6 else 0)), strict=False)
    inside = EgressPolicy((network,))
    assert refusal(address, inside, 22) is None
    assert (refusal(IPv4Address("127.0.0.1"), inside) is None) == (IPv4Address("127.0.0.1") in network)


def test_no_network_is_of_both_kinds() -> None:
    both = EgressPolicy((IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")))
    assert refusal(ip_address("10.0.0.1"), both) is None
    assert refusal(ip_address("fd00::1"), both) is None
    assert refusal(ip_address("fe80::1"), both) is not None


# --- headers ----------------------------------------------------------------------------------------------------------


def refuse_header(name: str, value: str = "x", brand: str = "Tagmatic") -> Unprocessable:
    with pytest.raises(Unprocessable) as refused:
        accept_headers({name: value}, brand)
    assert refused.value.code == "invalid_header"
    refused.value.message.encode("ascii", "strict")
    return refused.value


def test_another_brand_reserves_its_own_headers() -> None:
    refuse_header("X-Acme-Signature", brand="Acme")
    assert accept_headers({"X-Tagmatic-Signature": "x"}, "Acme")


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=3))
def test_law_accepted_headers_are_single_lines_of_ascii(headers: dict[str, str]) -> None:
    try:
        accepted = accept_headers(headers, "Tagmatic")
    except Unprocessable:
        return
    for name, value in accepted.items():
        assert re.fullmatch(r"[!-9;-~]+: [\t -~]*", f"{name}: {value}")
