"""What one process is told holds in another at once: two programs, one PostgreSQL."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.throttle import MOST_OF_EMAIL
from tests.support.program import EMAIL, PASSWORD, Program
from tests.support.stores import prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RIGHT = {"email": EMAIL, "password": PASSWORD}


async def status(
    client: aiohttp.ClientSession, url: str, method: str = "GET", path: str = "/api/webhooks", **options: Any
) -> int:
    async with client.request(method, url + path, **options) as response:
        return response.status


async def test_a_revoked_key_a_session_that_ended_and_wrong_passwords_are_known_to_both(
    tmp_path: Path, postgres_url: str
) -> None:
    await prepare(postgres_url)
    program = Program(tmp_path, {"DATABASE_URL": postgres_url})
    async with (
        aiohttp.ClientSession() as client,
        program.serving("--roles", "api") as one,
        program.serving("--roles", "api") as other,
    ):
        made = await program.bootstrap()
        key, person = {"X-API-Key": made["api_key"]}, {"Authorization": f"Bearer {made['token']}"}
        for headers in (key, person):
            assert await status(client, other.url, headers=headers) == 200

        async with client.get(f"{one.url}/api/keys", headers=person) as listed:
            [shown] = (await listed.json())["items"]
        assert await status(client, one.url, "DELETE", f"/api/keys/{shown['id']}", headers=person) == 204
        assert await status(client, other.url, headers=key) == 401

        assert await status(client, one.url, "POST", "/sign-out", headers=person) == 204
        assert await status(client, other.url, headers=person) == 401

        for number in range(MOST_OF_EMAIL):
            url = (one, other)[number % 2].url
            assert await status(client, url, "POST", "/api/auth/login", json=RIGHT | {"password": "guess"}) == 401
        for process in (one, other):
            assert await status(client, process.url, "POST", "/api/auth/login", json=RIGHT) == 429
