"""Where a command runs: which settings hold, and which service it is to call."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from service.settings import API_KEY_VARIABLE, URL_VARIABLE, Settings, read_settings

if TYPE_CHECKING:
    from service.client import Api

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Situation:
    """What was said before the command's name."""

    config: Path | None

    def settings(self) -> Settings:
        """Read the settings."""
        return read_settings(self.config)

    def url(self) -> str:
        """Where a service with these settings listens."""
        from service.front import url_of

        settings = self.settings()
        return url_of(settings.host, settings.port)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls which service."""

    url: str
    key: str

    def run(self, work: "Callable[[Api], Awaitable[T]]") -> T:
        """Do something with the API."""
        return asyncio.run(self.calling(work))

    async def calling(self, work: "Callable[[Api], Awaitable[T]]") -> T:
        """Do something with the API, from inside of an event loop."""
        from service.client import open_api

        async with open_api(self.url, self.key) as api:
            return await work(api)


def calls_api(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say whom to call as whom; it gets them as ``caller``."""
    return _with_caller(command, required=True)


def may_call_api(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the same options where it can do without an API key; ``caller`` is None without one."""
    return _with_caller(command, required=False)


def _with_caller(command: Callable[..., None], *, required: bool) -> Callable[..., None]:
    @click.option("--url", envvar=URL_VARIABLE, show_envvar=True, help="The service; default http://HOST:PORT.")
    @click.option("--api-key", envvar=API_KEY_VARIABLE, show_envvar=True, required=required, help="An API key (tmk_…).")
    @wraps(command)
    def with_caller(*, url: str | None, api_key: str | None, **options: Any) -> None:
        situation = click.get_current_context().find_object(Situation)
        assert situation is not None
        command(caller=Caller(url or situation.url(), api_key) if api_key else None, **options)

    return with_caller
