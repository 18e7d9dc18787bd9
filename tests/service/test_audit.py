"""The audit trail: whatever people change is in it, with who did it, before and after, and never with a secret."""

import html
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from delivery.store import audit
from delivery.store.audit import AuditFilter
from delivery.store.cursors import PageRequest
from delivery.store.reach import EVERYONE
from delivery.store.tables import metadata
from service.app import API
from tests.service.house import PASSWORD, SECRET, Account, Caller, House
from tests.service.test_dead_letters import a_letter, park
from tests.support.program import EMAIL, Program
from tests.support.receiver import Receiver
from tests.support.samples import envelope
from tests.support.stores import opened


async def trail(caller: Caller, **which: Any) -> list[Any]:
    """The audit trail, newest first."""
    answer = await caller.get("/api/audit", **which)
    assert answer.status == 200, answer.body
    items: list[Any] = answer.body["items"]
    return items


async def told(caller: Caller, **which: Any) -> list[str]:
    return [change["what"] for change in await trail(caller, **which)]


# -- nothing is missing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    """One call that changes something: the route, the object in its path, what it says, and what the trail says."""

    route: str
    what: str
    of: str = ""
    body: Any = None


SOURCE = {"system": "potato", "url": "https://potato.example.com", "credentials": {"api_key": SECRET}}

ACTIONS = (
    Action("POST /api/webhooks", "webhook.registered", body={"url": "https://example.com/hook", "events": ["*"]}),
    Action("PATCH /api/webhooks/{id}", "webhook.changed", "webhook", {"description": "another"}),
    Action("PATCH /api/webhooks/{id}", "webhook.paused", "webhook", {"active": False}),
    Action("PATCH /api/webhooks/{id}", "webhook.resumed", "paused", {"active": True}),
    Action("DELETE /api/webhooks/{id}", "webhook.deleted", "webhook"),
    Action("POST /api/webhooks/{id}/rotate", "webhook.rotated", "webhook"),
    Action("POST /api/webhooks/{id}/test", "webhook.tested", "webhook"),
    Action("POST /api/deliveries/{id}/retry", "delivery.retried", "delivered"),
    Action("POST /api/deliveries/{id}/cancel", "delivery.cancelled", "waiting"),
    Action("POST /api/replays", "replay.started", body={"filter": {"status": "delivered"}}),
    Action("DELETE /api/replays/{id}", "replay.stopped", "replay"),
    Action("POST /api/erasures", "events.erased", body={"job_id": "delivered"}),
    Action("POST /api/keys", "key.created", body={"name": "laptop"}),
    Action("DELETE /api/keys/{id}", "key.revoked", "key"),
    Action("POST /api/sources", "source.connected", body=SOURCE),
    Action("PATCH /api/sources/{id}", "source.changed", "source", {"credentials": {"api_key": "another"}}),
    Action("PATCH /api/sources/{id}", "source.paused", "source", {"active": False}),
    Action("PATCH /api/sources/{id}", "source.resumed", "paused source", {"active": True}),
    Action("DELETE /api/sources/{id}", "source.disconnected", "source"),
    Action("POST /api/dead-letters/{id}/requeue", "dead_letter.requeued", "letter"),
    Action("DELETE /api/dead-letters/{id}", "dead_letter.discarded", "letter"),
)

#: Coming in, and what events are for; an event is in the log by itself.
NO_CHANGE = {
    "POST /api/auth/login",
    "POST /api/events",
    "POST /api/events/batch",
    "POST /api/sources/{id}/check",
    "POST /api/sources/{id}/poll",
    "POST /api/inbound/{source}",
}

#: The one change that the store does not make alone: the bus has the message before the letter goes.
REQUEUED = "dead_letter.requeued"


