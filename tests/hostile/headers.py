"""D. Headers that a customer may want with every delivery."""

from tests.hostile.cases import Row

_NAME = "A header name has"
_OURS = "is set by the delivery itself"
_VALUE = "may hold visible ASCII characters"

#: Names that are tried with the value "x"; the field at fault is ``headers.NAME``.
NAMES: list[Row[str]] = [
    Row(
        "D2",
        "what is no header name",
        "refused",
        ["X\r\nY", "X A", "", "X:", "X\n", "\nX", "X\tY", "Ünï", "(x)", "x@y", "x/y", "x,y", 'x"y', "{x}", "X" * 129],
        _NAME,
    ),
    Row("D3", "another host", "refused", ["Host", "host", "HOST"], _OURS),
    Row(
        "D5",
        "another length or framing",
        "refused",
        ["Transfer-Encoding", "transfer-encoding", "Content-Length", "CONTENT-LENGTH", "Expect"],
        _OURS,
        "two lengths are two requests to some servers",
    ),
    Row(
        "D6",
        "of this connection only",
        "refused",
        [
            "Connection",
            "Upgrade",
            "TE",
            "Trailer",
            "Keep-Alive",
            "HTTP2-Settings",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Proxy-Anything",
        ],
        _OURS,
    ),
    Row(
        "D8",
        "another form of the body",
        "refused",
        ["Content-Encoding", "Content-Type", "content-type", "Content-MD5", "Accept-Encoding", "User-Agent"],
        _OURS,
    ),
    Row(
        "D9",
        "our signature, in any case",
        "refused",
        [
            "X-Tagmatic-Signature",
            "x-tagmatic-SIGNATURE",
            "X-Tagmatic-Anything",
            "webhook-id",
            "Webhook-Timestamp",
            "webhook-signature",
            "WEBHOOK-SIGNATURE",
            "traceparent",
            "tracestate",
        ],
        _OURS,
    ),
]

#: Values that are tried for X-Value.
VALUES: list[Row[object]] = [
    Row(
        "D12",
        "what is not visible ASCII",
        "refused",
        ["é", "日本", "\u2028", "嘍嘊", "a\r\nX: y", "a\nb", "a\rb", "\x7f", "\x85", "\x01", "\u200b"],
        _VALUE,
        "U+560D U+560A become CR LF where somebody cuts them to bytes",
    ),
    Row("D12x", "space around, or nothing else", "refused", [" x", "x ", "\t", " "], _VALUE),
    Row("D12y", "what is no text", "refused", [5, None, True, ["x"], {"a": "b"}, 1.5], _VALUE),
]

#: All headers of an endpoint together; the field at fault is ``headers``.
HEADERS: list[Row[dict[str, str]]] = [
    Row(
        "D11",
        "too many, or too long",
        "refused",
        {
            "51 headers": {f"X-{n}": "v" for n in range(51)},
            "200 headers": {f"X-{n}": "v" for n in range(200)},
        },
        "at most 50 headers",
    ),
    Row(
        "D11x",
        "too long",
        "refused",
        {
            "a value of 100 000 characters": {"X-Long": "v" * 100_000},
            "17 kB in all": {f"X-{n}": "v" * 1000 for n in range(17)},
        },
        "16,384 bytes",
    ),
]

ACCEPTED_HEADERS: list[Row[dict[str, str]]] = [
    Row(
        "D1",
        "ordinary headers, as typed",
        "accepted",
        {
            "a token": {"Authorization": "Bearer abc"},
            "a tab inside": {"X-Env": "a\tb c"},
            "an empty value": {"X-Empty": ""},
            "what it accepts": {"Accept": "application/json"},
            "an unusual name": {"x!#$%&'*+-.^_`|~1": "~"},
            "a name of 128 characters": {"X" * 128: "v"},
            "50 headers": {f"X-{n}": "v" for n in range(50)},
        },
    ),
]
