"""What every answer tells a browser."""

import re
from ipaddress import ip_network

import pytest
from aiohttp import ClientSession

from service.front import Front, address, listen
from tests.service.house import PASSWORD, Account, Answer, House, open_house

PAGES = ("/sign-in", "/api/docs")


async def every_kind(house: House, ada: Account) -> list[Answer]:
    """An answer of each kind: pages, files, data, redirects, failures."""
    return [
        *[await house.stranger.get(path) for path in (*PAGES, "/", "/static/hookline.css", "/healthz", "/metrics")],
        await ada.key.get("/api/webhooks"),
        await ada.key.get("/api/webhooks/wh_1"),
        await ada.key.post("/api/webhooks", []),
        await house.stranger.get("/api/keys"),
        await house.stranger.get("/nowhere"),
        await house.stranger.call("PUT", "/sign-in"),
    ]


async def test_every_answer_keeps_to_itself_whatever_it_is(house: House, ada: Account) -> None:
    for answer in await every_kind(house, ada):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "*" not in policy
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Server"] == "Hookline", "and no version of anything"


async def test_pages_keep_to_their_policy_nothing_in_them_runs_or_is_styled_in_place(
    house: House, ada: Account
) -> None:
    body = {"email": ada.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", json=body)
    for path in (*PAGES, "/"):
        page = await house.stranger.get(path)
        if page.status == 303:
            continue
        assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
        assert not re.search(r"<style|<script(?! src=\"/static/)|\son\w+=|\sstyle=|javascript:", page.body)
        for reference in re.findall(r'<link[^>]* href="([^"]+)"', page.body):
            assert (await house.stranger.get(reference)).status == 200


async def test_only_files_are_kept_and_nothing_that_is_for_somebody(house: House, ada: Account) -> None:
    for answer in await every_kind(house, ada):
        is_file = answer.headers.get("Content-Type", "").startswith("text/css")
        assert answer.headers["Cache-Control"] == ("no-cache" if is_file else "no-store")
    for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', (await house.stranger.get("/sign-in")).body):
        assert "immutable" in (await house.stranger.get(name)).headers["Cache-Control"], "its address changes with it"


async def test_over_tls_browsers_are_told_to_stay_there(address: str) -> None:
    async with open_house(address, trusted_proxies=(ip_network("127.0.0.0/8"),)) as house:
        for proto, told in (("https", True), ("http", False), ("http, https", True), ("https, http", False)):
            answer = await house.stranger.call("GET", "/api/docs", headers={"X-Forwarded-Proto": proto})
            assert ("Strict-Transport-Security" in answer.headers) == told


@pytest.mark.parametrize("path", ["/healthz", "/api/webhooks", "/"])
async def test_excuses_of_a_house_that_is_not_open_yet_have_the_headers_too(path: str) -> None:
    listener = listen("127.0.0.1", 0)
    with listener:
        async with (
            Front(listener).excusing(),
            ClientSession() as client,
            client.get(address(listener) + path) as answer,
        ):
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Server"] == "Hookline"
