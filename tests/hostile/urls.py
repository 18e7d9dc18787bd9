"""A. URLs that two parsers could read differently, as somebody may try to register them."""

from typing import Any

from tests.hostile.cases import Row

_NOT_TEXT = "A URL is a string"
_SCHEME = "starts with https://"
_UNREADABLE = "no spaces, control or invisible characters"
_BACKSLASH = "no backslash"
_USER = "no user information"
_FRAGMENT = "no fragment"
_PORT = "A port is a number from 1 to 65535"
_LABEL = "Each label of a host"
_NO_NAME = "a character that no name may have"
_LONG = "at most 2,048 characters"

URLS: list[Row[Any]] = [
    Row("A1", "not a text, or an empty one", "refused", ["", None, 123, [], {}, True], _NOT_TEXT),
    Row("A2", "no scheme", "refused", ["example.com/hook", "//example.com/hook", "/hook", "?x"], _SCHEME),
    Row("A3", "a blank", "refused", [" ", "\t"], _UNREADABLE),
    Row(
        "A4",
        "a scheme and no host",
        "refused",
        ["http:127.0.0.1", "http:/example.com", "https:example.com", "https//example.com"],
        _SCHEME,
        "libraries repair these, each in another way",
    ),
    Row("A4x", "an empty host", "refused", ["http:///x", "https://", "https://:443/", "https://?x=1"], _LABEL),
    Row(
        "A5",
        "another scheme",
        "refused",
        [
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:6379/_x",
            "dict://example.com/",
            "data:,x",
            "javascript:alert(1)",
            "unix:///var/run/docker.sock",
            "http+unix://%2Fvar%2Frun/",
        ],
        _SCHEME,
    ),
    Row(
        "A6",
        "a scheme that the HTTP client would take",
        "refused",
        ["ws://example.com/", "wss://example.com/", "tcp://example.com/", "httpss://example.com/", "http\u017f://a.b/"],
        _SCHEME,
    ),
    Row(
        "A8",
        "space or control characters around and inside",
        "refused",
        [
            " https://127.0.0.1",
            "https://example.com ",
            "\thttps://example.com",
            "https://example.com/\x0b",
            "https://exa\tmple.com/",
            "https://example.com/a b",
            "https://example.com\n.evil.example/",
            "https://example.com/\u2028",
            "https://example.com/\x7f",
            "https://example.com/\x85",
            "https://example.com/\u3000",
        ],
        _UNREADABLE,
    ),
    Row(
        "A9",
        "a header smuggled in by raw line ends",
        "refused",
        ["https://example.com/\r\nX-Evil: 1", "https://example.com/?a\nb", "https://example.com/\rx"],
        _UNREADABLE,
    ),
    Row(
        "A11",
        "user information",
        "refused",
        [
            "https://user:pass@example.com/",
            "https://user@example.com/",
            "https://@example.com/",
            "https://example.com:443@127.0.0.1/",
            "https://example.com%40@127.0.0.1/",
        ],
        _USER,
        "it becomes an Authorization header, and hides where the request goes",
    ),
    Row(
        "A13",
        "a fragment that hides the host",
        "refused",
        ["http://127.0.0.1:8080#@example.com/", "https://example.com#@127.0.0.1/"],
        _FRAGMENT,
    ),
    Row(
        "A14",
        "a backslash that is a slash to some",
        "refused",
        [
            "http://127.0.0.1:8080\\@example.com/",
            "http://example.com\\@127.0.0.1/",
            "https:\\\\example.com/",
            "https://example.com\\.evil.example/",
        ],
        _BACKSLASH,
    ),
    Row(
        "A15",
        "a host with characters of no host",
        "refused",
        [
            "https://exa%6dple.com/",
            "https://127.0.0.1%2f.example.com/",
            "https://exa$mple.com/",
            "https://example.com;127.0.0.1/",
            "https://example.com,127.0.0.1/",
            "https://*.example.com/",
            "https://<script>/",
        ],
        _LABEL,
    ),
    Row(
        "A16",
        "square brackets that are not closed, or not around",
        "refused",
        ["http://[::1/", "http://[2606:4700::1111]x/", "http://[[::1]]/", "http://]::1[/"],
        "The host of the URL cannot be read",
    ),
    Row(
        "A16x",
        "square brackets around something else, or a zone",
        "refused",
        [
            "http://[]/",
            "http://[127.0.0.1]/",
            "http://[example.com]/",
            "http://[v1.fe80::a]/",
        ],
        "not an IPv6 address",
    ),
    Row(
        "A16z",
        "an address with a zone",
        "refused",
        ["http://[fe80::1%eth0]/", "http://[::1%lo]/", "http://[::1%25lo]/"],
        "no zone",
    ),
    Row(
        "A17",
        "a port that is none",
        "refused",
        [
            f"https://example.com:{port}/"
            for port in ("", "0", "65536", "99999", "-1", "+80", "٨٠", "080", "8_0", "0x50", "8e1")
        ],
        _PORT,
    ),
    Row(
        "A17x",
        "two ports, or an IPv6 address without brackets",
        "refused",
        ["http://::1/", "https://example.com:80:80/", "https://example.com:443:/", "https://[2606:4700::1]:443:80/"],
        _PORT,
    ),
    Row(
        "A18",
        "a port of another service",
        "refused",
        [f"https://example.com:{port}/" for port in (1, 22, 25, 53, 79, 81, 110, 442, 444, 587, 993, 1023)],
        "is not among those that deliveries may use",
    ),
    Row(
        "A19",
        "too long",
        "refused",
        {
            "2 049 characters": "https://example.com/" + "a" * 2029,
            "100 000 characters": "https://example.com/" + "a" * 100_000,
            "too long when encoded": "https://example.com/" + "é" * 500,
        },
        _LONG,
    ),
    Row(
        "A20",
        "labels that no name has",
        "refused",
        [
            f"https://{'a' * 64}.com/",
            "https://a..b/",
            "https://.example.com/",
            "https://-a.com/",
            "https://a-.com/",
        ],
        _LABEL,
    ),
    Row("A20x", "a name of 299 characters", "refused", [f"https://{'.'.join(['a' * 49] * 6)}/"], "at most 253"),
    Row(
        "A20y",
        "a dot at the end",
        "refused",
        ["https://example.com./", "https://example.com.:443/", "https://./"],
        "leave the dot out",
    ),
    Row(
        "A23",
        "characters that cannot be seen",
        "refused",
        [f"https://exam{character}ple.com/" for character in "\u200b\u200d\u2060\ufeff\u202e\u2066\u00ad"],
        _UNREADABLE,
    ),
    Row(
        "A24",
        "characters that other programs make ASCII of",
        "refused",
        [
            "https://\uff45xample.com/",
            "https://example。com/",
            "https://example\u2024com/",
            "https://ex\u212aample.com\uff0fevil.example/",
            "https://example.com\u2215evil.example/",
            "https://\u2100.example/",
        ],
        _NO_NAME,
    ),
    Row(
        "A25",
        "a fragment",
        "refused",
        ["https://example.com/#x", "https://example.com/#", "https://example.com#"],
        _FRAGMENT,
    ),
]

