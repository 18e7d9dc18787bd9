"""The service as its callers meet it: a real server on a socket, over a real runtime, at a time that the test moves."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from delivery.domain.model import Plan
from service.app import build_app
from service.auth import Bootstrapped
from service.runtime import Runtime, open_runtime
from service.settings import ROLES, Role, Settings
from tests.support.clock import ManualClock
from tests.support.polling import until
from tests.support.samples import envelope

PASSWORD = "your-password"
SECRET = "your-webhook-signing-secret"

_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """What came back: ``body`` is the JSON, or the text where it is none."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The error's code; every failure has one, and words."""
        assert self.status >= 400, self.body
        assert self.body["error"]
        return str(self.body["code"])

    @property
    def limits(self) -> tuple[int, int, int]:
        """The three numbers of the rate limit."""
        limit, remaining, reset = (int(self.headers[f"X-RateLimit-{last}"]) for last in ("Limit", "Remaining", "Reset"))
        return limit, remaining, reset


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the API, with the headers that they send along."""

    client: TestClient[Request, Application]
    headers: Mapping[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.client.request(method, path, headers=headers, allow_redirects=False, **options) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if is_json else text)

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: Any = None) -> Answer:
        return await self.call("POST", path, json={} if body is None else body)

    async def patch(self, path: str, **changes: Any) -> Answer:
        return await self.call("PATCH", path, json=changes)

    async def delete(self, path: str) -> Answer:
        return await self.call("DELETE", path)

    # -- what tests do all the time ------------------------------------------------------------------------------------

    async def register(self, url: str, **wishes: Any) -> Any:
        """Register a webhook for everything, unless the wishes say otherwise."""
        answer = await self.post("/api/webhooks", {"url": url, "events": ["*"], "secret": SECRET} | wishes)
        assert answer.status == 201, answer.body
        return answer.body

    async def publish(self, event: str = "annotation.completed", **data: Any) -> Answer:
        """Publish a sample event with these members in its ``data``."""
        return await self.post("/api/events", envelope(event, **data))

    async def deliveries(self, **which: Any) -> list[Any]:
        """The log, newest first."""
        items: list[Any] = (await self.get("/api/deliveries", **which)).body["items"]
        return items


@dataclass(frozen=True)
class Account:
    """An account with its first user and key, and both as callers."""

    id: str
    user_id: str
    email: str
    api_key: str
    token: str
    key: Caller
    user: Caller


@dataclass(frozen=True)
class House:
    """One process of the service. Nothing happens by the clock but what the test lets happen."""

    runtime: Runtime
    client: TestClient[Request, Application]
    clock: ManualClock

    @property
    def stranger(self) -> Caller:
        """Somebody without any credentials."""
        return Caller(self.client)

    async def account(
        self, email: str = "ada@example.com", *, plan: Plan | None = None, operator: bool = False
    ) -> Account:
        """Make an account."""
        made: Bootstrapped = await self.runtime.auth.bootstrap(email, PASSWORD, plan, operator)
        key = Caller(self.client, {"X-API-Key": made.api_key})
        assert made.token is not None
        user = Caller(self.client, {"Authorization": f"Bearer {made.token}"})
        return Account(made.account_id, made.user_id, email, made.api_key, made.token, key, user)

    async def later(self, seconds: float = 0) -> None:
        """Let time pass, and everything happen that it makes due."""
        self.clock.forward(seconds)
        await self.runtime.replays.run()
        await self.runtime.sweep.run()
        await self.quiet()
        await self.runtime.statistics.fold()

    async def quiet(self) -> None:
        """Wait until everything that this process has in hand is sent and logged."""
        await until(lambda: not self.runtime.courier.held_until(_FOREVER))


def settings_for(url: str, **changes: Any) -> Settings:
    """Settings with loopback receivers allowed."""
    fixed: dict[str, Any] = {
        "database_url": url,
        "master_keys": "k1:" + "A" * 43 + "=",
        "jwt_secret": "a secret of at least thirty-two characters",
        "allowed_networks": (IPv4Network("127.0.0.0/8"),),
    }
    return Settings(**fixed | changes)


@asynccontextmanager
async def open_house(
    url: str, *, clock: ManualClock | None = None, roles: tuple[Role, ...] = ROLES, **changes: Any
) -> AsyncIterator[House]:
    """Run a process on a database; several can share one."""
    clock = clock or ManualClock()
    settings = settings_for(url, **changes)
    async with (
        open_runtime(settings, roles, clock=clock, ticks=False) as runtime,
        TestClient(TestServer(build_app(runtime))) as client,
    ):
        yield House(runtime, client, clock)
