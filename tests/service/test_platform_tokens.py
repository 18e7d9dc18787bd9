"""Tokens of the platform: its keys are fetched, believed as far as they go, and nothing else is."""

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.warnings import InsecureKeyLengthWarning

from service.settings import SettingsError, read_settings
from tests.service.house import PASSWORD, Answer, House, open_house
from tests.support.clock import NOON, ManualClock

EMAIL = "ada@example.com"
NOW = int(NOON.timestamp())
POSTGRES = {"HOOKLINE_DATABASE_URL": "postgresql+asyncpg://a@b/c", "HOOKLINE_MASTER_KEYS": "k1:" + "A" * 43 + "="}


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


KEYS: dict[str, tuple[str, Any]] = {
    "rsa": ("RS256", rsa_key()),
    "ec": ("ES256", ec.generate_private_key(ec.SECP256R1())),
    "ed": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}


def as_jwk(kid: str, algorithm: str, key: Any) -> dict[str, Any]:
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return made | {"kid": kid, "use": "sig"}


@dataclass
class Platform:
    """The platform's key set on a socket; ``asked`` counts the requests."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [as_jwk(kid, *made) for kid, made in KEYS.items()])
    status: int = 200
    body: bytes | None = None
    asked: int = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(status=self.status, body=body, headers={"Location": "/jwks.json"})


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    platform = Platform()
    app = web.Application()
    app.router.add_get("/jwks.json", platform.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
    yield platform
    await runner.cleanup()


@asynccontextmanager
async def trusting(platform: Platform, address: str, **changes: Any) -> AsyncIterator[House]:
    """A process that believes the platform; Ada has an account here."""
    clock = ManualClock()
    async with open_house(address, clock=clock, jwt_secret=None, jwt_jwks_url=platform.url, **changes) as house:
        made = await house.runtime.auth.bootstrap(EMAIL, PASSWORD)
        assert made.token is None
        yield house


@pytest.fixture
async def trusting_house(platform: Platform, sqlite_url: str) -> AsyncIterator[House]:
    async with trusting(platform, sqlite_url) as house:
        yield house


def token(kid: str = "rsa", *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    algorithm, key = KEYS[kid]
    given = {"sub": EMAIL, "iat": NOW, "exp": NOW + 600} | claims
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None},
        key,
        algorithm=algorithm,
        headers={name: value for name, value in ({"kid": kid} | (headers or {})).items() if value is not None},
    )


async def show(house: House, text: str) -> Answer:
    return await house.stranger.call("GET", "/api/webhooks", headers={"Authorization": f"Bearer {text}"})


async def refused(house: House, text: str) -> bool:
    answer = await show(house, text)
    return (answer.status, answer.code) == (401, "invalid_token")


# -- who it is ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", KEYS)
async def test_a_token_under_each_kind_of_key_is_known(trusting_house: House, kid: str) -> None:
    assert (await show(trusting_house, token(kid))).status == 200


async def test_a_user_is_named_by_id_by_address_or_by_a_verified_address_beside_the_platforms_own_id(
    trusting_house: House,
) -> None:
    house = trusting_house
    user_id = (await house.runtime.auth.bootstrap(EMAIL, PASSWORD)).user_id
    hers: list[dict[str, Any]] = [
        {"sub": user_id},
        {"sub": "Ada@Example.com"},
        {"sub": "42", "email": EMAIL, "email_verified": True},
    ]
    for claims in hers:
        assert (await show(house, token(**claims))).status == 200
    strangers: list[dict[str, Any]] = [
        {"sub": "42"},
        {"sub": "42", "email": EMAIL},
        {"sub": "42", "email": EMAIL, "email_verified": "true"},
        {"sub": "eve@example.com"},
        {"sub": None, "email": EMAIL, "email_verified": True},
    ]
    for claims in strangers:
        assert await refused(house, token(**claims))


async def test_people_log_in_at_the_platform_and_programs_with_keys_as_ever(platform: Platform, address: str) -> None:
    async with trusting(platform, address) as house:
        login = await house.stranger.post("/api/auth/login", {"email": EMAIL, "password": PASSWORD})
        assert (login.status, login.code) == (403, "forbidden")
        assert "platform" in login.body["error"]
        assert "platform" in (await house.stranger.get("/sign-in")).body
        key = (await house.runtime.auth.bootstrap(EMAIL, PASSWORD)).api_key
        assert (await house.stranger.call("GET", "/api/webhooks", headers={"X-API-Key": key})).status == 200
        made = await house.stranger.call("GET", "/api/keys", headers={"Authorization": f"Bearer {token()}"})
        assert made.status == 200


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_what_the_platform_did_not_sign_is_refused(trusting_house: House, platform: Platform) -> None:
    _, key = KEYS["rsa"]
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"sub": EMAIL, "iat": NOW, "exp": NOW + 600}
    forged = [
        jwt.encode(claims, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": "rsa"}),
        unsigned({"alg": "none", "kid": "rsa"}, claims),
        unsigned({"alg": "None", "kid": "rsa"}, claims),
        confused(public, claims),
        confused(json.dumps(platform.keys[0]).encode(), claims),
        jwt.encode(claims, key, algorithm="RS512", headers={"kid": "rsa"}),
        jwt.encode(claims, key, algorithm="PS256", headers={"kid": "rsa"}),
        jwt.encode(claims, KEYS["ec"][1], algorithm="ES256", headers={"kid": "rsa"}),
        token()[:-3] + "AAA",
        "not.a.token",
        "",
    ]
    for text in forged:
        assert await refused(trusting_house, text or "x")


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
        + "."
    )


def confused(public_key: bytes, claims: dict[str, Any]) -> str:
    """HS256 with the public key as its secret: what a verifier takes that lets the token choose the algorithm."""
    signed = unsigned({"alg": "HS256", "kid": "rsa"}, claims).removesuffix(".")
    mac = hmac.new(public_key, signed.encode(), hashlib.sha256).digest()
    return signed + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "kid",
    [
        "../../etc/passwd",
        "rsa\x00",
        "' OR 1=1 --",
        "file:///dev/null",
        "http://127.0.0.1/",
        "RSA",
        " rsa",
        "x" * 5000,
        "",
    ],
)
async def test_a_key_id_is_looked_up_and_nothing_else_is_done_with_it(trusting_house: House, kid: str) -> None:
    assert await refused(trusting_house, token(headers={"kid": kid}))


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
async def test_a_token_cannot_bring_its_own_key(trusting_house: House, platform: Platform, header: str) -> None:
    mine = rsa.generate_private_key(65537, 2048)
    brought: Any = {"jwk": as_jwk("mine", "RS256", mine), "x5c": ["AAAA"]}.get(header, platform.url)
    claims = {"sub": EMAIL, "iat": NOW, "exp": NOW + 600}
    for kid in ("mine", "rsa"):
        made = jwt.encode(claims, mine, algorithm="RS256", headers={"kid": kid, header: brought})
        assert await refused(trusting_house, made)


async def test_a_critical_extension_that_is_not_known_is_not_overlooked(trusting_house: House) -> None:
    assert await refused(trusting_house, token(headers={"crit": ["exp2"], "exp2": 1}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 61},
        {"exp": None},
        {"exp": "9999999999"},
        {"nbf": NOW + 120},
        {"iat": NOW + 120},
        {"aud": "another-service"},
    ],
)
async def test_a_token_holds_for_its_time_and_for_us_only(trusting_house: House, claims: dict[str, Any]) -> None:
    assert await refused(trusting_house, token(**claims))


async def test_clocks_may_differ_by_a_minute(trusting_house: House) -> None:
    assert (await show(trusting_house, token(exp=NOW - 30, nbf=NOW + 30, iat=NOW + 30))).status == 200


async def test_with_an_audience_and_an_issuer_only_their_tokens_are_taken(platform: Platform, sqlite_url: str) -> None:
    ours: dict[str, Any] = {"aud": "hookline", "iss": "https://tagmatic.app"}
    async with trusting(platform, sqlite_url, jwt_audience=ours["aud"], jwt_issuer=ours["iss"]) as house:
        assert (await show(house, token(**ours))).status == 200
        assert (await show(house, token(**ours | {"aud": ["other", "hookline"]}))).status == 200
        for changes in ({"aud": "other"}, {"iss": "https://evil.example"}, {"aud": None}, {"iss": None}):
            assert await refused(house, token(**ours | changes))


# -- keys that come and go ---------------------------------------------------------------------------------------------


async def test_keys_are_fetched_once_and_again_when_they_are_ten_minutes_old(
    trusting_house: House, platform: Platform
) -> None:
    house = trusting_house
    for _ in range(3):
        assert (await show(house, token())).status == 200
    assert platform.asked == 1
    platform.keys = [key for key in platform.keys if key["kid"] != "rsa"]
    house.clock.forward(599)
    assert (await show(house, token(exp=NOW + 9999))).status == 200
    house.clock.forward(1)
    assert await refused(house, token(exp=NOW + 9999))
    assert platform.asked == 2


async def test_a_new_key_is_found_at_its_first_use_and_unknown_ones_are_asked_for_no_more_than_twice_a_minute(
    trusting_house: House, platform: Platform
) -> None:
    house = trusting_house
    new = platform.keys.pop(0)
    assert (await show(house, token("ec"))).status == 200
    for number in range(20):
        assert await refused(house, token(headers={"kid": f"unknown{number}"}))
    assert platform.asked == 1
    house.clock.forward(30)
    platform.keys.append(new)
    assert (await show(house, token())).status == 200
    assert platform.asked == 2


BROKEN: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "a redirect": {"status": 302},
    "no JSON": {"body": b"<html>"},
    "no key set": {"body": b"[]"},
    "keys that are none": {"body": b'{"keys": 1}'},
    "nested without end": {"body": b"[" * 200_000},
    "endless": {"body": b" " * 300_000},
}


@pytest.mark.parametrize("how", BROKEN)
async def test_without_keys_nobody_can_say_and_callers_are_asked_to_come_back(
    trusting_house: House, platform: Platform, how: str
) -> None:
    good = Platform()
    for name, value in BROKEN[how].items():
        setattr(platform, name, value)
    answer = await show(trusting_house, token())
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "5")
    assert "127.0.0.1" not in answer.body["error"]
    platform.status, platform.body = good.status, good.body
    trusting_house.clock.forward(30)
    assert (await show(trusting_house, token())).status == 200


async def test_while_the_platform_is_away_known_keys_last_for_an_hour_and_no_longer(
    trusting_house: House, platform: Platform
) -> None:
    house = trusting_house
    forever = NOW + 2 * 86_400
    assert (await show(house, token(exp=forever))).status == 200
    platform.status = 503
    house.clock.forward(3599)
    assert (await show(house, token(exp=forever))).status == 200
    house.clock.forward(1)
    assert (await show(house, token(exp=forever))).status == 503


async def test_keys_that_are_weak_secret_or_for_something_else_verify_nothing(
    sqlite_url: str, platform: Platform
) -> None:
    weak, other = rsa_key(1024), rsa_key(2048)
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "alg": "HS256", "kid": "oct"}
    private: dict[str, Any] = jwt.get_algorithm_by_name("RS256").to_jwk(other, as_dict=True)
    platform.keys = [
        as_jwk("weak", "RS256", weak),
        as_jwk("enc", "RS256", other) | {"use": "enc"},
        as_jwk("rs512", "RS256", other) | {"alg": "RS512"},
        private | {"kid": "private"},
        secret,
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "new", "kid": "new"},
        "no key",  # type: ignore[list-item]
        as_jwk("ec", *KEYS["ec"]),
    ]
    claims = {"sub": EMAIL, "iat": NOW, "exp": NOW + 600}
    async with trusting(platform, sqlite_url) as house:
        assert (await show(house, token("ec"))).status == 200, "the good one among them is good"
        assert (await show(house, token("ec", headers={"kid": None}))).status == 200, (
            "and the only one, so it needs no id"
        )
        for kid, key, algorithm in (
            ("weak", weak, "RS256"),
            ("enc", other, "RS256"),
            ("rs512", other, "RS512"),
            ("private", other, "RS256"),
            ("oct", "s" * 32, "HS256"),
        ):
            with warnings.catch_warnings(action="ignore", category=InsecureKeyLengthWarning):
                made = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})
            assert await refused(house, made)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://tagmatic.app/jwks.json",
        "ftp://tagmatic.app/",
        "https://",
        "jwks.json",
        "https://user:pass@tagmatic.app/",
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url: str) -> None:
    with pytest.raises(SettingsError, match="JWT_JWKS_URL") as refusal:
        read_settings(environment=POSTGRES | {"HOOKLINE_JWT_JWKS_URL": url})
    assert "pass@" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["https://tagmatic.app/jwks.json", "https://10.0.0.1/keys", "http://localhost:8000/keys"]
)
def test_a_private_address_is_the_operators_choice(url: str) -> None:
    assert read_settings(environment=POSTGRES | {"HOOKLINE_JWT_JWKS_URL": url}).jwt_jwks_url == url


def test_people_are_known_in_one_way_only() -> None:
    both = {"HOOKLINE_JWT_JWKS_URL": "https://tagmatic.app/jwks.json", "HOOKLINE_JWT_SECRET": "s" * 32}
    for settings in (both, {"HOOKLINE_JWT_AUDIENCE": "x", "HOOKLINE_JWT_SECRET": "s" * 32}, {}):
        with pytest.raises(SettingsError, match="JWT_"):
            read_settings(environment=POSTGRES | settings)
