"""Every failure is an answer with words for people and a code for programs."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.service.house import Account, House


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/nowhere", 404, "not_found"),
        ("GET", "/api/events/%00", 404, "not_found"),
        ("GET", "/api/webhooks/%F0%9F%98%80", 404, "not_found"),
        ("GET", "/api/webhooks/wh_1/", 404, "not_found"),
        ("PUT", "/api/webhooks", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_what_is_no_route_is_told_like_every_other_failure(  # noqa: PLR0917 - one case of a table
    house: House, ada: Account, method: str, path: str, status: int, code: str
) -> None:
    unknown, known = [await caller.call(method, path) for caller in (house.stranger, ada.key)]
    for answer in (unknown, known):
        assert (answer.status, answer.code) == (status, code)
        assert ("Allow" in answer.headers) == (status == 405)
    assert known.limits, "who shows a key is told about its limits, whatever they ask"


async def test_limits_are_on_every_answer_to_somebody_known_and_on_no_other(house: House, ada: Account) -> None:
    answers = [
        await ada.key.get("/api/webhooks"),
        await ada.key.get("/api/webhooks/wh_1"),
        await ada.key.get("/api/dead-letters"),
        await ada.key.post("/api/webhooks", []),
        await ada.user.get("/api/keys"),
    ]
    assert [answer.status for answer in answers] == [200, 404, 403, 400, 200]
    assert all(answer.limits == (10**9, 10**9, 1_769_904_000) for answer in answers)
    unknown = await house.stranger.call("GET", "/api/webhooks", headers={"X-API-Key": "tmk_wrong"})
    assert "X-RateLimit-Limit" not in unknown.headers


async def test_a_fault_of_ours_tells_the_client_nothing_and_the_log_everything(
    logged: Callable[[], str], house: House, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: Any) -> None:
        raise ZeroDivisionError("the very secret reason")

    monkeypatch.setattr("delivery.store.endpoints.browse", break_down)
    answer = await ada.key.get("/api/webhooks")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert answer.body["error"] == "An unexpected error occurred"
    told = logged()
    assert "the very secret reason" in told
    assert answer.headers["X-Request-Id"] in told


async def test_while_the_database_is_away_callers_are_asked_to_come_back(
    house: House, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise OperationalError("SELECT secrets", {}, ConnectionRefusedError())

    monkeypatch.setattr("delivery.store.accounts.key_by_digest", away)
    answer = await ada.key.get("/api/webhooks")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "5")
    assert "secrets" not in answer.body["error"]


@pytest.mark.parametrize("head", [b"Content-Length: 400000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_body_that_is_too_large_is_refused_without_being_read_to_its_end(
    house: House, ada: Account, head: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.port)
    writer.write(b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"X-API-Key: " + ada.api_key.encode() + b"\r\n" + head + b"\r\n")
    if b"chunked" in head:
        writer.write((b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 5)  # and no end

    status = await reader.readline()

    assert status.startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_no_answer_is_kept_by_anybody_and_none_can_be_framed(house: House, ada: Account) -> None:
    for answer in (await ada.key.get("/api/webhooks"), await house.stranger.get("/api/nowhere")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Server"] == "Hookline"


async def test_a_request_is_known_by_the_id_that_it_brings_or_gets_one(house: House) -> None:
    brought = await house.stranger.call("GET", "/healthz", headers={"X-Request-Id": "mine-1"})
    made = await house.stranger.call("GET", "/healthz", headers={"X-Request-Id": "not an id"})
    assert brought.headers["X-Request-Id"] == "mine-1"
    assert len(made.headers["X-Request-Id"]) == 16


async def test_no_log_line_holds_a_key_a_password_a_token_or_a_signing_secret(
    logged: Callable[[], str], house: House
) -> None:
    account = await house.account("you@example.com")
    await house.stranger.post("/api/auth/login", {"email": "you@example.com", "password": "a-wrong-password"})
    webhook = {"url": "https://example.com/", "events": ["*"], "secret": "my-signing-secret"}
    await account.key.post("/api/webhooks", webhook)
    await account.user.get("/api/webhooks", cursor=account.api_key)
    told = logged()
    assert "http.request" in told
    for secret in (account.api_key, account.token, "a-wrong-password", "my-signing-secret"):
        assert secret not in told
