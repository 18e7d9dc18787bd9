"""B. Addresses that deliveries may not reach, their other spellings, and the neighbours that they may."""

from tests.hostile.cases import Row

_NOT_PUBLIC = "is not a public address"
_MAPPED = "an IPv4 address in IPv6 form"
_FOUR = "four decimal numbers without leading zeros"
_NO_NAME = "a character that no name may have"
_THIS_SERVER = "is this server itself"

#: Each is tried as a literal, as the answer of a name service, and before an egress proxy.
FORBIDDEN: list[Row[str]] = [
    Row("B1", "loopback", "blocked_address", ["127.0.0.1", "127.0.0.2", "127.255.255.254"], "a loopback address"),
    Row("B1x", "this network", "blocked_address", ["0.0.0.0", "0.1.2.3", "0.255.255.255"], "an unspecified address"),
    Row(
        "B2",
        "private",
        "blocked_address",
        ["10.0.0.1", "10.255.255.255", "172.16.5.4", "172.31.255.255", "192.168.1.1", "192.168.255.255"],
        "a private address",
    ),
    Row(
        "B3",
        "link-local, and the metadata services of the clouds",
        "blocked_address",
        ["169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.1", "169.254.255.255"],
        "cloud metadata",
    ),
    Row(
        "B4",
        "carrier NAT, and the metadata service of Alibaba",
        "blocked_address",
        ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
        "a carrier NAT address",
    ),
    Row(
        "B5",
        "protocol assignments, and the metadata service of Oracle",
        "blocked_address",
        ["192.0.0.192", "192.0.0.9", "192.0.0.170", "192.88.99.1"],
        " (192.",
    ),
    Row("B6", "the wire server of Azure", "blocked_address", ["168.63.129.16"], "Azure", "globally routable by IANA"),
    Row(
        "B7",
        "documentation and benchmarks",
        "blocked_address",
        ["192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7"],
        "reserved for",
    ),
    Row("B8", "multicast", "blocked_address", ["224.0.0.1", "239.255.255.250"], "a multicast address"),
    Row("B8x", "reserved and broadcast", "blocked_address", ["240.0.0.1", "255.255.255.255"], "reserved"),
    Row("B9", "IPv6 loopback and unspecified", "blocked_address", ["::1", "::", "::2"], _NOT_PUBLIC),
    Row("B10", "IPv6 link-local", "blocked_address", ["fe80::1", "fe80::a9fe:a9fe", "fec0::1"], _NOT_PUBLIC),
    Row(
        "B11",
        "IPv4 mapped into IPv6",
        "blocked_address",
        ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:8.8.8.8"],
        _MAPPED,
    ),
    Row("B12", "IPv4-compatible", "blocked_address", ["::127.0.0.1", "::10.0.0.1", "::8.8.8.8"], _NOT_PUBLIC),
    Row(
        "B13",
        "IPv4 translated, and in ISATAP form",
        "blocked_address",
        ["::ffff:0:127.0.0.1", "2607:f8b0::5efe:127.0.0.1", "2607:f8b0::200:5efe:a9fe:a9fe"],
        "",
    ),
    Row(
        "B14",
        "NAT64 of inner addresses",
        "blocked_address",
        ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
        _NOT_PUBLIC,
    ),
    Row("B15", "NAT64 of a public address", "blocked_address", ["64:ff9b::808:808"], _NOT_PUBLIC),
    Row("B16", "6to4", "blocked_address", ["2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1"], "in 6to4 form"),
    Row(
        "B17",
        "Teredo and other protocol assignments",
        "blocked_address",
        ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1"],
        "such as Teredo",
    ),
    Row(
        "B18",
        "unique local, and the metadata services of the clouds",
        "blocked_address",
        ["fc00::1", "fd00:ec2::254", "fd20:ce::254", "fdff:ffff::1"],
        _NOT_PUBLIC,
    ),
    Row("B19", "IPv6 multicast", "blocked_address", ["ff02::1", "ff05::2", "ff0e::1"], _NOT_PUBLIC),
    Row("B20", "IPv6 documentation", "blocked_address", ["2001:db8::1", "3fff::1", "3fff:fff::1"], "for documentation"),
    Row(
        "B20x",
        "IPv6 segment routing, discard and not assigned",
        "blocked_address",
        ["5f00::1", "100::1", "4000::1", "1fff::1", "8000::1"],
        _NOT_PUBLIC,
    ),
]

#: Hosts that some program would take for an inner address; tried as they are.
SPELLINGS: list[Row[str]] = [
    Row(
        "B21",
        "numbers in other forms",
        "blocked_address",
        [
            "127.1",
            "2130706433",
            "0",
            "0177.0.0.1",
            "017700000001",
            "127.000.000.001",
            "0x7f000001",
            "0x7f.0.0.1",
            "0x7f.1",
            "127.0.0.1.2",
            "1.2.3",
            "8.8.8.08",
            "256.1.1.1",
            "4294967297",
        ],
        _FOUR,
    ),
    Row("B22", "names that end in a number", "blocked_address", ["example.0x7f", "example.1", "a.0"], _FOUR),
    Row(
        "B23",
        "digits and dots of other scripts",
        "blocked_address",
        [
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "\uff11\uff12\uff17.0.0.1",
            "127.0.0.\uff11",
            "١٢٧.0.0.1",
            "127\uff0e0\uff0e0\uff0e1",
            "\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1",
        ],
        _NO_NAME,
    ),
    Row("B24", "this machine by name", "blocked_address", ["localhost", "LOCALHOST", "foo.localhost"], _THIS_SERVER),
    Row("B24x", "this machine by name, in disguise", "blocked_address", ["localhost.", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "\uff4cocalhost"]),
    Row(
        "B25",
        "IPv6 literals in other forms",
        "blocked_address",
        ["[0:0:0:0:0:0:0:1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[0:0::1]", "[::FFFF:127.0.0.1]", "[0::0]"],
    ),
]

#: Names that anybody may register, of which the name service says that they are here.
NAMES_OF_THIS_MACHINE: list[Row[str]] = [
    Row(
        "B26",
        "public names of this machine",
        "blocked_address",
        ["127.0.0.1.nip.io", "localtest.me", "ip6-localhost", "lvh.me", "metadata.google.internal"],
    ),
]

NEIGHBOURS: list[Row[str]] = [
    Row(
        "B27",
        "IPv4 addresses just outside",
        "accepted",
        [
            *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1"),
            *("168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1"),
            *("191.255.255.255", "192.0.1.1", "192.0.3.1", "192.88.98.255", "192.88.100.0", "192.167.255.255"),
            *("192.169.0.1", "198.17.255.255", "198.20.0.1", "198.51.99.255", "198.51.101.0", "203.0.112.255"),
            *("203.0.114.0", "223.255.255.255"),
        ],
    ),
    Row(
        "B27x",
        "IPv6 addresses just outside",
        "accepted",
        [
            *("2000::1", "2001:200::1", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700:4700::1111"),
            *("3fff:1000::1", "3ffe::1"),
        ],
    ),
]


def as_host(address: str) -> str:
    """The address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address
