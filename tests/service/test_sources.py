"""Sources, as customers meet them: by the API, on the pages, and on the command line."""

import base64
import hashlib
import hmac
import html
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consumers.sources.connector import Push
from tests.fakes.potato import KEY, FakePotato, potato_at_work
from tests.fakes.taskmonk import CLIENT, open_taskmonk
from tests.service.house import Account, House, open_house
from tests.service.test_pages_webhooks import Browser
from tests.support.program import Program
from tests.support.receiver import Receiver


@pytest.fixture
async def potato() -> AsyncIterator[FakePotato]:
    async with potato_at_work() as opened:
        yield opened


PUSH_SECRET = "s3cret-raw-not-whsec"


def signed(body: bytes, *, at: int) -> Push:
    """A webhook of Potato's."""
    digest = hmac.new(PUSH_SECRET.encode(), b"msg_1.%d." % at + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return Push({"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}, body)


@pytest.fixture
async def browser(house: House, ada: Account) -> Browser:
    opened = Browser(house)
    await opened.sign_in(ada)
    return opened


def wanted(potato: FakePotato, **members: Any) -> dict[str, Any]:
    return {"system": "potato", "url": potato.url, "credentials": {"api_key": KEY}} | members


async def connect(account: Account, potato: FakePotato, **members: Any) -> Any:
    answer = await account.key.post("/api/sources", wanted(potato, **members))
    assert answer.status == 201, answer.body
    return answer.body


async def poll(house: House) -> None:
    await house.runtime.polling.run()
    await house.runtime.polling.quiet()


# --- API --------------------------------------------------------------------------------------------------------------


async def test_what_people_do_there_is_delivered_here(
    house: House, ada: Account, receiver: Receiver, potato: FakePotato
) -> None:
    await ada.key.register(receiver.url)
    source = await connect(ada, potato, settings={"settle_s": 0})
    assert (source["state"], source["credentials"]) == ("new", ["api_key"])
    await poll(house)
    potato.annotates("ada", "item_001", {"sentiment:positive": "1"})
    house.clock.forward(10)
    await poll(house)
    await house.quiet()
    assert len(receiver.calls) == 1
    found = (await ada.key.get(f"/api/sources/{source['id']}")).body
    assert (found["state"], found["events"], found["polled_at"]) == ("ok", 1, "2026-01-01T12:00:10.000Z")
    assert KEY not in json.dumps(found)


async def test_systems_say_what_they_want_to_know(ada: Account) -> None:
    systems = {one["system"]: one for one in (await ada.key.get("/api/systems")).body["items"]}
    assert "potato" in systems
    for one in systems.values():
        for schema in (one["settings"], one["credentials"]):
            assert all(member.get("description") for member in schema["properties"].values()), one["system"]


async def test_sources_of_others_are_not_there_and_operators_connect_them_for_anybody(
    house: House, ada: Account, operator: Account, potato: FakePotato
) -> None:
    theirs = (await operator.key.post("/api/sources", wanted(potato, account_id=ada.id))).body
    assert theirs["account_id"] == ada.id
    assert [one["id"] for one in (await ada.key.get("/api/sources")).body["items"]] == [theirs["id"]]
    assert (await ada.key.post("/api/sources", wanted(potato, account_id=operator.id))).code == "forbidden"
    nobodys = await operator.key.post("/api/sources", wanted(potato, account_id="acc_0"))
    assert (nobodys.status, nobodys.code) == (404, "not_found")


async def test_an_account_has_so_many_sources_and_no_more(
    house: House, ada: Account, potato: FakePotato, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.sources.registry.MOST_SOURCES", 1)
    await connect(ada, potato)
    refused = await ada.key.post("/api/sources", wanted(potato))
    assert (refused.status, refused.code) == (429, "source_limit")
    assert "Retry-After" not in refused.headers


async def test_settings_change_one_by_one_and_credentials_together(ada: Account, potato: FakePotato) -> None:
    source = await connect(ada, potato, settings={"settle_s": 7})
    path = f"/api/sources/{source['id']}"
    changed = (
        await ada.key.patch(path, settings={"sweep_s": 60}, credentials={"api_key": "x", "webhook_secret": "y"})
    ).body
    assert (changed["settings"]["settle_s"], changed["settings"]["sweep_s"]) == (7, 60)
    assert changed["credentials"] == ["api_key", "webhook_secret"]
    refused = await ada.key.patch(path, settings={"sweep_s": "often"})
    assert (refused.status, refused.body["field"]) == (400, "settings.sweep_s")


async def test_trying_one_out_says_what_is_wrong_without_the_key(ada: Account, potato: FakePotato) -> None:
    good = await connect(ada, potato, name="Reviews")
    bad = await connect(ada, potato, credentials={"api_key": "a-wrong-key"})
    found = (await ada.key.post(f"/api/sources/{good['id']}/check")).body
    assert (found["ok"], found["says"]) == (True, "Hookline Potato Fixture: 3 items, 0 annotators")
    answer = await ada.key.post(f"/api/sources/{bad['id']}/check")
    assert (answer.status, answer.body["ok"]) == (200, False)
    assert "refused the API key" in answer.body["says"]
    assert "a-wrong-key" not in json.dumps(answer.body)


async def test_a_paused_one_cannot_be_polled(ada: Account, potato: FakePotato) -> None:
    source = await connect(ada, potato, active=False)
    assert source["next_poll_at"] is None
    assert (await ada.key.post(f"/api/sources/{source['id']}/poll")).code == "source_paused"


# --- what tools say of themselves -------------------------------------------------------------------------------------


async def test_a_signed_webhook_of_the_tool_is_taken_and_others_are_not(
    house: House, ada: Account, potato: FakePotato
) -> None:
    source = await connect(ada, potato, credentials={"api_key": KEY, "webhook_secret": PUSH_SECRET})
    good = signed(b'{"event": "webhook.test", "data": {}}', at=int(house.clock.now().timestamp()))
    path = source["inbound_path"]
    taken = await house.stranger.call("POST", path, data=good.body, headers=good.headers)
    assert (taken.status, taken.body) == (204, "")
    refused = await house.stranger.call("POST", path, data=b"{}", headers=good.headers)
    assert (refused.status, refused.code) == (401, "unauthorised")
    assert refused.headers["WWW-Authenticate"]
    unknown = await house.stranger.call("POST", "/api/inbound/src_0", data=good.body, headers=good.headers)
    assert (unknown.status, unknown.code) == (404, "not_found")
    large = await house.stranger.call("POST", path, data=b"x" * (256 * 1024 + 1), headers=good.headers)
    assert large.code == "payload_too_large"


async def test_a_tool_that_never_speaks_is_not_listened_to(house: House, ada: Account) -> None:
    async with open_taskmonk() as monk:
        wish = {"system": "taskmonk", "url": monk.url, "credentials": CLIENT, "settings": {"project_id": "42"}}
        source = (await ada.key.post("/api/sources", wish)).body
    said = await house.stranger.call("POST", source["inbound_path"], data=b"{}")
    assert (said.status, said.code) == (400, "invalid_payload")


async def test_without_its_master_key_a_source_is_away_and_nothing_else(
    database_url: str, ada: Account, potato: FakePotato, house: House
) -> None:
    source = await connect(ada, potato)
    another = "k2:" + "B" * 43 + "="
    async with open_house(database_url, master_keys=another, roles=("api", "scheduler")) as bereft:
        said = await bereft.stranger.call("POST", source["inbound_path"], data=b"{}")
        assert (said.status, said.code) == (503, "unavailable")
        await poll(bereft)
    found = (await ada.key.get(f"/api/sources/{source['id']}")).body
    assert found["state"] == "failing"
    assert "master key" in found["trouble"]


# --- pages ------------------------------------------------------------------------------------------------------------


async def test_a_source_is_connected_with_a_form_tried_out_paused_and_disconnected(
    house: House, ada: Account, browser: Browser, potato: FakePotato
) -> None:
    assert "Connect an annotation tool" in (await browser.see("/sources")).body
    assert "/sources/new?system=potato" in (await browser.see("/sources/new")).body
    form = (await browser.see("/sources/new?system=potato")).body
    assert 'name="settings.timezone"' in form
    assert 'name="credentials.api_key"' in form

    made = await browser.send(
        "/sources",
        **{
            "system": "potato",
            "name": "Reviews <b>",
            "url": potato.url,
            "credentials.api_key": KEY,
            "settings.timezone": "Europe/Berlin",
            "settings.settle_s": "12",
        },
    )
    assert made.status == 303, made.body
    path = made.headers["Location"].partition("?")[0]
    shown = (await browser.see(made.headers["Location"])).body
    assert "Reviews &lt;b&gt;" in shown
    assert "Europe/Berlin" in shown
    assert "Connected" in shown
    assert KEY not in shown
    assert f"/api/inbound/{path.rpartition('/')[2]}" in shown
    assert "It answers" in (await browser.send(f"{path}/check")).body
    await browser.send(f"{path}/pause")
    assert "Paused" in (await browser.see(path)).body
    assert (await browser.send(f"{path}/poll")).status == 409
    await browser.send(f"{path}/resume")
    assert (await browser.send(f"{path}/poll")).headers["Location"] == f"{path}?said=poll"
    await poll(house)
    assert "Reviews &lt;b&gt;" in (await browser.see("/sources")).body
    assert (await browser.send(f"{path}/remove")).headers["Location"] == "/sources?said=removed"
    assert (await browser.see(path)).status == 404
    trail = {entry["what"] for entry in (await ada.user.get("/api/audit")).body["items"]}
    assert {"source.connected", "source.paused", "source.resumed", "source.disconnected"} <= trail


async def test_a_mistake_is_told_at_its_field_and_nothing_typed_is_lost_but_secrets(
    browser: Browser, potato: FakePotato
) -> None:
    typed = {"system": "potato", "url": potato.url, "name": "Mine", "credentials.api_key": KEY}
    for wrong in ({"settings.timezone": "Middle/Earth"}, {"settings.settle_s": "soon"}, {"url": "http://10.0.0.1"}):
        answer = await browser.send("/sources", **typed | wrong)
        [(field, value)] = wrong.items()
        assert answer.status in (400, 422)
        assert f'id="{field}-problem"' in answer.body
        assert html.escape(value) in answer.body
        assert 'value="Mine"' in answer.body
        assert KEY not in answer.body


async def test_the_form_of_a_known_one_keeps_its_credentials_unless_others_are_typed(
    ada: Account, browser: Browser, potato: FakePotato
) -> None:
    source = await connect(ada, potato, settings={"settle_s": 5, "backfill": True})
    path = f"/sources/{source['id']}"
    form = (await browser.see(f"{path}/edit")).body
    assert 'value="5' in form
    assert KEY not in form
    typed = {"name": "Renamed", "url": source["url"], "settings.settle_s": "", "settings.timezone": "UTC"}
    assert (await browser.send(path, **typed)).headers["Location"] == f"{path}?said=changed"
    found = (await ada.key.get(f"/api/sources/{source['id']}")).body
    assert (found["name"], found["settings"]["settle_s"], found["settings"]["backfill"]) == ("Renamed", 30, False)
    assert (await ada.key.post(f"/api/sources/{source['id']}/check")).body["ok"]
    await browser.send(path, **typed | {"credentials.api_key": "another"})
    assert not (await ada.key.post(f"/api/sources/{source['id']}/check")).body["ok"]


async def test_trouble_is_shown_with_what_to_do_about_it(
    house: House, ada: Account, browser: Browser, potato: FakePotato
) -> None:
    source = await connect(ada, potato, credentials={"api_key": "wrong"})
    await poll(house)
    shown = (await browser.see(f"/sources/{source['id']}")).body
    assert "refused the API key" in shown
    assert "Give it other credentials" in shown
    assert "auth failed" in (await browser.see("/sources")).body


# --- command line -----------------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


async def test_from_connecting_to_polling_on_the_command_line(
    program: Program, potato: FakePotato, tmp_path: Path
) -> None:
    (tmp_path / "key.txt").write_text(f"{KEY}\n")
    async with program.serving():
        await program.bootstrap()
        assert "hookline sources add" in (await program.run("sources", "list")).out
        assert (await program.run("sources", "poll")).out == "There is no source to poll\n"
        words = ("--name", "Reviews", "--setting", "settle_s=0", "--setting", "timezone=Europe/Berlin")
        added = await program.run(
            "sources", "add", "potato", potato.url, "--credential", f"api_key=@{tmp_path / 'key.txt'}", *words, "--json"
        )
        source_id = added.json["id"]
        assert added.json["settings"]["timezone"] == "Europe/Berlin"
        first = await program.run("sources", "poll")
        potato.annotates("ada", "item_001", {"sentiment:positive": "1"})
        second = await program.run("sources", "poll", source_id)
        third = await program.run("sources", "poll", "--json")
        listed = await program.run("sources", "list")
        checked = await program.run("sources", "check")
        await program.run("sources", "pause", source_id)
        paused = await program.run("sources", "list")
        refused = await program.run("sources", "poll", source_id)
        await program.run("sources", "resume", source_id)
        removed = await program.run("sources", "remove", source_id)
    rows = [[line.split() for line in done.out.splitlines()][1][:4] for done in (first, second)]
    assert rows == [["ok", "potato", "Reviews", "0"], ["ok", "potato", "Reviews", "1"]]
    assert third.json[0]["events"] == 1
    assert source_id in listed.out
    assert checked.out == "ok  Reviews: Hookline Potato Fixture: 3 items, 1 annotators\nNothing wants mending\n"
    assert "paused" in paused.out
    assert (refused.code, refused.err) == (1, "Error: The source is paused; resume it first\n")
    assert removed.out == f"Disconnected {source_id}\n"


async def test_what_wants_mending_is_told_and_ends_with_1(program: Program, potato: FakePotato) -> None:
    async with program.serving():
        await program.bootstrap()
        await program.run("sources", "add", "potato", potato.url, "--name", "Wrong", "--credential", "api_key=wrong")
        polled = await program.run("sources", "poll")
        checked = await program.run("sources", "check")
        odd = await program.run("sources", "add", "telepathy", potato.url)
        loose = await program.run("sources", "add", "potato", potato.url, "--credential", "api_key")
    for done in (polled, checked):
        assert (done.code, done.err) == (1, "Error: not in order: Wrong\n")
        assert "refused the API key" in done.out
    assert (odd.code, odd.err.startswith('Error: Unknown system "telepathy"; known are ')) == (1, True)
    assert (loose.code, "Write NAME=VALUE" in loose.err) == (2, True)


async def test_where_nobody_polls_the_command_says_so(program: Program, potato: FakePotato) -> None:
    async with program.serving("--roles", "api"):
        await program.bootstrap()
        await program.run("sources", "add", "potato", potato.url, "--credential", f"api_key={KEY}")
        polled = await program.run("sources", "poll", "--timeout", "0.5")
    assert polled.code == 1
    assert "role scheduler" in polled.err
