"""Receivers that do everything wrong: each attempt ends in time, with the right class, and hurts nobody else."""

import asyncio
import errno
import resource
import socket
import struct
from time import perf_counter

import pytest
import structlog

from delivery.destinations.webhook import MOST_BODY
from tests.delivery.receivers import (
    OK,
    Conversation,
    Receiver,
    destination,
    failed,
    free_port,
    receiving,
    saying,
    send,
    shipment,
)

SHORT = 0.3
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


# --- no answer in time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "converse",
    [
        pytest.param(saying(forever=b"", pause=9), id="nothing after the request"),
        pytest.param(saying(HEAD, forever=b"X", pause=0.02), id="a header byte now and then"),
        pytest.param(saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001), id="continue without end"),
        pytest.param(saying(HEAD + b"X-A: 1\r\n", forever=b"", pause=9), id="half the headers"),
    ],
)
async def test_an_attempt_without_an_answer_ends_in_time(converse: Conversation) -> None:
    async with receiving(converse=converse) as receiver:
        outcome = await send(receiver.url(), patience=SHORT)
    assert failed(outcome) == (
        "timeout",
        "The 0.3 seconds of an attempt ran out while waiting for the answer (127.0.0.1)",
    )
    assert SHORT * 900 < outcome.timings.total_ms < 3000
    assert outcome.timings.first_byte_ms is None


async def test_a_receiver_that_never_accepts_ends_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        outcome = await send(f"http://127.0.0.1:{port}/", patience=SHORT)
        for one in crowd:
            one.close()
    assert failed(outcome)[0] == "timeout"
    assert "while connecting" in failed(outcome)[1]


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


# --- no HTTP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x01\x02\x03\xff\xfe\r\n\r\n",
        b"<html>I am HTTP/0.9</html>",
        b"220 mail.example.com ESMTP ready\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"HTTQ/1.1 200 OK\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X-A: a\x00b\r\n\r\n",
        HEAD + b"X A: b\r\n\r\n",
        HEAD + b": b\r\n\r\n",
        HEAD + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=lambda answer: ascii(answer)[2:40],
)
async def test_an_answer_that_is_not_valid_http_is_a_protocol_error(answer: bytes) -> None:
    async with receiving(converse=saying(answer, forever=b"", pause=9)) as receiver:
        outcome = await send(receiver.url())
    error, message = failed(outcome)
    assert error == "protocol_error"
    assert message.isprintable()


@pytest.mark.parametrize("line", [b"X-A: 1\r\n", b"x" * 1000], ids=["of lines", "of one line"])
async def test_headers_without_end_are_a_protocol_error(line: bytes) -> None:
    async with receiving(converse=saying(HEAD, forever=line)) as receiver:
        assert failed(await send(receiver.url()))[0] == "protocol_error"


# --- hanging up -------------------------------------------------------------------------------------------------------


def reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", HEAD, HEAD + b"X-A: 1\r\n"], ids=ascii)
@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_receiver_that_hangs_up_without_an_answer_is_told_apart(said: bytes, how: str) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(said)
        if how == "reset":
            reset(writer)

    async with receiving(converse=converse) as receiver:
        outcome = await send(receiver.url())
    assert failed(outcome) == (
        "connection_closed",
        "The receiver (127.0.0.1) closed the connection while waiting for the answer",
    )


async def test_a_receiver_that_closes_at_accept_is_told_apart() -> None:
    async def converse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with receiving(converse=converse) as receiver:
        assert failed(await send(receiver.url()))[0] == "connection_closed"


async def test_a_port_where_nothing_listens_is_told_apart() -> None:
    outcome = await send(f"http://127.0.0.1:{free_port()}/")
    assert failed(outcome) == (
        "connect_refused",
        "The receiver (127.0.0.1) refused the connection: nothing listens on its port",
    )
    assert outcome.timings.connect_ms is not None


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


async def test_what_is_answered_half_the_time_is_one_request_each() -> None:
    receiver = Receiver()

    async def every_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await receiver.take(reader):
            if len(receiver.requests) % 2 == 0:
                reset(writer)
                return
            writer.write(OK)

    async with receiving(converse=every_other) as serving, destination() as webhooks:
        outcomes = [await webhooks.send(shipment(serving.url())) for _ in range(10)]
    assert [outcome.failure is None for outcome in outcomes] == [True, False] * 5
    assert len(receiver.requests) == 10


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


