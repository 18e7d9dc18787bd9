"""A real browser, headless, that reaches nothing but this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.program import EMAIL, PASSWORD

_CHROMIUM = "/usr/bin/chromium"

#: As root there is no sandbox to be had; the others keep it from looking for its maker's servers.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: How long a page may take to show what it should, in milliseconds; a busy machine takes its time.
PATIENCE_MS = 30_000

DESK = (1280, 900)
PHONE = (375, 812)


@dataclass(frozen=True)
class Person:
    """Somebody at a page of the service; ``faults`` is what the browser complained about."""

    page: Page
    url: str
    faults: list[str]

    async def goes_to(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def signs_in(self, email: str = EMAIL, password: str = PASSWORD) -> None:
        await self.page.get_by_label("E-mail address").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("navigation", name="Pages")).to_be_visible()

    async def clicks(self, name: str) -> None:
        """Press a button or follow a link by its name."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        await button.or_(link).first.click()

    async def fills(self, **fields: str) -> None:
        """Fill in fields by their labels, with blanks for underscores."""
        for label, text in fields.items():
            await self.page.get_by_label(label.replace("_", " ")).fill(text)

    async def sees(self, *texts: str) -> None:
        for text in texts:
            await expect(self.page.get_by_role("main")).to_contain_text(text)

    async def does_not_see(self, text: str) -> None:
        await expect(self.page.get_by_role("main")).not_to_contain_text(text)

    async def barriers(self) -> list[str]:
        """What axe finds serious or critical on this page."""
        found: dict[str, Any] = (await Axe().run(self.page)).response
        return [
            f"{one['id']}: {node['html']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    async def width(self) -> int:
        """How wide the page is, in pixels; wider than the window, it must be pushed to the side to be read."""
        wide: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return wide


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run a browser for as long as the block lasts."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def at_a_page(
    browser: Browser, url: str, size: tuple[int, int] = DESK, *, dark: bool = False
) -> AsyncIterator[Person]:
    """Open a window of this size, in width and height."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    faults: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield Person(page, url, faults)
    await context.close()
