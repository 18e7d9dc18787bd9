"""E28, E29. Receivers whose TLS is wrong: certificates, versions, and what is no TLS at all."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.delivery.receivers import Conversation, saying
from tests.hostile.answers import hanging, resetting
from tests.hostile.cases import Row
from tests.support.authority import DAY, Authority

#: Makes the server side of TLS, given the authority that the service trusts.
MakeServer = Callable[[Authority], ssl.SSLContext]

CERTIFICATES: list[Row[MakeServer]] = [
    Row("E28", "self-signed", "tls_error", {"self-signed": Authority.self_sign}, "is self-signed"),
    Row(
        "E28x",
        "out of date",
        "tls_error",
        {
            "since yesterday": lambda ca: ca.issue(since=-2 * DAY, until=-DAY),
            "since a minute": lambda ca: ca.issue(since=-DAY, until=timedelta(minutes=-1)),
        },
        "has expired; renew it",
    ),
    Row(
        "E28y",
        "not valid yet",
        "tls_error",
        {"before tomorrow": lambda ca: ca.issue(since=DAY, until=2 * DAY)},
        "is not valid yet",
    ),
    Row(
        "E28v",
        "of another host",
        "tls_error",
        {
            "another address": lambda ca: ca.issue("127.0.0.9"),
            "a name instead of the address": lambda ca: ca.issue("localhost"),
        },
        "is for another",
    ),
    Row(
        "E28w",
        "of an authority that nobody knows",
        "tls_error",
        {
            "unknown": lambda ca: Authority.found(ca.folder, "Some authority").issue(),
            "of the same name": lambda ca: Authority.found(ca.folder, "A trusted authority").issue(),
        },
        "The certificate of the receiver",
    ),
]


def shaking_hands(version: ssl.TLSVersion) -> Callable[[Authority], Conversation]:
    """Do what a server with nothing but an old version of TLS does; asyncio's own would keep the alert to itself."""

    def prepare(authority: Authority) -> Conversation:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            server = authority.in_old_tls(version).wrap_bio(incoming, outgoing, server_side=True)
            incoming.write(await reader.read(65536))
            with pytest.raises(ssl.SSLError):
                server.do_handshake()
            writer.write(outgoing.read())

        return converse

    return prepare


OLD_VERSIONS: list[Row[Callable[[Authority], Conversation]]] = [
    Row(
        "E29",
        "old versions only",
        "tls_error",
        {"TLS 1.0": shaking_hands(ssl.TLSVersion.TLSv1), "TLS 1.1": shaking_hands(ssl.TLSVersion.TLSv1_1)},
        "no version from 1.2 on",
    ),
]

#: What is said on an https port without the help of a TLS library.
HANDSHAKES: list[Row[Conversation]] = [
    Row(
        "E29x",
        "an answer in an old version",
        "tls_error",
        {
            "a protocol_version alert": hanging(b"\x15\x03\x01\x00\x02\x02\x46"),
            "a hello in TLS 1.0": hanging(
                b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + bytes(33) + b"\x00\x2f\x00"
            ),
            "a hello in SSL 3": hanging(b"\x16\x03\x00\x00\x2a\x02\x00\x00\x26\x03\x00" + bytes(33) + b"\x00\x2f\x00"),
        },
        "no version from 1.2 on",
    ),
    Row(
        "E29y",
        "no TLS",
        "tls_error",
        {
            "plain HTTP": saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "plain HTTP that says yes": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            "SMTP": saying(b"220 mail ESMTP\r\n"),
            "zeros": saying(bytes(100)),
        },
        "it answered with something else",
    ),
    Row(
        "E29v",
        "hangs up in the handshake",
        "connection_closed",
        {"with an end": saying(), "with a reset": resetting()},
        "closed the connection while in the TLS handshake",
    ),
    Row(
        "E29w",
        "hangs in the handshake",
        "timeout",
        {"says nothing": hanging(), "half a record": hanging(b"\x16\x03\x03\x40\x00\x02")},
        "ran out while in the TLS handshake",
    ),
]
