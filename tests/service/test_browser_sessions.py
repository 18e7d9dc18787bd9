"""A browser's session: kept out of reach of scripts and of other sites, and no page of theirs can use it."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from service.throttle import MOST_OF_EMAIL
from tests.service.house import PASSWORD, Account, Answer, Caller, House, open_house

FORM = "application/x-www-form-urlencoded"
OURS = {"Sec-Fetch-Site": "same-origin"}
WEBHOOK = {"url": "https://example.com/", "events": ["*"]}


async def sign_in(house: House, headers: Mapping[str, str] = OURS, **changes: Any) -> Answer:
    body = {"email": "ada@example.com", "password": PASSWORD} | changes
    return await house.stranger.call("POST", "/sign-in", json=body, headers=dict(headers))


async def send_form(house: House, path: str, headers: Mapping[str, str] = OURS, **fields: str) -> Answer:
    return await house.stranger.call("POST", path, data=fields, headers=dict(headers))


def cookie(answer: Answer) -> str:
    """The cookie as a browser sends it back; the test's own client keeps none of its own accord."""
    return str(answer.headers["Set-Cookie"]).partition(";")[0]


@pytest.fixture
async def csrf(house: House, ada: Account) -> str:
    """The token of a session whose cookie the client holds from now on."""
    return str((await sign_in(house)).body["csrf_token"])


async def change(house: House, headers: Mapping[str, str]) -> Answer:
    return await house.stranger.call("POST", "/api/webhooks", json=WEBHOOK, headers=dict(headers))


# -- in and out --------------------------------------------------------------------------------------------------------


async def test_a_person_signs_in_with_a_form_sees_who_they_are_and_signs_out_again(house: House, ada: Account) -> None:
    assert (await house.stranger.get("/")).headers["Location"] == "/sign-in"
    assert '<label for="email">' in (await house.stranger.get("/sign-in")).body

    came_in = await send_form(house, "/sign-in", email=ada.email, password=PASSWORD)
    assert (came_in.status, came_in.headers["Location"]) == (303, "/")
    home = await house.stranger.get("/")
    assert ada.email in home.body
    assert (await house.stranger.get("/sign-in")).headers["Location"] == "/"
    assert (await house.stranger.get("/api/keys")).status == 200, "pages ask the API with the cookie"

    held = cookie(came_in)
    [token] = re.findall(r'name="csrf_token" value="(\w+)"', home.body)
    went_out = await send_form(house, "/sign-out", csrf_token=token)
    assert (went_out.status, went_out.headers["Location"]) == (303, "/sign-in")
    assert (await house.stranger.get("/")).headers["Location"] == "/sign-in"
    stolen = await house.stranger.call("GET", "/api/keys", headers={"Cookie": held})
    assert (stolen.status, stolen.code) == (401, "invalid_token"), "the session itself is over, not the cookie only"


