"""The demonstration: the whole way of an event, in one process, on parts that need nothing installed."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import click

from consumers.wire import publication
from delivery.domain.catalogue import PUBLISHED
from service.app import build_app
from service.client import Api, open_api
from service.demo_watch import Sightings, Watcher
from service.front import Front, address, listen
from service.observability import set_up_logging
from service.receiver import Received, judge, receiving
from service.runtime import Runtime, open_runtime
from service.samples import fresh_sample
from service.settings import Settings
from service.stopping import stopping, until
from service.trouble import Trouble

_EMAIL = "demo@hookline.example"
_HOST = "127.0.0.1"
_UNAVAILABLE = 503

#: With ``once``: how long everything may take, and the seconds before each retry.
_PATIENCE_S = 60.0
_SHORT_WAITS = (1, 1, 2, 3, 5)


class DemoError(Trouble):
    """The demonstration did not show what it should have shown."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is open during the demonstration: the service, who calls it, and the receivers by name."""

    runtime: Runtime
    url: str
    password: str
    account_id: str
    publisher: Api
    customer: Api
    sightings: Sightings
    names: dict[str, str] = field(default_factory=dict)


async def run_demo(folder: Path, port: int, *, once: bool) -> None:
    """Show everything; with ``once`` until all is delivered, else until a signal asks to stop.

    Raises:
        DemoError: with ``once``, something is missing or was not as it should be.
    """
    settings = _settings(folder, port, once=once)
    set_up_logging(settings)
    async with stopping() as stop, _opened(settings) as stage:
        _greet(stage)
        watcher = Watcher(stage.customer, stage.names, stage.sightings)
        if not once:
            await _perform(stage)
            click.echo("Retries come as promised, the first after a minute. Ctrl-C ends the demonstration.\n")
            await until(stop, watcher.follow())
            return
        await _perform(stage)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                finished = await until(stop, watcher.follow_until_done(2 * len(PUBLISHED)))
        except TimeoutError as error:
            raise DemoError(f"Not everything was delivered within {_PATIENCE_S:.0f} seconds") from error
        faults = await watcher.faults(list(PUBLISHED)) if finished else ["interrupted"]
        if faults:
            raise DemoError("; ".join(faults))
        click.echo(f"\nAll {len(PUBLISHED)} event types reached both receivers; every signature verified,")
        click.echo("every request that a receiver saw is in the log, and no other.")


def _settings(folder: Path, port: int, *, once: bool) -> Settings:
    """The defaults, except for what keeps the demonstration to itself."""
    settings = Settings(
        database_url=f"sqlite+aiosqlite:///{folder / 'hookline.db'}",
        host=_HOST,
        port=port,
        allowed_networks=(ip_network("127.0.0.0/8"),),
        log_level="warning",
    )
    return settings.model_copy(update={"retry_schedule": _SHORT_WAITS}) if once else settings


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Stage]:
    """Open the service, make an account, and begin to receive."""
    async with AsyncExitStack() as stack:
        listener = listen(settings.host, settings.port)
        url = address(listener)
        runtime = await stack.enter_async_context(open_runtime(settings))
        await stack.enter_async_context(Front(listener).showing(build_app(runtime)))
        password = secrets.token_urlsafe(9)
        made = await runtime.auth.bootstrap(_EMAIL, password)
        publisher = await stack.enter_async_context(open_api(url, made.api_key))
        session = await publisher.post("/api/auth/login", {"email": _EMAIL, "password": password})
        customer = await stack.enter_async_context(open_api(url, session["token"]))
        stage = Stage(runtime, url, password, made.account_id, publisher, customer, Sightings())
        await _register(stack, stage, "steady", fails_first=False)
        await _register(stack, stage, "recovering", fails_first=True)
        yield stage


async def _register(stack: AsyncExitStack, stage: Stage, name: str, *, fails_first: bool) -> None:
    """Receive, and register what receives as the setup guide says."""
    secret = secrets.token_urlsafe(24)

    def answer(received: Received) -> int:
        stage.sightings.note(received)
        return _UNAVAILABLE if fails_first and received.attempt == 1 else judge(received)

    base = await stack.enter_async_context(receiving(_HOST, 0, secret=secret, answer=answer))
    wishes = {"url": f"{base}/webhooks/{name}", "events": list(PUBLISHED), "secret": secret}
    webhook = await stage.customer.post("/api/webhooks", wishes)
    stage.names[webhook["id"]] = name


async def _perform(stage: Stage) -> None:
    """Publish one sample of each type: half of them over HTTP, half over the bus."""
    around = stage.runtime.around
    samples = [fresh_sample(name, around.clock.now(), around.luck) for name in PUBLISHED]
    middle = len(samples) // 2
    for sample in samples[:middle]:
        await stage.publisher.post("/api/events", sample)
    for sample in samples[middle:]:
        await stage.runtime.bus.publish(publication(sample, stage.account_id))
    click.echo(f"Published over HTTP      {_types(samples[:middle])}")
    click.echo(f"Published over the bus   {_types(samples[middle:])}\n")


def _types(samples: Sequence[dict[str, str]]) -> str:
    return ", ".join(sample["event"] for sample in samples)


def _greet(stage: Stage) -> None:
    click.echo(
        f"Hookline at work: SQLite in a temporary folder, the bus inside the process.\n\n"
        f"Dashboard  {stage.url}/\n"
        f"Login      {_EMAIL}  {stage.password}\n"
        f"API        {stage.url}/api/docs\n"
        f"Webhooks   {', '.join(stage.names.values())} (answers 503 to each first attempt)\n"
    )
