"""Receivers that hold on to what they get: what only a look at the sockets shows. All others are in `tests/hostile`."""

import asyncio
import errno
import socket

import pytest
import structlog

from tests.delivery.receivers import (
    destination,
    failed,
    receiving,
    saying,
    send,
    shipment,
)

SHORT = 0.3


async def test_a_body_that_is_never_read_by_the_other_side_ends_in_time_and_leaves_no_connection() -> None:
    silence = asyncio.Event()

    async def never_reads(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await silence.wait()

    dialled: list[socket.socket] = []

    def with_a_small_buffer(family: int, kind: int, protocol: int) -> socket.socket:
        dialled.append(socket.socket(family, kind, protocol))
        dialled[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return dialled[-1]

    async with (
        receiving(converse=never_reads) as receiver,
        destination(patience=SHORT, make_socket=with_a_small_buffer) as webhooks,
    ):
        outcome = await webhooks.send(shipment(receiver.url(), body=b"x" * 1_000_000))
        await asyncio.sleep(0)  # the transport closes its socket in the next turn of the event loop
        assert [sock.fileno() for sock in dialled] == [-1]
        silence.set()
    assert failed(outcome)[0] == "timeout"


@pytest.mark.parametrize("status", [400, 413])
async def test_an_early_refusal_is_an_http_failure_and_not_a_broken_pipe(status: int) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    for size in (1000, 262_144, 1_000_000):
        async with receiving(converse=converse) as receiver, destination() as webhooks:
            outcome = await webhooks.send(shipment(receiver.url(), body=b"x" * size))
        assert failed(outcome)[0] == "http_4xx"
        assert outcome.answer is not None
        assert outcome.answer.status == status


async def test_a_fault_of_our_own_is_not_blamed_on_the_receiver_and_is_told() -> None:
    def exhausted(*_: int) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    def broken(*_: int) -> socket.socket:
        raise KeyError("a mistake")

    with structlog.testing.capture_logs() as told:
        full = await send("http://127.0.0.1:8000/", make_socket=exhausted)
        wrong = await send("http://127.0.0.1:8000/", make_socket=broken)
    assert failed(full) == (
        "internal_error",
        "This server has no resources for another connection: Too many open files",
    )
    assert failed(wrong) == ("internal_error", "A fault of this server: KeyError: 'a mistake'")
    assert [(line["event"], line["delivery"]) for line in told] == [("attempt.broken", "dlv_1")] * 2


async def test_a_hostile_receiver_does_not_delay_the_delivery_to_another() -> None:
    storm = saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    async with receiving(converse=storm) as hostile, receiving() as healthy, destination(patience=1) as webhooks:
        storms = [asyncio.create_task(webhooks.send(shipment(hostile.url()))) for _ in range(3)]
        outcomes = [await webhooks.send(shipment(healthy.url())) for _ in range(20)]
        await asyncio.gather(*storms)
    assert max(outcome.timings.total_ms for outcome in outcomes) < 900
