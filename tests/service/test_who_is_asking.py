"""Login, session tokens, API keys, scopes."""

from typing import Any

import jwt
import pytest

from service.throttle import MOST_OF_EMAIL, WINDOW
from tests.service.house import PASSWORD, Account, Caller, House, open_house
from tests.support.receiver import Receiver
from tests.support.samples import envelope

DAY = 86_400


async def test_login_answers_as_the_guide_prints_it(house: House) -> None:
    account = await house.account("you@example.com", plan="starter")

    answer = await house.stranger.post("/api/auth/login", {"email": "you@example.com", "password": "your-password"})

    assert answer.status == 200
    assert answer.body["user"] == {"id": account.user_id, "email": "you@example.com", "plan": "starter"}
    assert answer.body["token"].count(".") == 2


async def test_an_address_is_the_same_in_whatever_case_it_is_typed(house: House) -> None:
    await house.account("you@example.com")
    answer = await house.stranger.post("/api/auth/login", {"email": " You@Example.COM", "password": PASSWORD})
    assert answer.status == 200


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com"])
async def test_a_wrong_password_and_an_unknown_user_are_told_apart_by_nothing(
    house: House, ada: Account, email: str
) -> None:
    answer = await house.stranger.post("/api/auth/login", {"email": email, "password": "guess"})
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert answer.body["error"] == "Wrong e-mail address or password"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_guessing_passwords_is_slowed_down_until_some_time_has_passed(house: House, ada: Account) -> None:
    wrong, right = ({"email": ada.email, "password": password} for password in ("guess", PASSWORD))
    for _ in range(MOST_OF_EMAIL):
        assert (await house.stranger.post("/api/auth/login", wrong)).code == "invalid_credentials"

    stopped = await house.stranger.post("/api/auth/login", right)
    assert (stopped.status, stopped.code) == (429, "too_many_logins")
    assert int(stopped.headers["Retry-After"]) == WINDOW.total_seconds()

    house.clock.forward(WINDOW.total_seconds())
    assert (await house.stranger.post("/api/auth/login", right)).status == 200


async def test_a_session_lasts_thirty_days(house: House, ada: Account) -> None:
    house.clock.forward(30 * DAY - 1)
    assert (await ada.user.get("/api/webhooks")).status == 200
    house.clock.forward(1)
    expired = await ada.user.get("/api/webhooks")
    assert (expired.status, expired.code) == (401, "invalid_token")


