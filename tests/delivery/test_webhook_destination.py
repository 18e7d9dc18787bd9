"""What goes out to a customer's URL, and what is written down about it."""

import asyncio
import hashlib
import hmac
import socket
from datetime import datetime
from unittest.mock import Mock

import pytest
from standardwebhooks.webhooks import Webhook

from delivery import VERSION
from delivery.destinations.webhook import MOST_BODY
from delivery.domain.signing import standard_secret
from tests.delivery.receivers import AT, BODY, OK, SECRET, Receiver, destination, failed, receiving, send, shipment


def verify_webhook(payload_bytes: bytes, signature_header: str, secret: str) -> bool:
    """The snippet of the platform's setup guide, as its customers run it."""
    expected = hmac.new(secret.encode(), payload_bytes, hashlib.sha256).hexdigest()
    received = signature_header.replace("sha256=", "")
    return hmac.compare_digest(expected, received)


# --- the request ------------------------------------------------------------------------------------------------------


async def test_a_delivery_is_one_post_with_exactly_the_signed_bytes() -> None:
    body = '{"text":"ü \\u0001"}'.encode()
    async with receiving() as receiver, destination() as webhooks:
        outcome = await webhooks.send(shipment(receiver.url("/a%20b/../c?x=%2F"), body=body))
    assert outcome.failure is None
    (request,) = receiver.requests
    head, _, sent = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%20b/../c?x=%2F HTTP/1.1\r\n")
    assert sent == body


async def test_the_headers_are_those_of_the_contract_and_the_log_shows_all_of_them() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with receiving() as receiver, destination() as webhooks:
        parcel = shipment(receiver.url(), number=3, traceparent=trace, headers={"Authorization": "Bearer abc"})
        outcome = await webhooks.send(parcel)
    (sent,) = receiver.headers
    assert sent == outcome.headers
    assert {name: value for name, value in sent.items() if not name.lower().endswith("signature")} == {
        "Content-Type": "application/json",
        "User-Agent": f"Tagmatic-Webhooks/{VERSION}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Host": f"127.0.0.1:{receiver.port}",
        "Content-Length": str(len(BODY)),
        "X-Tagmatic-Event": "annotation.completed",
        "X-Tagmatic-Delivery": "dlv_1",
        "X-Tagmatic-Attempt": "3",
        "webhook-id": "evt_1",
        "webhook-timestamp": "1767268800",
        "traceparent": trace,
        "Authorization": "Bearer abc",
    }


async def test_another_brand_is_in_every_name() -> None:
    async with receiving() as receiver, destination(brand="Acme") as webhooks:
        await webhooks.send(shipment(receiver.url()))
    (sent,) = receiver.headers
    assert sent["User-Agent"].startswith("Acme-Webhooks/")
    assert {name for name in sent if name.startswith("X-")} == {
        "X-Acme-Signature",
        "X-Acme-Event",
        "X-Acme-Delivery",
        "X-Acme-Attempt",
    }


async def test_a_customers_header_can_say_what_it_accepts_but_not_who_we_are() -> None:
    theirs = {"accept": "application/json", "x-tagmatic-signature": "sha256=0", "HOST": "internal.local"}
    async with receiving() as receiver, destination() as webhooks:
        await webhooks.send(shipment(receiver.url(), headers=theirs))
    (sent,) = receiver.headers
    assert {name.lower() for name in sent} >= {"accept", "host"}
    assert sent.get("accept", sent.get("Accept")) == "application/json"
    assert sent["Host"] == f"127.0.0.1:{receiver.port}"
    assert verify_webhook(BODY, sent["X-Tagmatic-Signature"], SECRET)
    assert len([name for name in sent if name.lower() == "x-tagmatic-signature"]) == 1


async def test_the_verifier_of_the_setup_guide_accepts_every_delivery() -> None:
    async with receiving() as receiver:
        await send(receiver.url())
    (sent,), (request,) = receiver.headers, receiver.requests
    payload = request.partition(b"\r\n\r\n")[2]
    assert verify_webhook(payload, sent["X-Tagmatic-Signature"], SECRET)
    assert not verify_webhook(payload + b" ", sent["X-Tagmatic-Signature"], SECRET)


