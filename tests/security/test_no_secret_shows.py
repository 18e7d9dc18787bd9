"""A whole life of the service at its most talkative, and no secret in anything that came out of it."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from sqlalchemy import text

from delivery.store.tables import metadata
from service.client import ApiError, open_api
from tests.fakes.taskmonk import open_taskmonk
from tests.security.leaks import disguises, leaks
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.support.polling import until
from tests.support.program import Done, Program, Running
from tests.support.receiver import Receiver, receiving
from tests.support.stores import opened, prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EMAIL = "ada@example.com"

#: What the operator sets, and what people type; with characters that have to be written otherwise in a URL.
SET = {
    "password": "pass/word+of=ada@home",
    "wrong password": "a-guess/that+was=wrong",
    "master key": base64.b64encode(b"the master key of thirty-two by!").decode(),
    "older master key": base64.b64encode(b"another master key, 32 bytes too").decode(),
    "jwt secret": "the/secret+of=all-the-tokens-of-hookline",
    "database password": "database/pass+word=1",
    "broker password": "broker/pass+word=22",
    "proxy password": "proxy/pass+word=333",
    "signing secret": "signing/secret+of=ada",
    "rotated secret": "rotated/secret+of=ada",
    "listening secret": "listening/secret+of=ada",
    "client secret": "client/secret+of=taskmonk",
    "another client secret": "another/client/secret+of=it",
    "webhook secret": "webhook/secret+of=potato",
}


@dataclass
class Life:
    """What came out so far, by where, and what must not be in it, by its name."""

    program: Program
    secrets: dict[str, str] = field(default_factory=lambda: dict(SET))
    outputs: dict[str, str] = field(default_factory=dict)

    def heard(self, where: str, what: str) -> None:
        self.outputs[f"{where} ({len(self.outputs)})"] = what

    async def run(self, *words: str, shows: bool = False, stdin: str = "", **settings: str) -> Done:
        """Run a command; what it ``shows`` on standard output is a secret, this once."""
        done = await self.program.run(*words, stdin=stdin, **settings)
        self.heard(f"hookline {words[0]}: out", "" if shows else done.out)
        self.heard(f"hookline {words[0]}: err", done.err)
        return done

    def said(self, service: Running) -> None:
        self.heard("serve: out", service.out)
        self.heard("serve: err", service.err)

    async def ask(
        self, client: aiohttp.ClientSession, method: str, path: str, *, shows: bool = False, **options: Any
    ) -> Any:
        """Call the API; what it ``shows`` is a secret, this once."""
        async with client.request(method, path, allow_redirects=False, **options) as response:
            body = await response.text()
            self.heard(f"{method} {path}: headers", "" if shows else str(response.headers))
            self.heard(f"{method} {path}: body", "" if shows else body)
            return await response.json() if response.content_type == "application/json" else body

    async def rows(self, url: str) -> None:
        """Everything that is in the database."""
        async with opened(url) as store, store.reading() as tx:
            for table in metadata.tables:
                found = (await tx.execute(text(f'SELECT * FROM "{table}"'))).all()  # as it lies there
                self.heard(f"table {table}", "\n".join(map(str, found)))


async def live(life: Life, receiver: Receiver) -> None:
    """Do everything that has to do with a secret, while the service runs."""
    program, secrets = life.program, life.secrets
    made = (await life.run("bootstrap", "--email", EMAIL, "--password", secrets["password"], "--json", shows=True)).json
    secrets |= {"api key": made["api_key"], "token": made["token"]}
    program.settings["API_KEY"] = made["api_key"]
    async with aiohttp.ClientSession(program.settings["URL"], cookie_jar=aiohttp.DummyCookieJar()) as client:
        await come_in(life, client)
        await use_keys(life, client)
        await deliver(life, client, receiver)
        await connect_tools(life, client)
        await go_wrong(life, client)
        await life.ask(client, "GET", "/metrics")
        await life.ask(client, "GET", "/readyz")
    await life.run("doctor")
    await life.run("secrets", "rotate")
    await life.run("keys", "list", "--email", EMAIL)


async def connect_tools(life: Life, client: aiohttp.ClientSession) -> None:
    """Connect annotation tools with credentials that are refused, mistyped and shown to the wrong routes."""
    key = {"X-API-Key": life.secrets["api key"]}
    secret, another, push = (
        life.secrets[name] for name in ("client secret", "another client secret", "webhook secret")
    )
    async with open_taskmonk() as monk:
        wish = {
            "system": "taskmonk",
            "url": monk.url,
            "credentials": {"client_id": "ada", "client_secret": secret},
            "settings": {"project_id": "42"},
        }
        made = await life.ask(client, "POST", "/api/sources", headers=key, json=wish)
        path = f"/api/sources/{made['id']}"
        await life.ask(client, "POST", f"{path}/check", headers=key)
        await life.run("sources", "poll")
        await life.run("sources", "check")
        for credentials in ({"client_id": "ada", "client_secret": another}, {"client_secret": another, "key": secret}):
            await life.ask(client, "PATCH", path, headers=key, json={"credentials": credentials})
        await life.run("sources", "list", "--json")
        potato = wish | {
            "system": "potato",
            "credentials": {"api_key": another, "webhook_secret": push},
            "settings": {},
        }
        made = await life.ask(client, "POST", "/api/sources", headers=key, json=potato)
        forged = {"webhook-id": push, "webhook-timestamp": "1", "webhook-signature": f"v1,{push}"}
        await life.ask(client, "POST", made["inbound_path"], headers=forged, data=b"{}")
        wrong = ("--credential", f"client_secret={secret}", "--setting", "project_id=42")
        await life.run("sources", "add", "taskmonk", monk.url, *wrong)


async def come_in(life: Life, client: aiohttp.ClientSession) -> None:
    right = {"email": EMAIL, "password": life.secrets["password"]}
    wrong = {"email": EMAIL, "password": life.secrets["wrong password"]}
    made = await life.ask(client, "POST", "/api/auth/login", json=right, shows=True)
    life.secrets["another token"] = made["token"]
    for path in ("/api/auth/login", "/sign-in"):
        await life.ask(client, "POST", path, json=wrong)
        await life.ask(client, "POST", path, json={"email": wrong["password"], "password": wrong["password"]})
        await life.ask(client, "POST", path, data=wrong)
    async with client.post("/sign-in", data=right, allow_redirects=False) as signed_in:
        life.secrets["cookie"] = signed_in.cookies["hookline-session"].value
    cookie = {"Cookie": f"hookline-session={life.secrets['cookie']}", "Sec-Fetch-Site": "same-origin"}
    page = await life.ask(client, "GET", "/", headers=cookie, shows=True)
    life.secrets["csrf token"] = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    form = {"csrf_token": life.secrets["csrf token"]}
    pasted = {"body": "{}", "headers": "sha256=0", "secret": life.secrets["signing secret"]}
    await life.ask(client, "POST", "/debugger", data=form | pasted, headers=cookie, shows=True)
    await life.ask(client, "POST", "/sign-out", data=form | {"more": "x"}, headers=cookie)


async def use_keys(life: Life, client: aiohttp.ClientSession) -> None:
    person = {"Authorization": f"Bearer {life.secrets['token']}"}
    made = await life.ask(client, "POST", "/api/keys", json={"name": "ci"}, headers=person, shows=True)
    life.secrets["made key"] = made["key"]
    created = await life.run("keys", "create", "--email", EMAIL, "--json", shows=True)
    life.secrets["created key"] = created.json["key"]
    await life.ask(client, "GET", "/api/keys", headers=person)
    await life.ask(client, "DELETE", f"/api/keys/{made['id']}", headers=person)
    await life.ask(client, "GET", "/api/webhooks", headers={"X-API-Key": made["key"]})
    await life.ask(client, "GET", "/api/webhooks", headers={"Authorization": f"Bearer {life.secrets['token']}x"})


async def deliver(life: Life, client: aiohttp.ClientSession, receiver: Receiver) -> None:
    key = {"X-API-Key": life.secrets["api key"]}
    asked = {"url": receiver.url, "events": ["*"], "secret": life.secrets["signing secret"]}
    webhook = await life.ask(client, "POST", "/api/webhooks", json=asked, headers=key, shows=True)
    path = f"/api/webhooks/{webhook['id']}"
    generated = await life.ask(client, "POST", f"{path}/rotate", json={}, headers=key, shows=True)
    life.secrets["generated secret"] = generated["secret"]
    life.secrets["the same for libraries"] = generated["standard_webhooks_secret"].removeprefix("whsec_")
    rotated = {"secret": life.secrets["rotated secret"]}
    await life.ask(client, "POST", f"{path}/rotate", json=rotated, headers=key, shows=True)
    await life.ask(client, "POST", f"{path}/test", json={}, headers=key)
    await life.run("publish", "-", stdin='{"event": "nonsense"}\n')
    await life.run("trigger", "annotation.completed")
    await until(lambda: _attempted(life), within_s=30)
    for what in ("/api/webhooks", path, "/api/events", "/api/deliveries", "/api/audit"):
        await life.ask(client, "GET", what, headers=key)
    for delivery in (await life.ask(client, "GET", "/api/deliveries", headers=key))["items"]:
        await life.ask(client, "GET", f"/api/deliveries/{delivery['id']}", headers=key)
    await life.run("deliveries")
    listening = {"X-Listen-Secret": life.secrets["listening secret"], **key}
    async with client.get("/api/listen", headers=listening) as stream:
        life.heard("GET /api/listen", (await stream.content.readuntil(b"\n\n")).decode())


async def _attempted(life: Life) -> bool:
    async with open_api(life.program.settings["URL"], life.program.settings["API_KEY"]) as api:
        items = (await api.get("/api/deliveries", event="annotation.completed"))["items"]
    return any(item["attempts_made"] for item in items)


async def go_wrong(life: Life, client: aiohttp.ClientSession) -> None:
    """Make secrets stand where they are not expected."""
    key = {"X-API-Key": life.secrets["api key"]}
    secret = life.secrets["signing secret"]
    broken = f'{{"url": "https://example.com", "secret": "{secret}"'.encode()
    json = {"Content-Type": "application/json"}
    await life.ask(client, "POST", "/api/webhooks", data=broken, headers=key | json)
    await life.ask(client, "POST", "/api/webhooks", json={"secret": [secret]}, headers=key)
    await life.ask(client, "POST", "/api/webhooks", json={"url": "x", "events": ["*"], "secret": secret}, headers=key)
    await life.ask(client, "POST", "/api/webhooks", json=secret, headers=key)
    await life.ask(client, "GET", f"/api/webhooks?api_key={quote(life.secrets['api key'])}", headers=key, shows=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened_receiver:
        yield opened_receiver


KEYS = {"MASTER_KEYS": f"k2:{SET['master key']},k1:{SET['older master key']}", "JWT_SECRET": SET["jwt secret"]}


async def test_on_the_embedded_database_no_secret_shows(tmp_path: Path, sqlite_url: str, receiver: Receiver) -> None:
    talkative = {"DATABASE_URL": sqlite_url, "LOG_LEVEL": "debug", "LOG_FORMAT": "console"}
    life = Life(Program(tmp_path, talkative | KEYS))
    async with life.program.serving() as service:
        await live(life, receiver)
        await service.end()
        life.said(service)
    await life.rows(sqlite_url)
    life.heard("the file itself", (tmp_path / "hookline.db").read_bytes().decode("latin-1"))
    assert life.outputs
    assert leaks(life.secrets, life.outputs) == []


async def test_on_postgresql_and_rabbitmq_through_a_proxy_that_refuses_no_secret_shows(
    tmp_path: Path, postgres_url: str, rabbitmq: RabbitMQ, rabbit_url: str, receiver: Receiver
) -> None:
    await prepare(postgres_url)
    database = postgres_url.replace("postgres@", f"postgres:{quote(SET['database password'], safe='')}@")
    with_user(rabbitmq, vhost := rabbit_url.rpartition("/")[2])
    bus = f"amqp://hook:{quote(SET['broker password'], safe='')}@127.0.0.1:{rabbitmq.port}/{vhost}"
    proxy = f"http://hook:{quote(SET['proxy password'], safe='')}@127.0.0.1:{free_port()}"
    talkative = {"DATABASE_URL": database, "BUS_URL": bus, "EGRESS_PROXY": proxy, "LOG_LEVEL": "debug"}
    life = Life(Program(tmp_path, talkative | KEYS))
    async with life.program.serving() as service:
        await live(life, receiver)
        assert receiver.calls == []
        await service.end()
        life.said(service)
    await life.rows(postgres_url)
    await without_servers(life)
    assert leaks(life.secrets, life.outputs) == []


def with_user(rabbitmq: RabbitMQ, vhost: str) -> None:
    """A user of the broker with a password that is one."""
    module, all_of_it = "rabbit_auth_backend_internal", ", ".join(['<<".*">>'] * 3)
    add = f'{module}:add_user(<<"hook">>, <<"{SET["broker password"]}">>, <<"tests">>)'
    allow = f'{module}:set_permissions(<<"hook">>, <<"{vhost}">>, {all_of_it}, <<"tests">>)'
    rabbitmq.evaluate(f"{add}, {allow}.")


async def without_servers(life: Life) -> None:
    """Ask for what cannot be had: servers that are away, and settings that cannot be used."""
    nobody = free_port()
    database = f"postgresql+asyncpg://hook:{quote(SET['database password'], safe='')}@127.0.0.1:{nobody}/hookline"
    bus = f"amqp://hook:{quote(SET['broker password'], safe='')}@127.0.0.1:{nobody}/"
    for command in (["doctor"], ["migrate"], ["secrets", "rotate"], ["bootstrap", "--email", EMAIL, "--password", "x"]):
        done = await life.run(*command, DATABASE_URL=database, BUS_URL=bus)
        assert done.code == 1, done.out
    async with life.program.running("serve", DATABASE_URL=database, BUS_URL=bus) as service:
        await until(lambda: "database.away" in service.err, within_s=30)
        url = service.out.rpartition("Listening on ")[2].strip()
        async with open_api(url) as api:
            with pytest.raises(ApiError) as away:
                await api.get("/readyz")
        life.heard("an excuse", str(away.value))
        life.said(service)
    for settings in UNUSABLE:
        done = await life.run("doctor", **settings)
        assert done.code == 1, (settings, done.out)
        refused = await life.run("serve", **settings)
        assert refused.code == 1, (settings, refused.out)
        assert "Traceback" not in refused.err


UNUSABLE: list[dict[str, Any]] = [
    {"DATABASE_URL": f"mysql://hook:{quote(SET['database password'], safe='')}@db/hookline"},
    {"DATABASE_URL": f"postgresql+asyncpg://hook:{SET['database password']}@db:port/hookline"},
    {"BUS_URL": f"redis://hook:{quote(SET['broker password'], safe='')}@bus/"},
    {"BUS_URL": f"amqp://hook:{SET['broker password']}@bus:port/"},
    {"EGRESS_PROXY": f"proxy://hook:{SET['proxy password']}@proxy:port"},
    {"MASTER_KEYS": SET["master key"]},
    {"MASTER_KEYS": f"k1:{SET['master key']}!"},
    {"MASTER_KEYS": f"k1:{SET['master key']},k1:{SET['older master key']}"},
    {"JWT_JWKS_URL": f"http://hook:{SET['proxy password']}@platform/"},
]


def test_the_search_sees_through_disguises() -> None:
    secret = SET["proxy password"]
    told = {
        "as it is": f"x{secret}x",
        "in a URL": f"http://hook:{quote(secret, safe='')}@proxy",
        "in a header": "Basic " + base64.b64encode(f"hook:{secret}".encode()).decode(),
        "in another header": "Basic " + base64.b64encode(f"hooks:{secret}".encode()).decode(),
        "in a third": "Basic " + base64.urlsafe_b64encode(f"hookss:{secret}more".encode()).decode(),
        "in hexadecimal": f"0x{secret.encode().hex()}",
    }
    assert len(leaks({"it": secret}, told)) == len(told)
    assert leaks({"it": secret}, {"nothing": "a proxy, a password, and 333"}) == []
    assert all(len(form) >= 8 for form in disguises(secret))
