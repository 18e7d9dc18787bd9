"""The pages of webhooks and API keys: what people see there, and what they can do."""

import re

import pytest

from tests.service.house import PASSWORD, SECRET, Account, Answer, House
from tests.support.receiver import Receiver, verifies

OURS = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """Somebody who is signed in and fills in forms."""

    def __init__(self, house: House) -> None:
        self._caller = house.stranger
        self._token = ""

    async def sign_in(self, account: Account) -> None:
        body = {"email": account.email, "password": PASSWORD}
        self._token = (await self._caller.call("POST", "/sign-in", json=body, headers=OURS)).body["csrf_token"]

    async def see(self, path: str) -> Answer:
        return await self._caller.get(path)

    async def send(self, path: str, **fields: str) -> Answer:
        """Send a form; ``events`` and ``scopes`` tick boxes, by names with blanks between."""
        for kind in ("event", "scope"):
            fields |= {f"{kind}:{name}": "on" for name in fields.pop(f"{kind}s", "").split()}
        return await self.send_bare(path, {"csrf_token": self._token} | fields)

    async def send_bare(self, path: str, fields: dict[str, str]) -> Answer:
        return await self._caller.call("POST", path, data=fields, headers=OURS)


@pytest.fixture
async def browser(house: House, ada: Account) -> Browser:
    opened = Browser(house)
    await opened.sign_in(ada)
    return opened


def shown_once(answer: Answer, name: str) -> str:
    [text] = re.findall(rf'<pre id="{name}"[^>]*>([^<]+)</pre>', answer.body)
    return str(text)


# -- webhooks ----------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_registered_with_a_form_and_its_secret_shown_once(
    browser: Browser, house: House, ada: Account, receiver: Receiver
) -> None:
    assert "Register one" in (await browser.see("/webhooks")).body
    assert 'name="event:batch.*"' in (await browser.see("/webhooks/new")).body

    made = await browser.send(
        "/webhooks",
        url=receiver.url,
        events="annotation.completed batch.*",
        description="Mine",
        headers="X-One: 1\nX-Two: a:b",
        filter='{"data.project_id": ["p"]}',
        rate_limit="50",
        retry_schedule="60, 300",
    )

    assert made.status == 200
    secret = shown_once(made, "secret")
    [webhook] = (await ada.key.get("/api/webhooks")).body["items"]
    assert set(webhook["events"]) == {"annotation.completed", "batch.*"}
    assert webhook["headers"] == {"X-One": "1", "X-Two": "a:b"}
    assert webhook["filter"] == {"data.project_id": ["p"]}
    assert (webhook["description"], webhook["rate_limit"], webhook["retry_schedule"]) == ("Mine", 50, [60, 300])

    tested = await browser.send(f"/webhooks/{webhook['id']}/test")
    page = await browser.see(tested.headers["Location"])
    assert "The test arrived" in page.body
    assert secret not in page.body
    assert secret[-4:] in page.body
    assert verifies(receiver.calls[0], secret)
    assert webhook["id"] in (await browser.see("/webhooks")).body


