"""The doors of the service that hostile input comes through: a real process, as its callers meet it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.service.house import Account, Answer, House, open_house


@dataclass(frozen=True)
class Door:
    """An account of a running service, and what it would register."""

    house: House
    account: Account

    async def register(self, **wishes: Any) -> Answer:
        """Try to register a webhook, with an innocent URL unless the wishes have another."""
        return await self.account.key.post("/api/webhooks", {"url": "https://example.com/", "events": ["*"]} | wishes)

    async def webhooks(self) -> list[Any]:
        """What is registered."""
        items: list[Any] = (await self.account.key.get("/api/webhooks")).body["items"]
        return items

    async def refuses(self, field: str, says: str, **wishes: Any) -> None:
        """See a registration refused, with the field at fault and the reason in words, and nothing stored."""
        answer = await self.register(**wishes)
        assert (answer.status, answer.body.get("field")) == (422, field), answer.body
        assert answer.code == ("invalid_url" if field == "url" else "invalid_header")
        assert says in answer.body["error"]
        assert answer.body["error"].isprintable()
        assert await self.webhooks() == []

    async def takes(self, **wishes: Any) -> Any:
        """See a registration accepted and stored as it is shown; it is taken back again."""
        answer = await self.register(**wishes)
        assert answer.status == 201, answer.body
        (stored,) = await self.webhooks()
        assert stored.items() <= answer.body.items()
        await self.account.key.delete(f"/api/webhooks/{stored['id']}")
        return stored


@asynccontextmanager
async def open_door(folder: Path, **settings: Any) -> AsyncIterator[Door]:
    """Run a service over a database of its own. Plain http is permitted, so that it is no reason to refuse."""
    everywhere: dict[str, Any] = {"allowed_networks": (), "require_https": False}
    async with open_house(f"sqlite+aiosqlite:///{folder / 'hostile.db'}", **everywhere | settings) as house:
        yield Door(house, await house.account())