async def test_a_wrong_password_is_told_on_the_page_with_everything_typed_shown_as_text(house: House) -> None:
    typed = '"><script>alert(1)</script>@x'
    answer = await send_form(house, "/sign-in", email=typed, password="guess")
    assert answer.status == 401
    assert "Wrong e-mail address or password" in answer.body
    assert "<script" not in answer.body
    assert "Set-Cookie" not in answer.headers
    for _ in range(MOST_OF_EMAIL - 1):
        await send_form(house, "/sign-in", email=typed, password="guess")
    stopped = await send_form(house, "/sign-in", email=typed, password="guess")
    assert (stopped.status, "Retry-After" in stopped.headers) == (429, True)
    assert (await send_form(house, "/sign-in", email=typed)).status == 400


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(house: House, ada: Account) -> None:
    plain = str((await sign_in(house)).headers["Set-Cookie"])
    assert plain.startswith("hookline-session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(plain.split("; "))
    assert "Domain" not in plain


async def test_over_tls_the_cookie_goes_over_nothing_else_and_is_of_this_very_host(address: str) -> None:
    async with open_house(address, trusted_proxies=(ip_network("127.0.0.0/8"),)) as house:
        await house.account()
        tls = {"X-Forwarded-Proto": "https"} | OURS
        made = await sign_in(house, tls)
        given = str(made.headers["Set-Cookie"])
        assert given.startswith("__Host-hookline-session=")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(given.split("; "))
        assert "Domain" not in given

        async def known(name: str, **headers: str) -> int:
            token = cookie(made).partition("=")[2]
            brought = headers | {"Cookie": f"{name}={token}"}
            return (await house.stranger.call("GET", "/api/keys", headers=brought)).status

        assert await known("__Host-hookline-session", **tls) == 200
        assert await known("hookline-session", **tls) == 401, "a neighbour under the same domain can set this one"


async def test_nobody_makes_us_believe_in_tls_who_is_no_proxy_of_ours(house: House, ada: Account) -> None:
    answer = await sign_in(house, {"X-Forwarded-Proto": "https"} | OURS)
    assert str(answer.headers["Set-Cookie"]).startswith("hookline-session=")
    assert "Strict-Transport-Security" not in answer.headers


async def test_another_site_cannot_sign_anybody_in(house: House, ada: Account) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        answer = await sign_in(house, headers)
        assert (answer.status, answer.code) == (403, "cross_site")
        assert "Set-Cookie" not in answer.headers


# -- changes -----------------------------------------------------------------------------------------------------------


async def test_with_a_cookie_a_page_of_ours_may_read_and_change(house: House, csrf: str) -> None:
    assert (await house.stranger.get("/api/webhooks")).status == 200
    host = f"{house.client.host}:{house.client.port}"
    for headers in (OURS, {"Sec-Fetch-Site": "none"}, {"Origin": f"http://{host}"}):
        assert (await change(house, headers | {"X-CSRF-Token": csrf})).status == 201


FOREIGN: Mapping[str, Mapping[str, str]] = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "no word of a site": {},
    "another origin": {"Origin": "https://evil.example"},
    "an opaque origin": {"Origin": "null"},
    "an origin that begins like ours": {"Origin": "http://127.0.0.1.evil.example"},
    "a port of its own": {"Origin": "http://127.0.0.1:1"},
    "an origin of ours on a cross-site fetch": {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
}


@pytest.mark.parametrize("site", FOREIGN)
async def test_with_a_cookie_no_other_site_changes_anything_though_it_knew_the_token(
    house: House, csrf: str, site: str
) -> None:
    answer = await change(house, {**FOREIGN[site], "X-CSRF-Token": csrf})
    assert (answer.status, answer.code) == (403, "cross_site")
    assert (await house.stranger.get("/api/webhooks")).body["items"] == []


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
async def test_with_a_cookie_nothing_changes_without_the_pages_token(
    house: House, csrf: str, token: str | None
) -> None:
    answer = await change(house, OURS | ({"X-CSRF-Token": token} if token is not None else {}))
    assert (answer.status, answer.code) == (403, "csrf_token")
    assert (await house.stranger.get("/api/webhooks")).body["items"] == []


async def test_a_token_is_of_its_session_only(house: House, ada: Account, csrf: str) -> None:
    another = (await sign_in(house)).body["csrf_token"]
    assert another != csrf
    assert (await change(house, OURS | {"X-CSRF-Token": csrf})).code == "csrf_token"
    assert (await change(house, OURS | {"X-CSRF-Token": another})).status == 201


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_every_method_that_may_change_something_is_held_to_it(house: House, csrf: str, method: str) -> None:
    for path in ("/api/webhooks/wh_1", "/api/keys", "/sign-out", "/nowhere"):
        answer = await house.stranger.call(method, path, headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status, answer.code) == (403, "cross_site")
    assert (await house.stranger.get("/api/keys")).status == 200, "still signed in"


async def test_who_signs_out_by_a_form_without_the_token_stays_signed_in(house: House, csrf: str) -> None:
    answer = await send_form(house, "/sign-out", csrf_token="0" * 64)
    assert (answer.status, answer.code) == (403, "csrf_token")
    assert (await house.stranger.get("/api/keys")).status == 200


async def test_keys_and_tokens_in_headers_need_no_such_proof_for_no_browser_sends_them_by_itself(
    house: House, ada: Account, csrf: str
) -> None:
    for caller in (ada.key, ada.user):
        site = Caller(caller.client, {**caller.headers, "Sec-Fetch-Site": "cross-site"})
        assert (await site.post("/api/webhooks", WEBHOOK)).status == 201


async def test_a_form_of_any_size_is_not_read(house: House, ada: Account) -> None:
    answer = await send_form(house, "/sign-in", email=ada.email, password="x" * 20_000)
    assert answer.status == 413
