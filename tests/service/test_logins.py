"""Guessing is slowed down by all processes together, and a session ends everywhere when it ends."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import func, select

from delivery.store.tables import login_tries, sessions
from service import throttle
from service.credentials import Passwords
from service.throttle import MOST_OF_CLIENT, MOST_OF_EMAIL, WINDOW
from tests.service.house import PASSWORD, Account, Answer, House, open_house


@pytest.fixture
async def neighbour(house: House, address: str) -> AsyncIterator[House]:
    """Another process on the same database, at the same time of day."""
    async with open_house(address, clock=house.clock) as opened:
        yield opened


async def log_in(house: House, email: str, password: str = PASSWORD, **headers: str) -> Answer:
    body = {"email": email, "password": password}
    return await house.stranger.call("POST", "/api/auth/login", json=body, headers=headers)


async def count(house: House, table: Any) -> int:
    async with house.runtime.store.reading() as tx:
        return int((await tx.execute(select(func.count()).select_from(table))).scalar_one())


# -- guessing ----------------------------------------------------------------------------------------------------------


async def test_wrong_passwords_for_an_address_are_counted_by_all_processes_together(
    house: House, neighbour: House, ada: Account
) -> None:
    guesses = [log_in(process, ada.email, "guess") for process in (house, neighbour) * MOST_OF_EMAIL]
    codes = [answer.code for answer in await asyncio.gather(*guesses)]
    assert codes.count("invalid_credentials") == MOST_OF_EMAIL
    assert codes.count("too_many_logins") == MOST_OF_EMAIL
    for process in (house, neighbour):
        stopped = await log_in(process, ada.email)
        assert (stopped.status, stopped.code) == (429, "too_many_logins")
        assert int(stopped.headers["Retry-After"]) == WINDOW.total_seconds()


async def test_a_right_password_clears_the_address_of_its_wrong_ones(house: House, ada: Account) -> None:
    for _ in range(3):
        for _ in range(MOST_OF_EMAIL - 1):
            assert (await log_in(house, ada.email, "guess")).code == "invalid_credentials"
        assert (await log_in(house, ada.email)).status == 200


async def test_who_tries_one_password_on_many_users_is_stopped_by_the_clients_address(
    house: House, neighbour: House, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST_OF_CLIENT", 5)
    for number in range(5):
        assert (await log_in((house, neighbour)[number % 2], f"user{number}@example.com")).code == "invalid_credentials"
    for process in (house, neighbour):
        assert (await log_in(process, ada.email)).code == "too_many_logins"
    house.clock.forward(WINDOW.total_seconds())
    assert (await log_in(house, ada.email)).status == 200


async def test_an_account_of_ones_own_buys_a_client_no_further_tries(
    house: House, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST_OF_CLIENT", 5)
    for number in range(4):
        assert (await log_in(house, f"user{number}@example.com")).code == "invalid_credentials"
        assert (await log_in(house, ada.email)).status == 200, "nor does a right password cost any"
    assert (await log_in(house, "user5@example.com")).code == "invalid_credentials"
    assert (await log_in(house, ada.email)).code == "too_many_logins"


_numbers = itertools.count()


async def tried(house: House, forwarded: str) -> str:
    """Try some other user's password, in the name of a client."""
    return (await log_in(house, f"{next(_numbers)}@example.com", **{"X-Forwarded-For": forwarded})).code


