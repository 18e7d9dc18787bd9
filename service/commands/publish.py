"""`hookline publish` and `hookline trigger`: events from a file, or a sample."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from random import SystemRandom
from typing import IO, TYPE_CHECKING

import click

from delivery.domain.catalogue import PUBLISHED
from service.commands.examples import examples
from service.commands.lines import Line, Tally, chunks, read_lines
from service.commands.printing import print_json, progress
from service.commands.situation import Caller, Situation, calls_api, may_call_api

if TYPE_CHECKING:
    from service.client import Api

#: Puts lines on their way and counts in the tally what became of them.
Send = Callable[[Sequence[Line], Tally], Awaitable[None]]


@examples(
    "hookline publish event.json",
    "export-events | hookline publish -          # JSON Lines from another program",
    "hookline publish events.jsonl --json",
)
@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--account", metavar="ID", help="Publish for this account: over RabbitMQ where BUS_URL names one.")
@click.option("--json", "as_json", is_flag=True, help='Print {"accepted", "duplicates", "errors_count", "errors"}.')
@may_call_api
@click.pass_obj
def publish(
    situation: Situation, caller: Caller | None, file: IO[bytes], account: str | None, *, as_json: bool
) -> None:
    """Publish the event or events in FILE.

    FILE holds one JSON document, or JSON Lines; - is standard input.
    What is refused is told line by line, and the rest is published all the same.
    """
    bus_url = situation.settings().bus_url if account else ""
    tally = Tally()
    if account and bus_url.startswith("amqp"):
        asyncio.run(_over_bus(bus_url, account, file, tally))
    elif caller is None:
        raise click.UsageError("An API key is needed: --api-key or HOOKLINE_API_KEY")
    else:
        caller.run(lambda api: _over_http(api, account, file, tally))
    _report(tally, as_json=as_json)


@examples("hookline trigger annotation.completed")
@click.command()
@click.argument("event_type", type=click.Choice(list(PUBLISHED)))
@click.option("--json", "as_json", is_flag=True, help='Print {"id", "duplicate", "deliveries"}.')
@calls_api
def trigger(caller: Caller, event_type: str, *, as_json: bool) -> None:
    """Publish a realistic sample of a type."""
    from service.samples import fresh_sample

    sample = fresh_sample(event_type, datetime.now(UTC), SystemRandom())
    answer = caller.run(lambda api: api.post("/api/events", sample))
    if as_json:
        print_json(answer)
    else:
        job, to = sample["data"]["job_id"], answer["deliveries"]
        click.echo(f"{event_type} of {job} accepted as {answer['id']}; deliveries: {to}")


async def _over_http(api: "Api", account: str | None, file: IO[bytes], tally: Tally) -> None:
    from service.client import batch_of

    async def send(lines: Sequence[Line], tally: Tally) -> None:
        answer = await api.post("/api/events/batch", batch_of(line.event(account) for line in lines))
        tally.accepted += answer["accepted"]
        tally.duplicates += answer["duplicates"]
        for error in answer["errors"]:
            tally.refuse(lines[error["index"]].number, error["error"], error["code"])

    await _send_all(file, send, tally)


async def _over_bus(bus_url: str, account: str, file: IO[bytes], tally: Tally) -> None:
    from consumers.rabbit.publisher import Publisher
    from consumers.wire import publication

    publisher = Publisher(bus_url)

    async def send(lines: Sequence[Line], tally: Tally) -> None:
        await asyncio.gather(*(publisher.publish(publication(line.parsed, account)) for line in lines))
        tally.accepted += len(lines)

    try:
        await _send_all(file, send, tally)
    finally:
        await publisher.close()


async def _send_all(file: IO[bytes], send: Send, tally: Tally) -> None:
    with progress("Publishing") as advance:
        for chunk in chunks(read_lines(file, tally)):
            await send(chunk, tally)
            advance(len(chunk))


def _report(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        print_json(tally.as_json())
    else:
        for error in tally.refused:
            click.echo(f"line {error['line']}: {error['error']} ({error['code']})")
        click.echo(f"accepted {tally.accepted}, duplicates {tally.duplicates}, refused {len(tally.errors)}")
    if tally.errors:
        raise click.ClickException(f"{len(tally.errors)} of the events were refused")
