"""Which URLs and addresses may be called, and which headers a customer may add.

Registration asks ``parse_target``; the socket asks ``refusal`` again for every address that is really dialled, because
what a name resolves to is not known before. Sources: the special-purpose registries of IANA (RFC 6890), RFC 3986,
RFC 5891, RFC 9110.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from unicodedata import normalize
from urllib.parse import quote

import idna

from delivery.domain.errors import Unprocessable

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

LONGEST_URL = 2048
MOST_HEADERS = 50
MOST_HEADER_BYTES = 16 * 1024

_LOOPBACKS: tuple[IPAddress, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_ASK = "Use a public address, or ask the operator to add the network to HOOKLINE_ALLOWED_NETWORKS"

#: An explicit list, not ``is_global``: that one changes with the version of Python and lets some of these pass.
_REFUSED_IPV4 = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier NAT address"),
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "the metadata address of Azure"),
        ("169.254.0.0/16", "a link-local or cloud metadata address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "reserved"),
    )
)

#: Everything outside is loopback, private, link-local, multicast, a wrapped IPv4 address or not assigned.
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_REFUSED_IPV6 = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "reserved for protocols such as Teredo"),
        ("2001:db8::/32", "reserved for documentation"),
        ("2002::/16", "an IPv4 address in 6to4 form"),
        ("3fff::/20", "reserved for documentation"),
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the operator lets deliveries reach.

    ``allowed_networks`` may be reached although they are not public, on any port and without TLS; everything else only
    on ``allowed_ports``.
    """

    allowed_networks: tuple[IPNetwork, ...] = ()
    require_https: bool = True
    allowed_ports: tuple[range, ...] = (range(80, 81), range(443, 444), range(1024, 65536))

    def allows(self, address: IPAddress) -> bool:
        """True inside ``allowed_networks``. An IPv4 address mapped into IPv6 is where the IPv4 address is."""
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(address in network or (mapped and mapped in network) for network in self.allowed_networks)

    def allows_port(self, port: int) -> bool:
        """Whether public hosts may be called on the port."""
        return any(port in ports for ports in self.allowed_ports)

    @property
    def loopbacks(self) -> tuple[IPAddress, ...]:
        """What ``localhost`` means under this policy."""
        return tuple(address for address in _LOOPBACKS if self.allows(address))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called as far as can be known from looking at it.

    ``url`` is the form to store and to dial: ASCII, lower-case scheme and host, no default port, percent-encoded.
    ``address`` is None where the host is a name.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: IPAddress | None


def refusal(address: IPAddress, policy: EgressPolicy, port: int | None = None) -> str | None:
    """Why this address may not be called; None where it may.

    >>> refusal(IPv4Address("10.0.0.1"), EgressPolicy())[:55]
    '10.0.0.1 is a private address (10.0.0.0/8), which deliv'
    >>> refusal(IPv4Address("10.0.0.1"), EgressPolicy(allowed_networks=(IPv4Network("10.0.0.0/8"),)))
    >>> refusal(IPv6Address("2606:4700:4700::1111"), EgressPolicy())
    """
    if policy.allows(address):
        return None
    rule = _ipv4_rule(address) if isinstance(address, IPv4Address) else _ipv6_rule(address)
    if rule:
        return f"{address} is {rule}, which deliveries may not reach. {_ASK}"
    if port is not None and not policy.allows_port(port):
        return _port_refusal(port, policy)
    return None


def _ipv4_rule(address: IPv4Address) -> str | None:
    return next((f"{what} ({network})" for network, what in _REFUSED_IPV4 if address in network), None)


def _ipv6_rule(address: IPv6Address) -> str | None:
    if address.ipv4_mapped:
        return "an IPv4 address in IPv6 form (::ffff:0:0/96)"
    if address not in _PUBLIC_IPV6:
        return f"not a public address (outside of {_PUBLIC_IPV6})"
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return "an IPv4 address in ISATAP form"
    return next((f"{what} ({network})" for network, what in _REFUSED_IPV6 if address in network), None)