async def test_clients_are_told_apart_behind_a_proxy_of_ours_and_cannot_choose_who_they_are(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST_OF_CLIENT", 1)
    async with open_house(address, trusted_proxies=(ip_network("127.0.0.0/8"),)) as house:
        assert await tried(house, "10.0.0.1, 203.0.113.1") == "invalid_credentials"
        assert await tried(house, "198.51.100.7, 203.0.113.1") == "too_many_logins"
        assert await tried(house, "198.51.100.9, 203.0.113.1, 127.0.0.9") == "too_many_logins"
        assert await tried(house, "203.0.113.2") == "invalid_credentials"
        assert await tried(house, "198.51.100.1, unknown") == "invalid_credentials"
        assert await tried(house, "198.51.100.2, unknown") == "too_many_logins"


async def test_a_client_without_a_proxy_of_ours_is_whoever_dials(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_OF_CLIENT", 1)
    async with open_house(address) as house:
        assert await tried(house, "203.0.113.3") == "invalid_credentials"
        assert await tried(house, "203.0.113.4") == "too_many_logins"


async def test_what_was_typed_is_not_kept_and_what_is_kept_is_forgotten(house: House, ada: Account) -> None:
    await log_in(house, "my-password-by-mistake", "guess")
    async with house.runtime.store.reading() as tx:
        subjects = (await tx.execute(select(login_tries.c.subject))).scalars().all()
    assert subjects
    assert all(len(subject) == 64 and "my-password" not in subject for subject in subjects)

    house.clock.forward(WINDOW.total_seconds())
    await house.runtime.auth.logins.prune()
    assert (await count(house, login_tries), await count(house, sessions)) == (0, 1)
    house.clock.forward(30 * 86_400)
    await house.runtime.auth.logins.prune()
    assert await count(house, sessions) == 0


async def test_an_unknown_user_costs_the_same_hash_as_a_known_one() -> None:
    passwords = Passwords()
    hasher: PasswordHasher = passwords._hasher
    assert not hasher.check_needs_rehash(passwords._nobodys)
    assert len(passwords._nobodys) == len(await passwords.hash(PASSWORD))
    # a hash that could be told at a glance from a real one would be called invalid; this one is computed and differs
    with pytest.raises(VerifyMismatchError):
        hasher.verify(passwords._nobodys, PASSWORD)
    assert not await passwords.match(PASSWORD, None)


def test_the_limits_are_what_the_documents_say() -> None:
    assert (MOST_OF_EMAIL, MOST_OF_CLIENT, WINDOW.total_seconds()) == (10, 100, 900)


# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_logging_out_ends_that_session_at_once_in_every_process_and_no_other(
    house: House, neighbour: House, ada: Account
) -> None:
    token = (await log_in(house, ada.email)).body["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await neighbour.stranger.call("GET", "/api/webhooks", headers=bearer)).status == 200

    assert (await house.stranger.call("POST", "/sign-out", headers=bearer)).status == 204

    for process in (house, neighbour):
        answer = await process.stranger.call("GET", "/api/webhooks", headers=bearer)
        assert (answer.status, answer.code) == (401, "invalid_token")
    assert (await ada.user.get("/api/webhooks")).status == 200


async def test_another_password_ends_the_sessions_that_the_one_before_began(
    house: House, neighbour: House, ada: Account
) -> None:
    await house.runtime.auth.bootstrap(ada.email, PASSWORD)
    assert (await ada.user.get("/api/webhooks")).status == 200, "the same password again changes nothing"

    made = await neighbour.runtime.auth.bootstrap(ada.email, "another-password")

    assert (await ada.user.get("/api/webhooks")).code == "invalid_token"
    bearer = {"Authorization": f"Bearer {made.token}"}
    assert (await house.stranger.call("GET", "/api/webhooks", headers=bearer)).status == 200


async def test_a_token_means_nothing_without_its_session(house: House, ada: Account) -> None:
    secret = house.runtime.settings.jwt_secret
    assert secret is not None
    claims = jwt.decode(ada.token, secret, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    for changes in ({"jti": "ses_another"}, {"jti": None}):
        made = (
            jwt.encode(claims | changes, secret, algorithm="HS256") if changes["jti"] else _without_jti(claims, secret)
        )
        answer = await house.stranger.call("GET", "/api/webhooks", headers={"Authorization": f"Bearer {made}"})
        assert (answer.status, answer.code) == (401, "invalid_token")


def _without_jti(claims: dict[str, Any], secret: str) -> str:
    return jwt.encode({name: value for name, value in claims.items() if name != "jti"}, secret, algorithm="HS256")


@pytest.mark.parametrize(
    "times", [{"exp": 0}, {"exp": "never"}, {"exp": None}, {"nbf": 2**40}, {"iat": 2**40}, {"nbf": "soon"}]
)
async def test_a_token_holds_from_its_beginning_to_its_end(house: House, ada: Account, times: dict[str, Any]) -> None:
    secret = house.runtime.settings.jwt_secret
    assert secret is not None
    claims = jwt.decode(ada.token, secret, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    made = jwt.encode(claims | times, secret, algorithm="HS256")
    answer = await house.stranger.call("GET", "/api/webhooks", headers={"Authorization": f"Bearer {made}"})
    assert (answer.status, answer.code) == (401, "invalid_token")


# -- the log -----------------------------------------------------------------------------------------------------------


async def test_who_logged_in_and_who_tried_to_is_in_the_log(
    logged: Callable[[], str], house: House, ada: Account
) -> None:
    await log_in(house, ada.email)
    await log_in(house, ada.email, "guess")
    await log_in(house, "typed-something-else", "guess")
    told = logged()
    for fact, count in (("login.succeeded", 1), ("login.failed", 2)):
        lines = [line for line in told.splitlines() if fact in line]
        assert len(lines) == count
        assert "client=127.0.0.1" in lines[0]
        assert f"user_id={ada.user_id}" in lines[0]
    assert "typed-something-else" not in told
