"""`hookline dead-letters`: messages that the bus could not use. For operators."""

from typing import IO, TYPE_CHECKING, Any

import click

from service.commands.deliveries import path_part, short_time
from service.commands.examples import examples
from service.commands.printing import print_json, print_table
from service.commands.situation import Caller, calls_api

if TYPE_CHECKING:
    from service.client import Api

_PAGE = 100
_DETAIL = 60


@click.group("dead-letters")
def dead_letters() -> None:
    """See to messages that the bus could not use."""


@examples("hookline dead-letters list")
@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@calls_api
def list_(caller: Caller, limit: int, *, as_json: bool) -> None:
    """List them, with the reason why each could not be used."""
    page = caller.run(lambda api: api.get("/api/dead-letters", limit=limit))
    if as_json:
        print_json(page)
        return
    rows = [
        [short_time(item["received_at"]), item["queue"], item["reason"], item["id"], item["detail"][:_DETAIL]]
        for item in page["items"]
    ]
    print_table(("TIME", "QUEUE", "REASON", "ID", "DETAIL"), rows)


@examples("hookline dead-letters show dead_019b76daa800f2a74de452e6b438")
@dead_letters.command()
@click.argument("letter_id")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@calls_api
def show(caller: Caller, letter_id: str, *, as_json: bool) -> None:
    """Show one: its headers, its body, and what is wrong with it."""
    letter = caller.run(lambda api: api.get(f"/api/dead-letters/{path_part(letter_id)}"))
    if as_json:
        print_json(letter)
        return
    for name, value in letter.items():
        if isinstance(value, dict):
            for header, text in value.items():
                click.echo(f"{header}: {text}")
        else:
            click.echo(f"{name}: {value}")


@examples(
    "hookline dead-letters requeue dead_019b76daa800f2a74de452e6b438",
    "hookline dead-letters requeue dead_019b76daa800f2a74de452e6b438 --body event.json",
)
@dead_letters.command()
@click.argument("letter_id")
@click.option("--body", "file", type=click.File("rb"), metavar="FILE", help="What to publish in its place; - is stdin.")
@calls_api
def requeue(caller: Caller, letter_id: str, file: IO[bytes] | None) -> None:
    """Publish it again, as it first came or with another body."""
    edited = {} if file is None else {"body": _text(file)}
    caller.run(lambda api: api.post(f"/api/dead-letters/{path_part(letter_id)}/requeue", edited))
    click.echo(f"Requeued {letter_id}")


def _text(file: IO[bytes]) -> str:
    try:
        return file.read().decode()
    except UnicodeDecodeError as error:  # JSON is UTF-8
        raise click.ClickException(f"{file.name} is not UTF-8") from error


@examples("hookline dead-letters discard dead_019b76daa800f2a74de452e6b438")
@dead_letters.command()
@click.argument("letter_id")
@calls_api
def discard(caller: Caller, letter_id: str) -> None:
    """Delete it for good."""

    async def work(api: "Api") -> Any:
        return await api.delete(f"/api/dead-letters/{path_part(letter_id)}")

    caller.run(work)
    click.echo(f"Discarded {letter_id}")
