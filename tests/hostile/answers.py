"""E. Receivers that do everything wrong, as conversations on a socket, and what the log says of the attempt."""

import asyncio
import gzip
import socket
import struct
import zlib
from functools import cache

from tests.delivery.receivers import OK, Conversation, saying
from tests.hostile.cases import Row

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN = b"HTTP/1.1 500 X\r\n"

_WAITING = "ran out while waiting for the answer"
_CLOSED = "closed the connection while waiting for the answer"
_NO_HTTP = "The answer is not valid HTTP"


def with_length(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 " + status + b"\r\n" + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def reset(writer: asyncio.StreamWriter) -> None:
    """Hang up rudely: with a reset instead of an end."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def resetting(*pieces: bytes, unread: bool = False) -> Conversation:
    """Say some things and reset the connection; ``unread`` says them without having read the request."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not unread:
            await reader.read(65536)
        writer.writelines(pieces)
        await writer.drain()
        reset(writer)

    return converse


def refusing_early(status: bytes) -> Conversation:
    """Answer when the headers are in, and close without reading the body."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b" No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    return converse


def speaking_first(answer: bytes) -> Conversation:
    """Answer before there is a request."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await reader.read(65536)
        await asyncio.sleep(9)

    return converse


@cache
def bomb(form: str) -> bytes:
    """Some 200 kB that become 200 MB."""
    compress = zlib.compressobj(9, zlib.DEFLATED, 31 if form == "gzip" else 15)
    zeros = bytes(1_000_000)
    return b"".join([*(compress.compress(zeros) for _ in range(200)), compress.flush()])


def hanging(*pieces: bytes) -> Conversation:
    return saying(*pieces, forever=b"", pause=9)


FAILING: list[Row[Conversation]] = [
    Row("E1", "never answers", "timeout", {"after the request": hanging()}, _WAITING),
    Row(
        "E1x",
        "hangs half way",
        "timeout",
        {
            "in the status line": hanging(b"HTTP/1.1 2"),
            "after the status line": hanging(HEAD),
            "after a header": hanging(HEAD + b"X-A: 1\r\n"),
            "before the last line end": hanging(HEAD + b"X-A: 1\r\n\r"),
            "after an interim answer": hanging(b"HTTP/1.1 102 Processing\r\n\r\n"),
        },
        _WAITING,
    ),
    Row(
        "E3",
        "drips its headers",
        "timeout",
        {
            "a byte now and then": saying(HEAD, forever=b"X", pause=0.02),
            "a line now and then": saying(HEAD, forever=b"X-A: 1\r\n", pause=0.05),
            "a blank line now and then": saying(forever=b"\r\n", pause=0.02),
        },
        _WAITING,
    ),
    Row(
        "E7",
        "headers without end",
        "protocol_error",
        {
            "of lines": saying(HEAD, forever=b"X-A: 1\r\n"),
            "of one line": saying(HEAD, forever=b"x" * 1000),
            "of one value": saying(HEAD + b"X-A: ", forever=b"x" * 1000),
            "of one folded value": saying(HEAD + b"X-A: x\r\n", forever=b" folded\r\n"),
        },
        _NO_HTTP,
    ),
    Row(
        "E8",
        "1 MB of headers",
        "protocol_error",
        {
            "in one": hanging(HEAD + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n"),
            "in 1 000": hanging(HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 990) for n in range(1000)) + b"\r\n"),
            "in 100 000": hanging(HEAD + b"X-A: 123\r\n" * 100_000 + b"\r\n"),
            "in the status line": hanging(b"HTTP/1.1 200 " + b"x" * 1_000_000 + b"\r\n\r\n"),
        },
        _NO_HTTP,
    ),
    Row(
        "E9",
        "interim answers without end",
        "timeout",
        {
            "continue": saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001),
            "a storm of continue": saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
            "early hints": saying(forever=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", pause=0.001),
            "processing": saying(forever=b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.001),
        },
        _WAITING,
    ),
    Row(
        "E14",
        "hangs up before there is an answer",
        "connection_closed",
        {
            f"{how} after {said or 'nothing'!r}": (saying if how == "end" else resetting)(said)
            for said in (b"", b"HTTP/1.1 2", HEAD, HEAD + b"X-A: 1\r\n")
            for how in ("end", "reset")
        },
        _CLOSED,
    ),
    Row(
        "E15",
        "closes at accept",
        "connection_closed",
        {
            "with a reset": resetting(unread=True),
            "with half a word": resetting(b"HTTP", unread=True),
        },
        "closed the connection",
    ),
    Row(
        "E16",
        "speaks another protocol",
        "protocol_error",
        {
            "TLS": hanging(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            "garbage": hanging(b"\x00\x01\x02\x03\xff\xfe\r\n\r\n"),
            "HTTP 0.9": hanging(b"<html>I am HTTP/0.9</html>"),
            "SMTP": hanging(b"220 mail.example.com ESMTP ready\r\n"),
            "SSH": hanging(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
            "Redis": hanging(b"-ERR unknown command 'POST'\r\n"),
            "FTP": hanging(b"220 (vsFTPd 3.0.5)\r\n530 Please login\r\n"),
            "HTTP 2": hanging(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x40\x00\x00\x00"),
        },
        _NO_HTTP,
    ),
    Row(
        "E17",
        "a status line that is none",
        "protocol_error",
        {
            "in words": hanging(b"HTTP/1.1 two hundred\r\n\r\n"),
            "two digits": hanging(b"HTTP/1.1 20\r\n\r\n"),
            "four digits": hanging(b"HTTP/1.1 2000 OK\r\n\r\n"),
            "negative": hanging(b"HTTP/1.1 -200 OK\r\n\r\n"),
            "signed": hanging(b"HTTP/1.1 +20 OK\r\n\r\n"),
            "another protocol": hanging(b"HTTQ/1.1 200 OK\r\n\r\n"),
            "no version": hanging(b"HTTP/ 200 OK\r\n\r\n"),
            "an upgrade that nobody asked for": hanging(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
            ),
        },
    ),
    Row(
        "E18",
        "headers that contradict or break",
        "protocol_error",
        {
            "a negative length": hanging(HEAD + b"Content-Length: -1\r\n\r\n"),
            "a length in hex": hanging(HEAD + b"Content-Length: 0x2\r\n\r\nok"),
            "a signed length": hanging(HEAD + b"Content-Length: +2\r\n\r\nok"),
            "two lengths": hanging(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            "a length and chunks": hanging(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "a NUL in a value": hanging(HEAD + b"X-A: a\x00b\r\n\r\n"),
            "a space in a name": hanging(HEAD + b"X A: b\r\n\r\n"),
            "no name": hanging(HEAD + b": b\r\n\r\n"),
            "no colon": hanging(HEAD + b"just words\r\n\r\n"),
        },
        _NO_HTTP,
    ),
    Row(
        "E21",
        "refuses before it has read the request",
        "http_4xx",
        {
            "400": refusing_early(b"400"),
            "413": refusing_early(b"413"),
            "before there is a request": speaking_first(with_length(b"no", status=b"408 Request Timeout")),
        },
        "The receiver answered 4",
    ),
    Row(
        "E26",
        "a status that says no",
        "http_4xx",
        {f"{status}": hanging(with_length(b"no", status=b"%d X" % status)) for status in (400, 404, 451, 499)},
        "The receiver answered 4",
    ),
    Row(
        "E26x",
        "a fault of its own, with a body that does not end",
        "http_5xx",
        {
            "a body that never comes": hanging(BROKEN + b"Content-Length: 100\r\n\r\n"),
            "an endless body": saying(BROKEN + b"\r\n", forever=b"x" * 10_000),
            "a body that breaks off": saying(BROKEN + b"Content-Length: 100\r\n\r\nabc"),
        },
        "The receiver answered 500",
    ),
    Row(
        "E26y",
        "a status of no class",
        "protocol_error",
        {f"{status}": hanging(with_length(b"", status=b"%d X" % status)) for status in (600, 999)},
        "The receiver answered ",
    ),
]

#: Once the status line and the headers of a 2xx are in, the delivery is a success, whatever the body does.
DELIVERED: list[Row[Conversation]] = [
    Row(
        "E4",
        "drips its body",
        "delivered",
        {
            "a byte now and then": saying(CHUNKED, forever=b"1\r\nx\r\n", pause=0.02),
            "never": hanging(HEAD + b"Content-Length: 100\r\n\r\n"),
            "until the connection ends, which it does not": hanging(HEAD + b"\r\nabc"),
        },
    ),
    Row(
        "E5",
        "a body that breaks off",
        "delivered",
        {
            "with an end": saying(HEAD + b"Content-Length: 100\r\n\r\nabc"),
            "with a reset": resetting(HEAD + b"Content-Length: 100\r\n\r\nabc"),
        },
    ),
    Row(
        "E6",
        "chunks without end",
        "delivered",
        {
            "an endless chunk extension": saying(CHUNKED + b"1;", forever=b"x" * 10_000),
            "an endless chunk size": saying(CHUNKED, forever=b"0000000000000000"),
            "endless trailers": saying(CHUNKED + b"0\r\n", forever=b"X-A: 1\r\n"),
            "endless chunks of one byte": saying(CHUNKED, forever=b"1\r\nx\r\n" * 1000),
        },
    ),
    Row(
        "E10",
        "interim answers before the answer",
        "delivered",
        {
            "early hints": saying(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", OK),
            "continue": saying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
            "twenty of them": saying(b"HTTP/1.1 102 Processing\r\n\r\n" * 20, OK),
            "continue, and junk after the answer": saying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"junk"),
        },
    ),
    Row(
        "E11",
        "a body of 1 GB, or without end",
        "delivered",
        {
            "1 GB": saying(HEAD + b"Content-Length: 1000000000\r\n\r\n", forever=b"x" * 65536),
            "chunks without end": saying(CHUNKED, forever=b"5000\r\n" + b"x" * 0x5000 + b"\r\n"),
            "up to an end that never comes": saying(HEAD + b"\r\n", forever=b"x" * 10_000),
        },
    ),
    Row(
        "E12",
        "a bomb: 200 kB that become 200 MB",
        "delivered",
        {form: saying(with_length(bomb(form), b"Content-Encoding: " + form.encode())) for form in ("gzip", "deflate")},
    ),
    Row(
        "E13",
        "an encoding that is wrong or unknown",
        "delivered",
        {
            "not really gzip": saying(with_length(b"\x1f\x8b\x08\x00 not really", b"Content-Encoding: gzip")),
            "gzip that breaks off": saying(with_length(gzip.compress(b"x" * 1000)[:20], b"Content-Encoding: gzip")),
            "br": saying(with_length(b"xx", b"Content-Encoding: br")),
            "unheard-of": saying(with_length(b"xx", b"Content-Encoding: unheard-of, gzip, gzip")),
            "an empty body in gzip": saying(with_length(b"", b"Content-Encoding: gzip")),
        },
    ),
    Row(
        "E19",
        "bytes that are no text",
        "delivered",
        {
            "Latin-1 in a header": saying(with_length(b"ok", b"X-A: caf\xe9")),
            "invalid UTF-8 in a header": saying(with_length(b"ok", b"X-A: \xc3\x28 \xff")),
            "NUL and escapes in the body": saying(with_length(b"\x00\xff\xfe\x1b[2J")),
            "half a character in the body": saying(with_length(b"\xed\xa0\x80")),
            "a charset that there is not": saying(with_length(b"\xff", b"Content-Type: text/x; charset=no")),
            "a broken content type": saying(with_length(b"x", b"Content-Type: ;;;=")),
        },
    ),
    Row(
        "E20",
        "chunks and lengths that are wrong",
        "delivered",
        {
            "a chunk size that is none": saying(CHUNKED + b"zz\r\n"),
            "a negative chunk size": saying(CHUNKED + b"-1\r\n"),
            "a chunk size of 20 digits": saying(CHUNKED + b"FFFFFFFFFFFFFFFFFFFF\r\nx"),
            "a chunk that does not end": saying(CHUNKED, b"5\r\nabcdeXX"),
            "more than announced": saying(HEAD + b"Content-Length: 2\r\n\r\nok and more than announced"),
            "a body where none may be": saying(b"HTTP/1.1 204 No Content\r\n\r\nbut a body"),
        },
    ),
    Row(
        "E22",
        "another answer after the answer",
        "delivered",
        {
            "a 500": saying(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"),
            "a 200": saying(OK + OK),
            "a blank line": saying(OK + b"\r\n\r\n"),
            "a 500 in a piece of its own": saying(OK, b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"),
        },
    ),
    Row(
        "E23",
        "an old or odd way to say yes",
        "delivered",
        {
            "HTTP 1.0": saying(b"HTTP/1.0 200 OK\r\n\r\nold"),
            "a space after a name": saying(HEAD + b"Content-Length : 2\r\n\r\nok"),
            "no reason": saying(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
            "line ends of one character": saying(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
            "299": saying(with_length(b"", status=b"299 Odd")),
        },
    ),
]
