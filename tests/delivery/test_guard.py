"""What may be called and what may be sent along: the rules, as customers and operators meet them."""

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

CONFUSING_URLS: list[object] = [
    "",
    " ",
    None,
    123,
    [],
    {},
    b"https://example.com/",
    "example.com/hook",
    "//example.com/hook",
    "http:127.0.0.1",
    "http:/example.com",
    "http:///x",
    "https://",
    "https://:443/",
    "https://?x=1",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "dict://example.com/",
    "data:,x",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun/",
    "ws://example.com/",
    "tcp://example.com/",
    " http://example.com",
    "http://example.com ",
    "\thttp://example.com",
    "http://example.com/\x0b",
    "http://exa\tmple.com/",
    "http://example.com/a b",
    "http://example.com/\r\nX-Evil: 1",
    "http://example.com/\x00",
    "http://example.com/\ud800",
    "http://example.com/\u2028",
    "http://user:pass@example.com/",
    "http://user@example.com/",
    "http://@example.com/",
    "http://127.0.0.1:8080#@example.com/",
    "http://127.0.0.1:8080\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://[::1/",
    "http://::1/",
    "http://[]/",
    "http://[127.0.0.1]/",
    "http://[::1%25lo]/",
    "http://[fe80::1%eth0]/",
    "http://[2606:4700::1111]x/",
    "http://example.com:/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/",
    "http://example.com:+80/",
    "http://example.com:80:80/",
    "http://example.com:٨٠/",
    "http://example.com:080/",
    "http://example.com:8_0/",
    f"http://{'a' * 64}.com/",
    f"http://{'.'.join(['a' * 49] * 6)}/",
    "http://a..b/",
    "http://.example.com/",
    "http://-a.com/",
    "http://a-.com/",
    "http://exa%6dple.com/",
    "http://exa$mple.com/",
    "http://example.com./",
    "http://exam\u200bple.com/",
    "http://exam\u202eple.com/",
    "http://exam\u00adple.com/",
    "http://\uff45xample.com/",
    "http://example。com/",
    "https://example.com/#x",
    "https://example.com/#",
    "https://example.com/" + "a" * 2029,
    "https://example.com/" + "a" * 100_000,
    "https://example.com/" + "é" * 500,
]


@pytest.mark.parametrize("text", CONFUSING_URLS, ids=lambda text: ascii(text)[:50])
def test_a_url_that_two_parsers_could_read_differently_is_refused(text: object) -> None:
    assert len(refuse_url(text)) > 20


NORMAL_FORMS = {
    "HTTPS://EXAMPLE.com": "https://example.com/",
    "https://example.com:443/": "https://example.com/",
    "http://example.com:80/": "http://example.com/",
    "https://example.com:8443/hook": "https://example.com:8443/hook",
    "https://example.com/%0d%0aX-Evil:%201": "https://example.com/%0d%0aX-Evil:%201",
    "https://example.com/ünï?q=é": "https://example.com/%C3%BCn%C3%AF?q=%C3%A9",
    "https://example.com?a[]=1&b=100%": "https://example.com/?a%5B%5D=1&b=100%25",
    "https://example.com/<script>{{7*7}}'": "https://example.com/%3Cscript%3E%7B%7B7*7%7D%7D'",
    "https://example.com/a/../b//c": "https://example.com/a/../b//c",
    "https://a_b.com/": "https://a_b.com/",
    "https://intranet/": "https://intranet/",
    "https://\u0435xample.com/": "https://xn--xample-2of.com/",
    "https://BÜCHER.example/": "https://xn--bcher-kva.example/",
    "https://[2606:4700:4700:0:0:0:0:1111]/": "https://[2606:4700:4700::1111]/",
    "https://1.1.1.1:8443/": "https://1.1.1.1:8443/",
    "https://" + "a" * 63 + ".com/": "https://" + "a" * 63 + ".com/",
    "https://example.com/" + "a" * 2028: "https://example.com/" + "a" * 2028,
}


@pytest.mark.parametrize(("text", "normal"), NORMAL_FORMS.items(), ids=lambda text: ascii(text)[:50])
def test_a_url_is_stored_and_dialled_in_one_normal_form(text: str, normal: str) -> None:
    assert parse_target(text, PLAIN).url == normal


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

FORBIDDEN_ADDRESSES = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254
    169.254.169.254 169.254.170.2 169.254.170.23 172.16.5.4 172.31.255.255 192.168.1.1 192.0.0.192 192.0.0.9 192.0.0.170
    168.63.129.16 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.7
    224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    ::1 :: ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:8.8.8.8 ::127.0.0.1 ::8.8.8.8
    ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b::808:808
    2002:7f00:1::1 2002:a9fe:a9fe::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1
    2607:f8b0::5efe:127.0.0.1 2607:f8b0::200:5efe:a9fe:a9fe
    fc00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fec0::1 ff02::1 ff0e::1
    2001:db8::1 3fff::1 3fff:fff::1 5f00::1 100::1 4000::1 1fff::1