# --- a 2xx is a success, whatever follows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "converse",
    [
        pytest.param(saying(CHUNKED, forever=b"1\r\nx\r\n", pause=0.02), id="a body byte now and then"),
        pytest.param(saying(CHUNKED, forever=b"5000\r\n" + b"x" * 0x5000 + b"\r\n"), id="a body without end"),
        pytest.param(saying(CHUNKED + b"1;", forever=b"x" * 10_000), id="a chunk extension without end"),
        pytest.param(saying(CHUNKED, forever=b"0000000000000000"), id="a chunk size without end"),
        pytest.param(saying(CHUNKED + b"0\r\n", forever=b"X-A: 1\r\n"), id="trailers without end"),
        pytest.param(saying(CHUNKED + b"zz\r\n"), id="a chunk size that is none"),
        pytest.param(saying(CHUNKED, b"5\r\nabcdeXX"), id="a chunk that does not end"),
        pytest.param(saying(HEAD + b"Content-Length: 100\r\n\r\nabc"), id="a body that breaks off"),
        pytest.param(saying(HEAD + b"Content-Length: 100\r\n\r\n", forever=b"", pause=9), id="a body that never comes"),
        pytest.param(saying(HEAD + b"\r\n", forever=b"x" * 10_000), id="a body up to the end that never comes"),
        pytest.param(saying(HEAD + b"Content-Length: 2\r\n\r\nok and more than announced"), id="more than announced"),
        pytest.param(saying(b"HTTP/1.1 204 No Content\r\n\r\nbut a body"), id="a body where none may be"),
        pytest.param(saying(HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nxx"), id="an unknown encoding"),
        pytest.param(
            saying(HEAD + b"Content-Type: text/x; charset=no\r\nContent-Length: 1\r\n\r\n\xff"), id="a charset"
        ),
        pytest.param(saying(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", OK), id="early hints"),
        pytest.param(saying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), id="continue"),
        pytest.param(saying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"junk"), id="continue and junk"),
        pytest.param(saying(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"), id="a second answer"),
        pytest.param(saying(b"HTTP/1.0 200 OK\r\n\r\nold"), id="HTTP 1.0"),
    ],
)
async def test_a_2xx_in_time_is_a_success_whatever_the_body_does(converse: Conversation) -> None:
    begun = perf_counter()
    async with receiving(converse=converse) as receiver, destination() as webhooks:
        outcome = await webhooks.send(shipment(receiver.url()))
        again = await webhooks.send(shipment(receiver.url()))
    assert outcome.failure is None
    assert again.failure is None
    assert outcome.answer is not None
    assert len(outcome.answer.body) <= MOST_BODY
    assert receiver.accepts == 2
    assert perf_counter() - begun < 5


async def test_floods_do_not_fill_the_memory() -> None:
    floods = [
        saying(CHUNKED, forever=b"10000\r\n" + b"x" * 0x10000 + b"\r\n"),
        saying(HEAD + b"Content-Length: 1000000000\r\n\r\n", forever=b"x" * 65536),
        saying(CHUNKED + b"1;", forever=b"x" * 65536),
        saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ]
    for converse in floods:
        async with receiving(converse=converse) as receiver:
            await send(receiver.url(), patience=SHORT)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await asyncio.gather(*(send(receiver.url(), patience=SHORT) for _ in range(5)))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5 * 1024


async def test_a_hostile_receiver_does_not_delay_the_delivery_to_another() -> None:
    storm = saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    async with receiving(converse=storm) as hostile, receiving() as healthy, destination(patience=1) as webhooks:
        storms = [asyncio.create_task(webhooks.send(shipment(hostile.url()))) for _ in range(3)]
        outcomes = [await webhooks.send(shipment(healthy.url())) for _ in range(20)]
        await asyncio.gather(*storms)
    assert max(outcome.timings.total_ms for outcome in outcomes) < 900