async def test_tokens_that_somebody_else_made_are_refused(house: House, ada: Account) -> None:
    claims: dict[str, Any] = {"sub": ada.user_id, "iat": 0, "exp": 2**40}
    forged = [
        jwt.encode(claims, "another secret of at least 32 characters", algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        ada.token[:-2] + ("AA" if ada.token[-2:] != "AA" else "BB"),
        "not.a.token",
    ]
    for token in forged:
        answer = await house.stranger.call("GET", "/api/webhooks", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status, answer.code) == (401, "invalid_token")


async def test_without_credentials_a_key_is_asked_for(house: House) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = await house.stranger.call("GET", "/api/webhooks", headers=headers)
        assert (answer.status, answer.code, answer.body["error"]) == (401, "missing_api_key", "API key required")


async def test_a_key_is_taken_in_either_header(house: House, ada: Account) -> None:
    bearer = Caller(house.client, {"Authorization": f"Bearer {ada.api_key}"})
    assert (await ada.key.get("/api/webhooks")).status == 200
    assert (await bearer.get("/api/webhooks")).status == 200


async def test_the_key_header_wins_over_the_bearer_token(house: House, ada: Account) -> None:
    both = Caller(house.client, {"X-API-Key": "tmk_" + "x" * 32, "Authorization": f"Bearer {ada.token}"})
    answer = await both.get("/api/webhooks")
    assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert answer.body["error"] == "Invalid or revoked API key"


async def test_a_key_is_shown_once_and_works(house: House, ada: Account) -> None:
    house.clock.forward(1)
    made = await ada.user.post("/api/keys", {"name": "ci", "scopes": ["publish"]})
    assert made.status == 201
    assert len(made.body["key"]) == 36

    (listed, _) = (await ada.user.get("/api/keys")).body["items"]
    assert "key" not in listed
    assert listed["last4"] == made.body["key"][-4:]

    publisher = Caller(house.client, {"X-API-Key": made.body["key"]})
    assert (await publisher.publish()).status == 202


async def test_a_revoked_key_is_refused_at_once_in_every_process(address: str) -> None:
    async with open_house(address) as one, open_house(address, clock=one.clock) as other:
        account = await one.account()
        elsewhere = Caller(other.client, account.key.headers)
        assert (await elsewhere.get("/api/webhooks")).status == 200
        (key,) = (await account.user.get("/api/keys")).body["items"]

        assert (await account.user.delete(f"/api/keys/{key['id']}")).status == 204

        for caller in (account.key, elsewhere):
            answer = await caller.get("/api/webhooks")
            assert (answer.status, answer.code) == (401, "invalid_api_key")
        assert (await account.user.delete(f"/api/keys/{key['id']}")).code == "not_found"
        (revoked,) = (await account.user.get("/api/keys")).body["items"]
        assert revoked["revoked_at"] == "2026-01-01T12:00:00.000Z"


async def test_keys_are_made_and_revoked_by_people_only(house: House, ada: Account) -> None:
    for caller in (house.stranger, ada.key):
        for method, path in (("GET", "/api/keys"), ("POST", "/api/keys"), ("DELETE", "/api/keys/key_1")):
            answer = await caller.call(method, path, json={})
            assert (answer.status, answer.code) == (401, "missing_token")


async def test_a_key_may_do_what_its_scopes_say(house: House, ada: Account) -> None:
    made = {
        scope: (await ada.user.post("/api/keys", {"scopes": [scope]})).body["key"] for scope in ("publish", "manage")
    }
    publisher, manager = (Caller(house.client, {"X-API-Key": made[scope]}) for scope in ("publish", "manage"))

    assert (await publisher.publish()).status == 202
    assert (await publisher.get("/api/event-types")).status == 200
    for path in ("/api/webhooks", "/api/deliveries", "/api/events"):
        assert (await manager.get(path)).status == 200
        answer = await publisher.get(path)
        assert (answer.status, answer.code) == (403, "forbidden")
    assert (await manager.publish()).code == "forbidden"
    assert (await manager.get("/api/dead-letters")).code == "forbidden"


async def test_nobody_gives_away_a_scope_that_they_do_not_have(house: House, ada: Account, operator: Account) -> None:
    answer = await ada.user.post("/api/keys", {"scopes": ["publish", "operate"]})
    assert (answer.status, answer.code) == (403, "forbidden")
    assert (await operator.user.post("/api/keys", {"scopes": ["operate"]})).status == 201


async def test_an_operator_publishes_for_any_account_and_others_for_their_own(
    house: House, ada: Account, operator: Account, receiver: Receiver
) -> None:
    await ada.key.register(receiver.url)

    for_ada = await operator.key.post("/api/events", envelope(job_id="j1") | {"account_id": ada.id})
    assert (for_ada.status, for_ada.body["deliveries"]) == (202, 1)
    nobody = await operator.key.post("/api/events", envelope(job_id="j2") | {"account_id": "acc_nobody"})
    assert (nobody.status, nobody.code) == (400, "unknown_account")

    own = await ada.key.post("/api/events", envelope(job_id="j3") | {"account_id": ada.id})
    assert own.status == 202
    others = await ada.key.post("/api/events", envelope(job_id="j4") | {"account_id": operator.id})
    assert (others.status, others.code, others.body["field"]) == (403, "forbidden", "account_id")
    await house.quiet()
    assert all(b"account_id" not in call.body for call in receiver.calls)


async def test_when_a_key_was_last_used_is_written_down_now_and_then(house: House, ada: Account) -> None:
    house.clock.forward(60)
    await ada.key.get("/api/webhooks")
    await house.runtime.auth.note_key_use()
    (key,) = (await ada.user.get("/api/keys")).body["items"]
    assert key["last_used_at"] == "2026-01-01T12:01:00.000Z"


async def test_bootstrap_again_keeps_account_and_user_and_replaces_password_plan_and_key(house: House) -> None:
    first = await house.account("you@example.com", plan="free")
    again = await house.runtime.auth.bootstrap("you@example.com", "another password", "pro")

    assert (again.account_id, again.user_id) == (first.id, first.user_id)
    assert (await first.key.get("/api/webhooks")).code == "invalid_api_key"
    fresh = Caller(house.client, {"X-API-Key": again.api_key})
    assert (await fresh.get("/api/webhooks")).limits[0] == 100_000
    old, new = ({"email": "you@example.com", "password": word} for word in (PASSWORD, "another password"))
    assert (await house.stranger.post("/api/auth/login", old)).status == 401
    assert (await house.stranger.post("/api/auth/login", new)).body["user"]["plan"] == "pro"
