"""Pictures of every page, at a desk and on a phone, by day and by night, of a service with an hour behind it.

    python -m tests.browser.screenshots FOLDER

The hour passes in virtual time: real requests to receivers on this machine, one that answers, one that is slow, and one
that breaks halfway. The browser is told what time it is there.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from random import Random

from aiohttp import web
from playwright.async_api import Browser

from delivery.domain.catalogue import PUBLISHED
from delivery.store.engine import open_store
from service.observability import set_up_logging
from service.schema import migrate
from service.settings import Settings
from tests.browser.chromium import DESK, PHONE, at_a_page, browsing
from tests.browser.test_pages import PAGES
from tests.fakes.potato import KEY, FakePotato, potato_at_work
from tests.service.house import PASSWORD, Account, House, open_house

_MINUTES = 60
_TYPES = sorted(PUBLISHED)
_SIZES = {"desk": DESK, "phone": PHONE}

#: What each receiver does with a request: how long it takes at most, in seconds, and from which minute on it breaks.
_RECEIVERS: Mapping[str, tuple[float, int]] = {
    "labels": (0.02, _MINUTES),
    "warehouse": (0.2, _MINUTES),
    "review-board": (0.05, _MINUTES - 10),
}


class Hour:
    """An hour in the life of a service."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._luck = Random(7)
        self._minute = 0
        self._published = 0

    async def answer(self, request: web.Request) -> web.Response:
        slowest_s, breaks_at = _RECEIVERS[request.match_info["name"]]
        await asyncio.sleep(self._luck.random() * slowest_s)
        if self._minute >= breaks_at:
            return web.json_response({"error": "database is read-only"}, status=503)
        return web.json_response({"received": True})

    async def pass_by(self, account: Account) -> None:
        """Let an hour pass in which events come in."""
        for self._minute in range(_MINUTES):
            for _ in range(self._luck.randint(1, 5)):
                self._published += 1
                await account.key.publish(self._luck.choice(_TYPES), job_id=f"ann_{self._published:05}")
            await self._house.quiet()  # no lease runs out because a minute passes in no time
            await self._house.later(60)


@asynccontextmanager
async def lived_in(folder: str) -> AsyncIterator[tuple[House, Account]]:
    """A service with an hour behind it, and its operator."""
    url = f"sqlite+aiosqlite:///{folder}/hookline.db"
    store = open_store(url)
    await migrate(store)
    await store.close()
    async with open_house(url) as house:
        account = await house.account(operator=True)
        hour = Hour(house)
        receivers = web.Application()
        receivers.router.add_post("/{name}", hour.answer)
        runner = web.AppRunner(receivers)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        for name in _RECEIVERS:
            await account.key.register(f"{site.name}/{name}", description=name)
        await hour.pass_by(account)
        await account.key.post("/api/replays", {"filter": {"status": "failed"}})
        async with potato_at_work() as potato:
            await annotated(house, account, potato)
            yield house, account
        await runner.cleanup()


async def annotated(house: House, account: Account, potato: FakePotato) -> None:
    """Connect an annotation tool, and let somebody be at work there."""
    wanted = {"system": "potato", "url": potato.url, "name": "Product reviews", "credentials": {"api_key": KEY}}
    assert (await account.key.post("/api/sources", wanted)).status == 201
    for label in ("positive", "negative", "neutral"):
        await house.later(60)
        await house.runtime.polling.run()
        await house.runtime.polling.quiet()
        potato.annotates("ada", "item_001", {f"sentiment:{label}": "1"})


async def interesting(account: Account) -> Iterator[str]:
    """Every page, those of single things included."""
    webhooks = (await account.key.get("/api/webhooks")).body["items"]
    events = (await account.key.get("/api/events")).body["items"]
    replays = (await account.key.get("/api/replays")).body["items"]
    [waiting, *_] = await account.key.deliveries(status="pending")
    sources = (await account.key.get("/api/sources")).body["items"]
    single = {
        "webhooks": webhooks[0],
        "deliveries": waiting,
        "events": events[0],
        "replays": replays[0],
        "sources": sources[0],
    }
    return iter([*PAGES, "/api/docs", *(f"/{kind}/{one['id']}" for kind, one in single.items())])


async def look(browser: Browser, house: House, account: Account, folder: Path) -> None:
    for (size, measures), dark in product(_SIZES.items(), (False, True)):
        async with at_a_page(browser, str(house.client.make_url("")), measures, dark=dark) as person:
            await person.page.clock.install(time=house.clock.now())
            await person.goes_to("/")
            await person.signs_in(account.email, PASSWORD)
            for path in await interesting(account):
                await person.goes_to(path)
                file = folder / f"{_name(path)}-{size}-{'dark' if dark else 'light'}.png"
                await person.page.screenshot(path=file)
                print(file)


def _name(path: str) -> str:
    """A file's name for a page; that of a single thing is called after its kind.

    >>> _name("/deliveries?status=failed"), _name("/webhooks/wh_019b76daa800f2a74de452e6b438"), _name("/")
    ('deliveries-status-failed', 'webhooks-one', 'home')
    """
    first, _, rest = path.strip("/").partition("/")
    name = f"{first}/one" if "_0" in rest else path.strip("/")
    return "".join(sign if sign.isalnum() else "-" for sign in name) or "home"


async def run(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as database:
        async with lived_in(database) as (house, account), browsing() as browser:
            await look(browser, house, account, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    set_up_logging(Settings(log_level="warning"))
    asyncio.run(run(folder))


if __name__ == "__main__":
    main()
