"""`hookline sources`: what feeds the service, and what is wrong with it. For operators."""

import sys
from typing import Any

import click

from service.commands.examples import examples
from service.commands.printing import print_json, print_table
from service.commands.situation import Caller, calls_api


@click.group()
def sources() -> None:
    """See how what feeds the service is: the bus, its queues, its consumers."""


@examples("hookline sources list", "hookline sources list --json")
@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@calls_api
def list_(caller: Caller, *, as_json: bool) -> None:
    """List the consumers and their queues, and how many events came in the last hour."""
    found = _asked(caller)
    if as_json:
        print_json(found)
        return
    depths = {queue["queue"]: queue for queue in found["queues"]}
    rows = [_row(consumer, depths.get(consumer["queue"], {})) for consumer in found["consumers"]]
    print_table(("CONSUMER", "STATE", "QUEUE", "WAITING", "ATTACHED", "LAST HOUR", "WHY"), rows)
    click.echo(f"\nbus: {found['bus']['kind']}, {found['bus']['address']}")
    click.echo(f"HTTP: {found['http']['keys']} API keys may publish")


@examples("hookline sources check")
@sources.command()
@click.option("--json", "as_json", is_flag=True, help='Print [{"subject", "says", "mend"}].')
@calls_api
def check(caller: Caller, *, as_json: bool) -> None:
    """Say what is wrong, and how to mend it. Exits 1 when something must be mended."""
    problems = _asked(caller)["problems"]
    if as_json:
        print_json(problems)
    elif problems:
        print_table(("SUBJECT", "PROBLEM"), [[one["subject"], f"{one['says']}. {one['mend']}"] for one in problems])
    else:
        click.echo("Nothing wants mending")
    if problems:
        click.echo(f"Error: not in order: {', '.join(one['subject'] for one in problems)}", err=True)
        sys.exit(1)


def _asked(caller: Caller) -> Any:
    return caller.run(lambda api: api.get("/api/sources"))


def _row(consumer: dict[str, Any], depth: dict[str, Any]) -> list[str]:
    state = {True: "ok", False: "fail", None: "elsewhere"}[consumer["up"]]
    waiting, attached = (str(depth.get(name, "-")) for name in ("messages", "consumers"))
    accepted = str(consumer["accepted"]) if consumer["events"] else "-"
    return [consumer["name"], state, consumer["queue"], waiting, attached, accepted, consumer["why"] or ""]