def _port_refusal(port: int, policy: EgressPolicy) -> str:
    known = ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in policy.allowed_ports)
    return f"Port {port} is not among those that deliveries may use ({known}). Use one of them"


# --- URLs -------------------------------------------------------------------------------------------------------------

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?]*)(?P<path>[^?]*)(?P<query>\?.*)?",
    re.IGNORECASE | re.ASCII,  # in Unicode the long s (U+017F) is an upper case of s
)
_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_NAME = 253
_HIGHEST_PORT = 65535


def parse_target(text: object, policy: EgressPolicy) -> Target:
    """Read a URL strictly: whatever two parsers could understand differently is refused.

    Raises:
        Unprocessable: ``invalid_url``, with the rule that was broken.

    >>> parse_target("HTTPS://Bücher.example:443/a b?q=é", EgressPolicy()).url
    Traceback (most recent call last):
    ...
    delivery.domain.errors.Unprocessable: A URL has no spaces, control or invisible characters; percent-encode them
    >>> parse_target("HTTPS://Bücher.example:443/a%20b?q=é", EgressPolicy()).url
    'https://xn--bcher-kva.example/a%20b?q=%C3%A9'
    """
    match = _URL.fullmatch(_plain(text))
    if match is None:
        raise _bad_url("A webhook URL starts with https:// (or http://, where the operator permits it)")
    scheme = match["scheme"].lower()
    host, address, port = _host_and_port(match["authority"], scheme)
    netloc = f"[{host}]" if isinstance(address, IPv6Address) else host
    if port != _DEFAULT_PORTS[scheme]:
        netloc += f":{port}"
    path, query = _encode(match["path"] or "/", "/"), _encode(match["query"] or "", "/?")
    target = Target(f"{scheme}://{netloc}{path}{query}", scheme, host, port, address)
    if len(target.url) > LONGEST_URL:
        raise _bad_url(f"A URL has at most {LONGEST_URL:,} characters when percent-encoded")
    _hold_against(policy, target)
    return target


def _bad_url(message: str) -> Unprocessable:
    return Unprocessable("invalid_url", message, field="url")


def _plain(text: object) -> str:
    if not isinstance(text, str) or not text:
        raise _bad_url("A URL is a string such as https://example.com/webhooks")
    if len(text) > LONGEST_URL:
        raise _bad_url(f"A URL has at most {LONGEST_URL:,} characters")
    if " " in text or not text.isprintable():
        raise _bad_url("A URL has no spaces, control or invisible characters; percent-encode them")
    if "\\" in text:
        raise _bad_url("A URL has no backslash; percent-encode it as %5C")
    if "#" in text:
        raise _bad_url("A URL has no fragment: the part from # on is never sent; leave it out")
    return text


def _host_and_port(authority: str, scheme: str) -> tuple[str, IPAddress | None, int]:
    if "@" in authority:
        raise _bad_url("A URL has no user information (name:password@); use a header of the endpoint instead")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _bad_url("The host of the URL cannot be read; an IPv6 address stands in square brackets")
    port = _DEFAULT_PORTS[scheme]
    if match["port"] is not None:
        if not _PORT.fullmatch(match["port"]) or int(match["port"]) > _HIGHEST_PORT:
            raise _bad_url("A port is a number from 1 to 65535 without leading zeros")
        port = int(match["port"])
    if match["literal"] is not None:
        address: IPAddress | None = _ipv6_literal(match["literal"])
        return str(address), address, port
    host = _ascii_name(match["name"])
    address = _ipv4_literal(host)
    return host, address, port


def _ipv6_literal(text: str) -> IPv6Address:
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise _bad_url("What stands in square brackets is not an IPv6 address") from error
    if address.scope_id is not None:
        raise _bad_url("An IPv6 address in a URL has no zone (%eth0)")
    return address