def each(actions: Iterable[Action]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("action", list(actions), ids=lambda action: action.what)


@pytest.fixture
async def there(house: House, operator: Account, receiver: Receiver) -> dict[str, str]:
    """One object of each kind, as the actions need them, by its name."""
    webhook = await operator.user.register(receiver.url)
    await operator.user.publish(job_id="delivered")
    await house.quiet()
    receiver.answers(503)
    house.clock.forward(1)
    await operator.user.publish(job_id="waiting")
    await house.quiet()
    waiting, delivered = await operator.user.deliveries()
    receiver.answers(200)
    paused = await operator.user.register(receiver.url)
    await operator.user.patch(f"/api/webhooks/{paused['id']}", active=False)
    key = await operator.user.post("/api/keys", {"name": "ci"})
    source = (await operator.user.post("/api/sources", SOURCE)).body
    paused_source = (await operator.user.post("/api/sources", SOURCE | {"active": False})).body
    replay = await operator.user.post("/api/replays", {"filter": {"status": "delivered"}})
    letter = a_letter(house, operator.id, json.dumps(envelope()).encode())
    await park(house, letter)
    house.clock.forward(1)
    return {
        "webhook": webhook["id"],
        "paused": paused["id"],
        "delivered": delivered["id"],
        "waiting": waiting["id"],
        "key": key.body["id"],
        "replay": replay.body["id"],
        "letter": letter.id,
        "source": source["id"],
        "paused source": paused_source["id"],
    }


def test_every_route_that_changes_something_is_tried_here() -> None:
    changing = {f"{route.method} {route.path}" for route in API if route.method != "GET"}
    assert changing == {action.route for action in ACTIONS} | NO_CHANGE


@each(ACTIONS)
async def test_whatever_is_changed_is_in_the_trail_with_who_did_it_and_when(
    house: House, operator: Account, there: dict[str, str], action: Action
) -> None:
    before = await trail(operator.user)

    answer = await call(operator.user, action, there)

    assert answer.status < 300, answer.body
    [change, *rest] = await trail(operator.user)
    assert rest == before
    assert (change["what"], change["who"], change["who_id"]) == (action.what, operator.email, operator.user_id)
    assert change["object"] == (there[action.of] if action.of else answer.body["id"])
    assert change["name"]
    assert change["at"] == "2026-01-01T12:00:02.000Z"


@each(action for action in ACTIONS if action.what != REQUEUED)
async def test_what_cannot_be_written_into_the_trail_is_not_done(
    house: House, operator: Account, there: dict[str, str], action: Action
) -> None:
    before = await rows(house)
    async with without_a_trail(house):
        answer = await call(operator.user, action, there)
        assert answer.status == 503
        await house.quiet()
    assert await rows(house) == before


async def test_a_letter_whose_requeueing_cannot_be_written_into_the_trail_stays(
    house: House, operator: Account, there: dict[str, str]
) -> None:
    [requeueing] = [action for action in ACTIONS if action.what == REQUEUED]
    async with without_a_trail(house):
        assert (await call(operator.user, requeueing, there)).status == 503
    assert (await operator.user.get(f"/api/dead-letters/{there['letter']}")).status == 200


async def call(caller: Caller, action: Action, there: dict[str, str]) -> Any:
    method, path = action.route.split()
    return await caller.call(method, path.replace("{id}", there.get(action.of, "")), json=action.body or {})


async def rows(house: House) -> dict[str, list[Any]]:
    """Everything in the store."""
    async with house.runtime.store.reading() as tx:
        return {
            name: sorted(map(str, (await tx.execute(text(f'SELECT * FROM "{name}"'))).all()))
            for name in metadata.tables
        }


@asynccontextmanager
async def without_a_trail(house: House) -> AsyncIterator[None]:
    """The table is not where it should be."""
    async with house.runtime.store.writing() as tx:
        await tx.execute(text("ALTER TABLE audit RENAME TO audit_elsewhere"))
    try:
        yield
    finally:
        async with house.runtime.store.writing() as tx:
            await tx.execute(text("ALTER TABLE audit_elsewhere RENAME TO audit"))


# -- before and after --------------------------------------------------------------------------------------------------


async def test_a_change_shows_the_members_that_are_different(house: House, ada: Account) -> None:
    webhook = await ada.key.register("https://example.com/a", events=["batch.*"], rate_limit=5)
    path = f"/api/webhooks/{webhook['id']}"
    house.clock.forward(1)
    await ada.user.patch(path, url="https://example.com/b", events=["*"], rate_limit=None, description="")
    await ada.user.patch(path, url="https://example.com/b")
    house.clock.forward(1)
    await ada.user.delete(path)

    deleted, changed, registered = await trail(ada.user, object=webhook["id"])

    was = {"url": "https://example.com/a", "events": ["batch.*"], "rate_limit": 5}
    now = {"url": "https://example.com/b", "events": ["*"], "rate_limit": None}
    assert (registered["before"], registered["after"]) == (None, was)
    assert (changed["before"], changed["after"], changed["name"]) == (was, now, "https://example.com/b")
    assert (deleted["before"], deleted["after"]) == ({"url": "https://example.com/b", "events": ["*"]}, None)
    assert registered["who"] == f"bootstrap …{ada.api_key[-4:]}"
    assert changed["who"] == deleted["who"] == ada.email


async def test_one_call_that_does_two_things_is_two_entries(ada: Account) -> None:
    webhook = await ada.key.register("https://example.com/a")
    await ada.user.patch(f"/api/webhooks/{webhook['id']}", description="not now", active=False)
    changes = {change["what"]: change["after"] for change in await trail(ada.user, object=webhook["id"])}
    assert changes["webhook.changed"] == {"description": "not now"}
    assert changes["webhook.paused"] == {"active": False, "disabled_reason": "switched off"}


async def test_no_secret_and_no_value_of_a_header_is_in_the_trail(house: House, ada: Account) -> None:
    headers = {"Authorization": "Bearer first-credential", "X-Same": "a-value-that-stays"}
    webhook = await ada.key.register("https://example.com/a", headers=headers)
    path = f"/api/webhooks/{webhook['id']}"
    await ada.user.patch(path, headers=headers | {"Authorization": "Bearer second-credential"})
    rotated = (await ada.user.post(f"{path}/rotate", {"secret": "another-signing-secret"})).body
    made = (await ada.user.post("/api/keys", {"name": "ci"})).body
    again = await house.runtime.auth.bootstrap(ada.email, "another-password")

    changes = await trail(Caller(house.client, {"X-API-Key": again.api_key}))
    everything = json.dumps(changes) + str((await rows(house))["audit"])

    secrets = (*(value.removeprefix("Bearer ") for value in headers.values()), "second-credential")
    for secret in (
        *secrets,
        SECRET,
        rotated["secret"],
        made["key"],
        ada.api_key,
        again.api_key,
        PASSWORD,
        "another-password",
    ):
        assert secret not in everything
    [changed] = [change for change in changes if change["what"] == "webhook.changed"]
    assert changed["before"] == {"headers": ["Authorization", "X-Same"]}
    assert changed["after"] == {"headers": ["Authorization (another value)", "X-Same"]}
    [rotation] = [change for change in changes if change["what"] == "webhook.rotated"]
    assert (rotation["before"], rotation["after"]) == ({"secrets": ["…cret"]}, {"secrets": ["…cret", "…cret"]})


# -- who else changes something ----------------------------------------------------------------------------------------


async def test_what_hookline_disables_is_in_the_trail(house: House, ada: Account, receiver: Receiver) -> None:
    gone = await ada.key.register(receiver.url)
    receiver.answers(410)
    await ada.key.publish(job_id="first")
    await house.quiet()
    failing = await ada.key.register("http://127.0.0.1:9/")
    await ada.key.publish(job_id="second")
    await house.quiet()
    house.clock.forward(121 * 3600)
    await house.runtime.housekeeping.disable_failing()

    by_hours, by_answer = await trail(ada.user, what="webhook.disabled")

    assert (by_answer["object"], by_hours["object"]) == (gone["id"], failing["id"])
    assert {by_answer["who"], by_hours["who"]} == {"hookline"}
    assert by_answer["after"] == {"active": False, "disabled_reason": "The receiver answered 410 Gone"}
    assert by_hours["after"] == {"active": False, "disabled_reason": "Nothing but failures for 120 hours"}

    await ada.user.patch(f"/api/webhooks/{gone['id']}", active=True)
    [resumed] = await trail(ada.user, what="webhook.resumed")
    assert (resumed["before"], resumed["after"]) == (by_answer["after"], {"active": True})


async def test_bootstrap_says_what_it_did(house: House, ada: Account) -> None:
    assert sorted(await told(ada.user)) == ["account.created", "key.created"]
    house.clock.forward(1)
    await house.runtime.auth.bootstrap(ada.email, "another-password", "pro")
    user = (await house.account(ada.email)).user  # the password of before: changed back

    changes = await trail(user)

    assert sorted(change["what"] for change in changes) == sorted(
        ["account.created", "account.changed"]
        + ["password.changed"] * 2
        + ["key.created", "key.revoked", "key.created", "key.revoked", "key.created"]
    )
    assert {change["who"] for change in changes} == {"command line"}
    [changed] = [change for change in changes if change["what"] == "account.changed"]
    assert changed["before"] == {"plan": "enterprise", "operator": False}
    assert changed["after"] == {"plan": "pro", "operator": False}


async def test_keys_of_the_command_line_are_in_the_trail(tmp_path: Path, sqlite_url: str) -> None:
    program = Program(tmp_path, {"DATABASE_URL": sqlite_url})
    await program.bootstrap()
    made = (await program.run("keys", "create", "--email", EMAIL, "--name", "ci", "--json")).json
    await program.run("keys", "revoke", made["id"])
    async with opened(sqlite_url) as store, store.reading() as tx:
        page = await audit.browse(tx, EVERYONE, AuditFilter(object_id=made["id"]), PageRequest())
    name = f"ci …{made['last4']}"
    assert [(entry.what, entry.who, entry.name) for entry in page.items] == [
        ("key.revoked", "command line", name),
        ("key.created", "command line", name),
    ]


# -- looking -----------------------------------------------------------------------------------------------------------


async def test_accounts_see_what_is_theirs_and_who_helped_them(house: House, ada: Account, operator: Account) -> None:
    bob = await house.account("bob@example.com")
    webhook = await ada.key.register("https://example.com/hook")
    house.clock.forward(1)
    await operator.user.patch(f"/api/webhooks/{webhook['id']}", active=False)
    letter = a_letter(house, ada.id, b"{}")
    await park(house, letter)
    await operator.user.delete(f"/api/dead-letters/{letter.id}")

    [paused, _] = await trail(ada.user, object=webhook["id"])
    assert (paused["what"], paused["who"], paused["account_id"]) == ("webhook.paused", operator.email, ada.id)
    assert await trail(bob.user, object=webhook["id"]) == []
    assert {change["account_id"] for change in await trail(bob.user)} == {bob.id}
    assert {change["account_id"] for change in await trail(operator.user)} == {ada.id, bob.id, operator.id, None}
    [discarded] = await trail(operator.user, what="dead_letter.discarded")
    assert (discarded["account_id"], discarded["name"]) == (None, "invalid_payload in hookline.annotation")
    assert await trail(ada.user, what="dead_letter.discarded") == []


async def test_changes_are_found_by_what_on_what_by_whom_and_when(house: House, ada: Account) -> None:
    first = await ada.key.register("https://example.com/1")
    house.clock.forward(60)
    second = await ada.user.register("https://example.com/2")
    since = house.clock.now().isoformat()

    async def objects(**which: Any) -> list[str]:
        return [change["object"] for change in await trail(ada.user, what="webhook.registered", **which)]

    assert await objects() == [second["id"], first["id"]]
    assert await objects(object=first["id"]) == [first["id"]]
    assert await objects(who=ada.user_id) == await objects(who="ADA@") == [second["id"]]
    assert await objects(who="bootstrap") == [first["id"]]
    assert await objects(who="a%a") == await objects(who="ada_example") == [], "what is typed is no pattern"
    assert await objects(**{"from": since}) == [second["id"]]
    assert await objects(to=since) == [first["id"]]
    assert (await ada.user.get("/api/audit", what="webhook.eaten")).code == "invalid_payload"


async def test_the_trail_is_kept_for_longer_than_what_it_is_about(house: House, ada: Account) -> None:
    await ada.key.register("http://127.0.0.1:9/")
    await ada.key.publish()
    await house.quiet()
    before = await told(ada.user)
    for days, left in ((399, before), (2, [])):
        house.clock.forward(timedelta(days=days).total_seconds())
        await house.runtime.housekeeping.prune()
        async with house.runtime.store.reading() as tx:
            page = await audit.browse(tx, EVERYONE, AuditFilter(), PageRequest())
        assert [entry.what for entry in page.items] == left


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def browser(house: House, ada: Account) -> Caller:
    """A browser in which Ada has signed in."""
    typed = {"email": ada.email, "password": PASSWORD}
    await house.stranger.call("POST", "/sign-in", data=typed, headers={"Sec-Fetch-Site": "same-origin"})
    return house.stranger


async def test_the_page_shows_before_and_after_and_leads_to_what_was_changed(browser: Caller, ada: Account) -> None:
    typed = "<i>mine</i>"
    webhook = await ada.key.register("https://example.com/hook", events=["batch.*"])
    await ada.user.patch(f"/api/webhooks/{webhook['id']}", events=["file.*"], description=typed)

    page = (await browser.get("/audit", object=webhook["id"])).body

    assert "<del>batch.*</del> → <ins>file.*</ins>" in page
    assert f"<del>none</del> → <ins>{html.escape(typed)}</ins>" in page
    assert typed not in page
    assert f'<a href="/webhooks/{webhook["id"]}">https://example.com/hook</a>' in page
    assert ada.email in page
    assert f'href="/audit?object={webhook["id"]}"' in (await browser.get(f"/webhooks/{webhook['id']}")).body


async def test_the_page_filters_by_its_address(browser: Caller, ada: Account) -> None:
    await ada.key.register("https://example.com/hook")
    keys = (await browser.get("/audit", what="key.created")).body
    assert "https://example.com/hook" not in keys
    assert '<option value="key.created" selected>' in keys
    assert "look at everything" in (await browser.get("/audit", who="nobody")).body
    assert f'href="/audit?who={ada.user_id}"' not in keys
    assert "what=key.created&amp;cursor=" in (await _two_keys(browser, ada)).body


async def _two_keys(browser: Caller, ada: Account) -> Any:
    await ada.user.post("/api/keys")
    return await browser.get("/audit", what="key.created", limit="1")


async def test_the_page_of_a_deleted_webhook_is_not_linked(browser: Caller, ada: Account) -> None:
    webhook = await ada.key.register("https://example.com/hook")
    await ada.user.delete(f"/api/webhooks/{webhook['id']}")
    page = (await browser.get("/audit", what="webhook.deleted")).body
    assert "https://example.com/hook" in page
    assert f'href="/webhooks/{webhook["id"]}"' not in page


async def test_what_others_changed_is_not_on_the_page(browser: Caller, house: House) -> None:
    bob = await house.account("bob@example.com")
    await bob.key.register("https://example.com/bobs")
    page = (await browser.get("/audit")).body
    assert "bob" not in page
