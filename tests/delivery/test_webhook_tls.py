"""TLS as receivers get it right and wrong, against an authority that is made here and trusted nowhere else."""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.destinations.session import tls_context
from tests.delivery.receivers import Receiver, destination, failed, receiving, saying, send, shipment

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def a_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """A certificate authority. ``issue`` makes the server side of TLS, as a receiver would set it up."""

    folder: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def found(cls, folder: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder(a_name(name), a_name(name), key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(folder, a_name(name), key, certificate)

    def issue(self, host: str = "127.0.0.1", *, since: timedelta = -DAY, until: timedelta = DAY) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._serve(key, self._sign(key, host, self.name, since, until))

    def self_sign(self) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        alone = Authority(self.folder, a_name("127.0.0.1"), key, self.certificate)
        return self._serve(key, alone._sign(key, "127.0.0.1", alone.name, -DAY, DAY))

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, host: str, issuer: x509.Name, since: timedelta, until: timedelta
    ) -> x509.Certificate:
        try:
            names: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            names = x509.DNSName(host)
        return (
            x509.CertificateBuilder(issuer, a_name(host), key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW + since)
            .not_valid_after(NOW + until)
            .add_extension(x509.SubjectAlternativeName([names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _serve(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
        file = self.folder / f"{certificate.serial_number}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def trust(self) -> ssl.SSLContext:
        context = tls_context()
        context.load_verify_locations(cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode())
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"), "A trusted authority")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_valid_certificate_delivers_and_the_connection_is_kept(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    server = authority.issue()
    server.minimum_version = server.maximum_version = version
    receiver = Receiver()
    async with (
        receiving(converse=receiver.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls=server) as serving,
        destination(ssl_context=authority.trust()) as webhooks,
    ):
        first, again = [await webhooks.send(shipment(serving.url(scheme="https"))) for _ in range(2)]
    assert (first.failure, again.failure) == (None, None)
    assert (serving.accepts, len(receiver.requests)) == (1, 2)
    assert first.timings.tls_ms is not None
    assert first.timings.connect_ms is not None
    assert again.timings.tls_ms is None


CERTIFICATES: dict[str, tuple[Callable[[Authority], ssl.SSLContext], str]] = {
    "expired": (lambda ca: ca.issue(since=-2 * DAY, until=-DAY), "has expired; renew it"),
    "not yet valid": (lambda ca: ca.issue(since=DAY, until=2 * DAY), "is not valid yet"),
    "of another address": (lambda ca: ca.issue("127.0.0.9"), "is for another address"),
    "self-signed": (lambda ca: ca.self_sign(), "is self-signed"),
    "of an unknown authority": (
        lambda ca: Authority.found(ca.folder, "Some authority").issue(),
        "comes from an authority that is not trusted",
    ),
}


@pytest.mark.parametrize(("make", "words"), CERTIFICATES.values(), ids=CERTIFICATES)
async def test_a_wrong_certificate_is_refused_in_plain_words(
    authority: Authority, make: Callable[[Authority], ssl.SSLContext], words: str
) -> None:
    receiver = Receiver()
    async with receiving(converse=receiver.answering(b""), tls=make(authority)) as serving:
        outcome = await send(serving.url(scheme="https"), ssl_context=authority.trust())
    error, message = failed(outcome)
    assert error == "tls_error"
    assert message.startswith("The certificate of the receiver (127.0.0.1) ")
    assert words in message
    assert receiver.requests == []
    assert outcome.timings.tls_ms is not None


async def test_a_certificate_is_for_the_host_of_the_url(authority: Authority) -> None:
    async with receiving(tls=authority.issue("app.localhost")) as serving:
        right = await send(serving.url(scheme="https", host="app.localhost"), ssl_context=authority.trust())
        wrong = await send(serving.url(scheme="https", host="other.localhost"), ssl_context=authority.trust())
    assert right.failure is None
    assert "is for another host name" in failed(wrong)[1]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="a protocol_version alert"),
        pytest.param(
            b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + bytes(33) + b"\x00\x2f\x00", id="a hello in TLS 1.0"
        ),
    ],
)
async def test_old_versions_of_tls_are_refused_in_plain_words(said: bytes) -> None:
    async with receiving(converse=saying(said, forever=b"", pause=9)) as serving:
        outcome = await send(serving.url(scheme="https"))
    assert failed(outcome)[0] == "tls_error"
    assert "no version from 1.2 on" in failed(outcome)[1]


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n", b"\x00" * 100])
async def test_a_receiver_without_tls_is_a_tls_error_in_plain_words(banner: bytes) -> None:
    async with receiving(converse=saying(banner)) as serving:
        outcome = await send(serving.url(scheme="https"))
    assert failed(outcome)[0] == "tls_error"
    assert "it answered with something else" in failed(outcome)[1]


async def test_a_receiver_that_hangs_up_in_the_handshake_is_told_apart() -> None:
    async with receiving(converse=saying()) as serving:
        outcome = await send(serving.url(scheme="https"))
    assert failed(outcome) == (
        "connection_closed",
        "The receiver (127.0.0.1) closed the connection while in the TLS handshake",
    )


async def test_a_handshake_that_hangs_ends_in_time() -> None:
    async with receiving(converse=saying(forever=b"", pause=9)) as serving:
        outcome = await send(serving.url(scheme="https"), patience=0.3)
    assert failed(outcome) == (
        "timeout",
        "The 0.3 seconds of an attempt ran out while in the TLS handshake (127.0.0.1)",
    )
    assert outcome.timings.tls_ms is not None


async def test_a_tunnel_through_the_proxy_is_verified_like_a_direct_connection(authority: Authority) -> None:
    async with receiving(tls=authority.issue("app.localhost")) as serving:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(f"CONNECT app.localhost:{serving.port} HTTP/1.1\r\n".encode())
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", serving.port)
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)
            await far_writer.wait_closed()

        async with receiving(converse=tunnel) as proxy:
            url = serving.url(scheme="https", host="app.localhost")
            trusted = await send(url, proxy=proxy.url(""), ssl_context=authority.trust())
            untrusted = await send(url, proxy=proxy.url(""))
    assert trusted.failure is None
    assert trusted.timings.tls_ms is not None
    assert failed(untrusted)[0] == "tls_error"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()