@pytest.mark.parametrize("secret", ["whsec_" + "A" * 32, SECRET, "mysecret!"])
async def test_the_standard_webhooks_library_accepts_every_delivery(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Mock(wraps=datetime, now=Mock(return_value=AT)))
    async with receiving() as receiver, destination() as webhooks:
        await webhooks.send(shipment(receiver.url(), secrets=(secret,)))
    (sent,) = receiver.headers
    assert Webhook(standard_secret(secret)).verify(BODY, sent)


async def test_during_a_rotation_both_secrets_sign_and_the_single_signature_is_the_new_ones() -> None:
    async with receiving() as receiver, destination() as webhooks:
        await webhooks.send(shipment(receiver.url(), secrets=("the-new-secret", SECRET)))
    (sent,) = receiver.headers
    assert verify_webhook(BODY, sent["X-Tagmatic-Signature"], "the-new-secret")
    assert len(sent["webhook-signature"].split(" ")) == 2


# --- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_every_2xx_is_a_success(status: int) -> None:
    async with receiving(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status) as receiver:
        outcome = await send(receiver.url())
    assert outcome.failure is None
    assert outcome.answer is not None
    assert outcome.answer.status == status


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, "http_3xx"),
        (308, "http_3xx"),
        (400, "http_4xx"),
        (410, "http_4xx"),
        (429, "http_4xx"),
        (499, "http_4xx"),
        (500, "http_5xx"),
        (503, "http_5xx"),
        (599, "http_5xx"),
        (600, "protocol_error"),
        (999, "protocol_error"),
    ],
)
async def test_every_other_status_is_a_failure_of_its_class(status: int, error: str) -> None:
    async with receiving(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\nRetry-After: 120\r\n\r\nno" % status) as receiver:
        outcome = await send(receiver.url())
    assert failed(outcome)[0] == error
    assert f"answered {status}" in failed(outcome)[1]
    assert outcome.answer is not None
    assert (outcome.answer.status, outcome.answer.headers[1]) == (status, ("Retry-After", "120"))


async def test_a_redirect_is_a_failure_and_nobody_goes_there() -> None:
    async with receiving() as elsewhere:
        moved = f"HTTP/1.1 307 X\r\nLocation: {elsewhere.url()}\r\nContent-Length: 0\r\n\r\n".encode()
        async with receiving(moved) as receiver:
            outcome = await send(receiver.url())
    assert failed(outcome) == (
        "http_3xx",
        "The receiver answered 307 Temporary Redirect. Redirects are not followed; register the final URL",
    )
    assert elsewhere.accepts == 0


async def test_the_answer_is_kept_as_it_came() -> None:
    answer = b"HTTP/1.1 500 X\r\nX-A: 1\r\nX-A: caf\xe9\r\nX-B: \xc3\xa9\r\nContent-Length: 6\r\n\r\n\x00\xff\xfe\x1b[m"
    async with receiving(answer) as receiver:
        outcome = await send(receiver.url())
    assert outcome.answer is not None
    assert outcome.answer.headers == (("X-A", "1"), ("X-A", "café"), ("X-B", "é"), ("Content-Length", "6"))
    assert (outcome.answer.body, outcome.answer.truncated) == (b"\x00\xff\xfe\x1b[m", False)


@pytest.mark.parametrize(("size", "truncated"), [(0, False), (MOST_BODY, False), (MOST_BODY + 1, True), (10**6, True)])
async def test_of_the_body_the_first_16_kib_are_kept(size: int, truncated: bool) -> None:  # noqa: FBT001
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    async with receiving(answer) as receiver:
        outcome = await send(receiver.url())
    assert outcome.failure is None
    assert outcome.answer is not None
    assert (len(outcome.answer.body), outcome.answer.truncated) == (min(size, MOST_BODY), truncated)


async def test_compressed_answers_are_kept_and_not_undone() -> None:
    for body in (b"\x1f\x8b\x08\x00 not really gzip", b""):
        answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        async with receiving(answer) as receiver:
            outcome = await send(receiver.url())
        assert outcome.failure is None
        assert outcome.answer is not None
        assert outcome.answer.body == body


async def test_cookies_are_never_sent_back() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=other-tenant\r\nContent-Length: 0\r\n\r\n"
    async with receiving(answer) as receiver, destination() as webhooks:
        await webhooks.send(shipment(receiver.url()))
        await webhooks.send(shipment(receiver.url()))
    assert len(receiver.requests) == 2
    assert not any("cookie" in request.lower() for sent in receiver.headers for request in sent)


# --- timings and address ----------------------------------------------------------------------------------------------


async def test_the_log_says_whom_it_reached_and_where_the_time_went() -> None:
    async with receiving() as receiver, destination() as webhooks:
        first = await webhooks.send(shipment(receiver.url(host="localhost")))
        again = await webhooks.send(shipment(receiver.url(host="localhost")))
    assert first.remote_address in {"127.0.0.1", "::1"}
    times = first.timings
    assert times.dns_ms is not None
    assert times.connect_ms is not None
    assert times.first_byte_ms is not None
    assert times.tls_ms is None
    assert times.dns_ms + times.connect_ms + times.first_byte_ms <= times.total_ms + 0.01
    assert (again.timings.dns_ms, again.timings.connect_ms, again.remote_address) == (None, None, first.remote_address)


async def test_a_literal_address_is_not_looked_up() -> None:
    async with receiving() as receiver:
        outcome = await send(receiver.url())
    assert outcome.timings.dns_ms is None
    assert outcome.remote_address == "127.0.0.1"


# --- kept connections -------------------------------------------------------------------------------------------------


async def test_a_connection_whose_answer_was_read_to_its_end_is_used_again() -> None:
    async with receiving() as receiver, destination() as webhooks:
        for _ in range(3):
            assert (await webhooks.send(shipment(receiver.url()))).failure is None
    assert (receiver.accepts, len(receiver.requests)) == (1, 3)


async def test_a_connection_with_an_unread_answer_is_not_used_again() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    async with receiving(long) as receiver, destination() as webhooks:
        for _ in range(2):
            assert (await webhooks.send(shipment(receiver.url()))).failure is None
    assert receiver.accepts == 2


async def test_a_kept_connection_that_the_receiver_closed_is_no_failure_and_no_second_request() -> None:
    connections: list[asyncio.StreamWriter] = []
    receiver = Receiver()

    async def remember(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await receiver.take(reader):
            writer.write(OK)

    async with receiving(converse=remember) as serving, destination() as webhooks:
        for _ in range(5):
            assert (await webhooks.send(shipment(serving.url()))).failure is None
            # closed behind the back of the event loop: nobody can have noticed when the next one is sent
            with socket.fromfd(
                connections[-1].get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
            ) as same:
                same.shutdown(socket.SHUT_RDWR)
    assert len(receiver.requests) == serving.accepts == 5


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after the answer was taken"])
async def test_an_answer_nobody_asked_for_is_never_taken_for_the_next_one(late: bool) -> None:  # noqa: FBT001
    receiver = Receiver()
    taken = asyncio.Event()
    said = asyncio.Event()

    async def two_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receiver.take(reader)
        writer.write(OK)
        if late:
            await taken.wait()
        writer.write(b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        said.set()
        await receiver.take(reader)

    async with receiving(converse=two_answers) as serving, destination() as webhooks:
        first = await webhooks.send(shipment(serving.url()))
        taken.set()
        await said.wait()
        second = await webhooks.send(shipment(serving.url()))
    assert first.failure is None
    assert second.failure is None
    assert serving.accepts == 2


async def test_a_cancelled_attempt_stays_cancelled() -> None:
    async with receiving(converse=Receiver().take) as receiver, destination() as webhooks:  # type: ignore[arg-type]
        sending = asyncio.create_task(webhooks.send(shipment(receiver.url())))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_a_hundred_deliveries_at_once_do_not_mix_up() -> None:
    async with receiving() as receiver, destination() as webhooks:
        bodies = [b'{"n":%d}' % n for n in range(100)]
        outcomes = await asyncio.gather(*(webhooks.send(shipment(receiver.url(), body=body)) for body in bodies))
    assert all(outcome.failure is None for outcome in outcomes)
    assert sorted(request.partition(b"\r\n\r\n")[2] for request in receiver.requests) == sorted(bodies)
    for request, sent in zip(receiver.requests, receiver.headers, strict=True):
        assert verify_webhook(request.partition(b"\r\n\r\n")[2], sent["X-Tagmatic-Signature"], SECRET)
