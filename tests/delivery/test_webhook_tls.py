"""TLS as receivers get it right; how they get it wrong is listed in `tests/hostile/certificates.py`."""

import asyncio
import ssl

import pytest

from tests.delivery.receivers import Receiver, destination, failed, receiving, send, shipment
from tests.support.authority import Authority


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


async def test_a_certificate_is_for_the_host_of_the_url(authority: Authority) -> None:
    async with receiving(tls=authority.issue("app.localhost")) as serving:
        right = await send(serving.url(scheme="https", host="app.localhost"), ssl_context=authority.trust())
        wrong = await send(serving.url(scheme="https", host="other.localhost"), ssl_context=authority.trust())
    assert right.failure is None
    assert "is for another host name" in failed(wrong)[1]


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