async def test_a_webhook_shows_how_it_does(browser: Browser, house: House, ada: Account, receiver: Receiver) -> None:
    webhook, other = await ada.key.register(receiver.url), await ada.key.register(receiver.url)
    receiver.answers(200, 200, 500)
    await ada.key.publish(job_id="job_1")
    await house.quiet()
    await browser.send(f"/webhooks/{webhook['id']}/test")
    await house.runtime.statistics.fold()

    page = (await browser.see(f"/webhooks/{webhook['id']}?period=day")).body
    assert 'aria-label="Attempts: 2xx 1, 5xx 1"' in page
    assert "Attempts per hour, by answer" in page
    assert f'sse-connect="/webhooks/{webhook["id"]}/live?period=day"' in page
    assert 'aria-label="Attempts: 2xx 1"' in (await browser.see(f"/webhooks/{other['id']}")).body


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("url", 'ftp://"><script>x</script>', 422),
        ("headers", "no colon", 400),
        ("headers", "Host: <b>", 422),
        ("filter", "{", 400),
        ("filter", '{"<b>": 1}', 400),
        ("rate_limit", "many", 400),
        ("rate_limit", "0", 400),
        ("retry_schedule", "60, soon", 400),
        ("secret", "short", 422),
        ("description", "\x00", 400),
    ],
)
async def test_a_mistake_is_told_where_it_was_typed_and_nothing_typed_is_lost(
    browser: Browser, ada: Account, field: str, value: str, status: int
) -> None:
    typed = {"url": "https://example.com/hooks", "events": "*", "description": "Kept <i>"} | {field: value}
    answer = await browser.send("/webhooks", **typed)
    assert answer.status == status
    assert 'role="alert"' in answer.body
    if field not in ("description", "url"):
        assert f'id="{field}-problem"' in answer.body
        assert "https://example.com/hooks" in answer.body
    assert "<script>x" not in answer.body
    assert "<i>" not in answer.body
    assert 'name="event:*" value="on" checked' in answer.body
    assert (await ada.key.get("/api/webhooks")).body["items"] == []


async def test_a_webhook_needs_an_event(browser: Browser) -> None:
    answer = await browser.send("/webhooks", url="https://example.com/")
    assert (answer.status, 'id="events-problem"' in answer.body) == (400, True)


async def test_a_webhook_is_edited_paused_resumed_and_deleted(browser: Browser, ada: Account) -> None:
    made = await ada.key.register("https://example.com/a", headers={"X-One": "1"}, rate_limit=9, retry_schedule=[7])
    path, api = f"/webhooks/{made['id']}", f"/api/webhooks/{made['id']}"
    form = (await browser.see(f"{path}/edit")).body
    assert all(text in form for text in ("https://example.com/a", "X-One: 1", 'value="9"', 'value="7"'))

    changed = await browser.send(path, url="https://example.com/b", events="batch.failed")
    assert changed.headers["Location"] == f"{path}?said=changed"
    webhook = (await ada.key.get(api)).body
    assert (webhook["url"], webhook["events"]) == ("https://example.com/b", ["batch.failed"])
    assert (webhook["headers"], webhook["rate_limit"], webhook["retry_schedule"]) == ({}, None, None)
    assert (await browser.send(path, url="nonsense", events="*")).status == 422

    await browser.send(f"{path}/pause")
    assert "Disabled: switched off" in (await browser.see(path)).body
    assert (await browser.send(f"{path}/test")).status == 409
    await browser.send(f"{path}/resume")
    assert (await ada.key.get(api)).body["active"]

    assert (await browser.send(f"{path}/delete")).headers["Location"] == "/webhooks?said=deleted"
    assert (await browser.see(path)).status == 404


async def test_a_secret_is_rotated_with_an_overlap_and_shown_once(
    browser: Browser, house: House, ada: Account, receiver: Receiver
) -> None:
    made = await ada.key.register(receiver.url)
    path = f"/webhooks/{made['id']}"
    refused = await browser.send(f"{path}/rotate", secret="short", overlap_seconds="60")
    assert (refused.status, 'id="secret-problem"' in refused.body) == (422, True)

    new = shown_once(await browser.send(f"{path}/rotate", overlap_seconds="3600"), "secret")
    assert new != SECRET
    page = (await browser.see(path)).body
    assert new not in page
    assert "2026-01-01T13:00:00.000Z" in page, "the old one is valid for an hour"
    await browser.send(f"{path}/test")
    assert verifies(receiver.calls[0], new)