""".split()  # noqa: SIM905 - a table is easier to read

PUBLIC_ADDRESSES = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 168.63.129.15
    168.63.129.17 169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 191.255.255.255 192.0.1.1 192.0.3.1
    192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0
    223.255.255.255 2000::1 2001:200::1 2001:db7::1 2001:db9::1 2003::1 2606:4700:4700::1111 3fff:1000::1 3ffe::1
""".split()  # noqa: SIM905 - a table is easier to read


def as_url(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_an_address_that_is_not_public_may_not_be_called(address: str) -> None:
    why = refusal(ip_address(address), PUBLIC)
    assert why is not None
    assert "HOOKLINE_ALLOWED_NETWORKS" in why
    refuse_url(as_url(address))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_the_public_neighbours_of_forbidden_ranges_may_be_called(address: str) -> None:
    assert refusal(ip_address(address), PUBLIC, 443) is None
    assert parse_target(as_url(address), PUBLIC).address == ip_address(address)


OTHER_SPELLINGS = """
    127.1 2130706433 0 0177.0.0.1 017700000001 127.000.000.001 0x7f000001 0x7f.0.0.1 127.0.0.1.2 1.2.3 8.8.8.08
    256.1.1.1 example.0x7f example.1 ①②⑦.⓪.⓪.① 127。0。0。1 \uff11\uff12\uff17.0.0.1 127.0.0.\uff11 ١٢٧.0.0.1
    localhost LOCALHOST localhost. foo.localhost ⓛⓞⓒⓐⓛⓗⓞⓢⓣ
""".split()  # noqa: SIM905 - a table is easier to read


@pytest.mark.parametrize("host", OTHER_SPELLINGS, ids=ascii)
def test_no_other_spelling_of_an_inner_address_gets_past(host: str) -> None:
    refuse_url(f"http://{host}/")


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


@pytest.mark.parametrize("port", [1, 22, 25, 79, 81, 442, 444, 1023])
def test_the_ports_of_other_services_are_refused(port: int) -> None:
    assert f"Port {port} is not among" in refuse_url(f"https://example.com:{port}/")
    assert refusal(ip_address("1.1.1.1"), PUBLIC, port) is not None


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


def test_the_customers_own_headers_are_taken_as_typed() -> None:
    headers = {"Authorization": "Bearer abc", "X-Env": "a\tb c", "X-Empty": "", "Accept": "application/json"}
    assert accept_headers(headers, "Tagmatic") == headers


@pytest.mark.parametrize(
    "name", ["X\r\nY", "X A", "", "X:", "X\x00", "Ünï", "X" * 129, "(x)", "X\n", "\ud800", "x@y", "x/y"], ids=ascii
)
def test_what_is_no_header_name_is_refused(name: str) -> None:
    assert refuse_header(name).field.isascii()  # type: ignore[union-attr]


RESERVED = """
    Host host Transfer-Encoding Content-Length Connection Upgrade TE Trailer Keep-Alive Expect HTTP2-Settings
    Proxy-Authorization Proxy-Connection Content-Encoding Content-Type content-type Accept-Encoding User-Agent
    traceparent tracestate
    X-Tagmatic-Signature x-tagmatic-SIGNATURE X-Tagmatic-Anything webhook-id Webhook-Timestamp webhook-signature
""".split()  # noqa: SIM905 - a table is easier to read


@pytest.mark.parametrize("name", RESERVED)
def test_headers_that_carry_the_delivery_cannot_be_set(name: str) -> None:
    refused = refuse_header(name)
    assert refused.field == f"headers.{name}"
    assert "set by the delivery itself" in refused.message


def test_another_brand_reserves_its_own_headers() -> None:
    refuse_header("X-Acme-Signature", brand="Acme")
    assert accept_headers({"X-Tagmatic-Signature": "x"}, "Acme")


@pytest.mark.parametrize(
    "value",
    ["é", "日本", "\ud800", "\u2028", "嘍嘊", "a\r\nX: y", "a\nb", "\x00", "\x7f", " x", "x ", "\t", "\x85"],
    ids=ascii,
)
def test_a_header_value_is_visible_ascii(value: str) -> None:
    assert refuse_header("X-Value", value).field == "headers.X-Value"


def test_headers_have_an_upper_bound() -> None:
    with pytest.raises(Unprocessable, match="at most 50"):
        accept_headers({f"X-{n}": "v" for n in range(51)}, "Tagmatic")
    with pytest.raises(Unprocessable, match="16,384 bytes"):
        accept_headers({"X-Long": "v" * 100_000}, "Tagmatic")
    with pytest.raises(Unprocessable, match="16,384 bytes"):
        accept_headers({f"X-{n}": "v" * 1000 for n in range(17)}, "Tagmatic")


def test_a_header_is_given_once() -> None:
    with pytest.raises(Unprocessable, match="given twice"):
        accept_headers({"X-A": "1", "x-a": "2"}, "Tagmatic")


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=3))
def test_law_accepted_headers_are_single_lines_of_ascii(headers: dict[str, str]) -> None:
    try:
        accepted = accept_headers(headers, "Tagmatic")
    except Unprocessable:
        return
    for name, value in accepted.items():
        assert re.fullmatch(r"[!-9;-~]+: [\t -~]*", f"{name}: {value}")