#: A url as it is typed, and the one form in which it is stored, shown and dialled.
NORMAL_FORMS: list[Row[tuple[str, str]]] = [
    Row(
        "A7",
        "upper case and default ports",
        "accepted",
        [
            ("HTTPS://EXAMPLE.com", "https://example.com/"),
            ("HTTP://EXAMPLE.com/", "http://example.com/"),
            ("https://example.com:443/", "https://example.com/"),
            ("http://example.com:80/", "http://example.com/"),
            ("https://example.com:8443/hook", "https://example.com:8443/hook"),
            ("https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"),
        ],
    ),
    Row(
        "A10",
        "percent-encoding, and what wants it",
        "accepted",
        [
            ("https://example.com/%0d%0aX-Evil:%201", "https://example.com/%0d%0aX-Evil:%201"),
            ("https://example.com/ünï?q=é", "https://example.com/%C3%BCn%C3%AF?q=%C3%A9"),
            ("https://example.com?a[]=1&b=100%", "https://example.com/?a%5B%5D=1&b=100%25"),
            ("https://example.com/<script>{{7*7}}'", "https://example.com/%3Cscript%3E%7B%7B7*7%7D%7D'"),
            ("https://example.com/a/../b//c", "https://example.com/a/../b//c"),
            ("https://example.com/%2e%2e/@127.0.0.1", "https://example.com/%2e%2e/@127.0.0.1"),
        ],
    ),
    Row(
        "A21",
        "names that are unusual and allowed",
        "accepted",
        [
            ("https://a_b.com/", "https://a_b.com/"),
            ("https://intranet/", "https://intranet/"),
            ("https://" + "a" * 63 + ".com/", "https://" + "a" * 63 + ".com/"),
            ("https://example.com/" + "a" * 2028, "https://example.com/" + "a" * 2028),
        ],
        why="what a name resolves to is judged at every attempt, whatever it looks like",
    ),
    Row(
        "A22",
        "names in other scripts, look-alikes among them",
        "accepted",
        [
            ("http://\u0435xample.com/", "http://xn--xample-2of.com/"),
            ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ],
        why="stored and shown in punycode, so that a Cyrillic letter can be seen",
    ),
]