def _ipv4_literal(host: str) -> IPv4Address | None:
    """Read a host whose last label is a number: other programs would take each of ``127.1``, ``0x7f.1`` for one."""
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        return IPv4Address(host)
    except ValueError as error:
        raise _bad_url(
            "A host that ends in a number is an IPv4 address: four decimal numbers without leading zeros"
        ) from error


def _ascii_name(host: str) -> str:
    if host.endswith("."):
        raise _bad_url("The host ends with a dot; leave the dot out")
    name = ".".join(_ascii_label(label) for label in normalize("NFC", host.lower()).split("."))
    if len(name) > _LONGEST_NAME:
        raise _bad_url(f"A host name has at most {_LONGEST_NAME} characters")
    return name


def _ascii_label(label: str) -> str:
    """Encode one label; strictly, so that a circled or full-width digit is refused and not taken for a digit."""
    try:
        encoded = label if label.isascii() else idna.alabel(label).decode()
    except UnicodeError as error:
        raise _bad_url(f"The host has a character that no name may have: {error}") from error
    if not _LABEL.fullmatch(encoded):
        raise _bad_url(
            "Each label of a host has 1 to 63 letters, digits, hyphens or underscores, with no hyphen at either end"
        )
    return encoded


def _encode(part: str, safe: str) -> str:
    return quote(_BARE_PERCENT.sub("%25", part), safe=safe + ":@!$&'()*+,;=~-._%")


def _hold_against(policy: EgressPolicy, target: Target) -> None:
    is_localhost = target.host == "localhost" or target.host.endswith(".localhost")
    if target.address is not None and policy.allows(target.address):
        return
    if is_localhost and policy.loopbacks:
        return
    if is_localhost:
        raise _bad_url(f"{target.host} is this server itself, which deliveries may not reach. {_ASK}")
    if target.address is not None and (why := refusal(target.address, policy)):
        raise _bad_url(why)
    if target.scheme == "http" and policy.require_https:
        raise _bad_url("Plain http is accepted only for addresses inside of HOOKLINE_ALLOWED_NETWORKS; use https")
    if not policy.allows_port(target.port):
        raise _bad_url(_port_refusal(target.port, policy))


# --- headers ----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_CONNECTION = {
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_OURS = _CONNECTION | {"accept-encoding", "traceparent", "tracestate", "user-agent"}
_OUR_FAMILIES = ("content-", "proxy-", "webhook-")


def accept_headers(headers: Mapping[str, str], brand: str) -> Mapping[str, str]:
    """Check the headers that a customer wants with every delivery.

    Raises:
        Unprocessable: ``invalid_header``, with the header at fault as its field.

    >>> accept_headers({"Authorization": "Bearer abc"}, "Tagmatic")
    {'Authorization': 'Bearer abc'}
    """
    if len(headers) > MOST_HEADERS:
        raise Unprocessable("invalid_header", f"An endpoint has at most {MOST_HEADERS} headers", field="headers")
    families = (*_OUR_FAMILIES, f"x-{brand.lower()}-")
    seen: set[str] = set()
    size = 0
    for name, value in headers.items():
        size += len(name) + len(str(value)) + len(": \r\n")
        if fault := _header_fault(name, value, families, seen):
            shown = name[:128].encode("ascii", "backslashreplace").decode()
            raise Unprocessable("invalid_header", fault, field=f"headers.{shown}")
        seen.add(name.lower())
    if size > MOST_HEADER_BYTES:
        raise Unprocessable(
            "invalid_header", f"The headers of an endpoint have at most {MOST_HEADER_BYTES:,} bytes", field="headers"
        )
    return dict(headers)


def _header_fault(name: str, value: object, families: tuple[str, ...], seen: set[str]) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "A header name has 1 to 128 letters, digits or hyphens, and neither spaces nor colons"
    lowered = name.lower()
    if lowered in _OURS or lowered.startswith(families):
        return f"{name} is set by the delivery itself; leave it out"
    if lowered in seen:
        return f"{name} is given twice; upper and lower case do not matter in header names"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return f"The value of {name} may hold visible ASCII characters, and spaces or tabs between them"
    return None