async def test_another_accounts_webhook_and_key_are_no_pages(browser: Browser, house: House) -> None:
    bob = await house.account("bob@example.com")
    theirs = (await bob.key.register("https://example.com/bobs"))["id"]
    [key] = (await bob.user.get("/api/keys")).body["items"]
    for path in (f"/webhooks/{theirs}", f"/webhooks/{theirs}/edit"):
        assert (await browser.see(path)).status == 404
    for action in ("", "/pause", "/resume", "/test", "/rotate", "/delete"):
        answer = await browser.send(f"/webhooks/{theirs}{action}")
        assert (answer.status, "bobs" in answer.body) == (404, False)
    assert (await browser.send(f"/keys/{key['id']}/revoke")).status == 404
    assert (await bob.key.get(f"/api/webhooks/{theirs}")).body["active"]


async def test_what_was_typed_elsewhere_comes_back_as_text(browser: Browser, ada: Account) -> None:
    made = await ada.key.register(
        "https://example.com/?<script>", description="<b>bold</b>", filter={"data.x": ["<script>alert(1)</script>"]}
    )
    for path in ("/webhooks", f"/webhooks/{made['id']}", f"/webhooks/{made['id']}/edit"):
        page = (await browser.see(path)).body
        assert "<script>alert" not in page
        assert "<b>bold" not in page


async def test_without_the_pages_proof_nothing_is_changed(browser: Browser, ada: Account) -> None:
    made = await ada.key.register("https://example.com/")
    for path in ("/webhooks", f"/webhooks/{made['id']}/delete", f"/webhooks/{made['id']}/rotate", "/keys"):
        assert (await browser.send_bare(path, {"url": "https://example.com/", "event:*": "on"})).status == 403
    [webhook] = (await ada.key.get("/api/webhooks")).body["items"]
    assert webhook["secrets"][0]["created_at"] == webhook["created_at"]


# -- API keys ----------------------------------------------------------------------------------------------------------


async def test_a_key_is_made_shown_once_used_and_revoked(browser: Browser, house: House, ada: Account) -> None:
    house.clock.forward(1)
    made = await browser.send("/keys", name="For <CI>", scopes="publish")
    assert made.status == 200
    key = shown_once(made, "key")
    page = (await browser.see("/keys")).body
    assert key not in page
    assert "For &lt;CI&gt;" in page
    used = await house.stranger.call("GET", "/api/event-types", headers={"X-API-Key": key})
    assert used.status == 200

    [new, _] = (await ada.user.get("/api/keys")).body["items"]
    assert (new["scopes"], new["last4"]) == (["publish"], key[-4:])
    revoked = await browser.send(f"/keys/{new['id']}/revoke")
    assert revoked.headers["Location"] == "/keys?said=revoked"
    assert (await house.stranger.call("GET", "/api/event-types", headers={"X-API-Key": key})).status == 401
    assert "revoked" in (await browser.see("/keys")).body


@pytest.mark.parametrize(
    ("typed", "status", "field"),
    [
        ({"scopes": "publish"}, 400, "name"),
        ({"name": "k"}, 400, "scopes"),
        ({"name": "k", "scopes": "operate"}, 403, "scopes"),
    ],
)
async def test_a_key_that_cannot_be_is_not_made(
    browser: Browser, ada: Account, typed: dict[str, str], status: int, field: str
) -> None:
    answer = await browser.send("/keys", **typed)
    assert (answer.status, f'id="{field}-problem"' in answer.body) == (status, True)
    assert len((await ada.user.get("/api/keys")).body["items"]) == 1


async def test_a_key_makes_and_revokes_no_keys_by_way_of_the_pages(house: House, ada: Account) -> None:
    [key] = (await ada.user.get("/api/keys")).body["items"]
    form = {"name": "another", "scope:publish": "on"}
    for path in ("/keys", f"/keys/{key['id']}/revoke"):
        answer = await ada.key.call("POST", path, data=form)
        assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    assert (await ada.user.get("/api/keys")).body["items"][0]["revoked_at"] is None
    assert len((await ada.user.get("/api/keys")).body["items"]) == 1
