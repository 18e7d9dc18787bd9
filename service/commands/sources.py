"""`hookline sources`: connected annotation tools, how they are, and what can be done with them."""

import asyncio
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.commands.deliveries import path_part, short_time
from service.commands.examples import examples
from service.commands.printing import print_json, print_table, progress
from service.commands.situation import Caller, calls_api
from service.trouble import Trouble

if TYPE_CHECKING:
    from service.client import Api

_PAGE = 100
_LOOK_S = 0.3
_AN_ID = "src_019b76daa800f2a74de452e6b438"


@click.group()
def sources() -> None:
    """Connect annotation tools, and see how they are."""


@examples("hookline sources list", "hookline sources list --json")
@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@calls_api
def list_(caller: Caller, *, as_json: bool) -> None:
    """List them: how the last poll of each went, and what it published. For operators, the bus and consumers, too."""
    found, bus = caller.run(_everything)
    if as_json:
        print_json({"sources": found, "bus": bus})
        return
    if found:
        print_table(("STATE", "SYSTEM", "NAME", "EVENTS", "LAST POLLED", "ID", "TROUBLE"), [_row(one) for one in found])
    else:
        click.echo("No sources; connect an annotation tool with `hookline sources add`")
    if bus:
        click.echo()
        _print_bus(bus)


@examples(
    "hookline sources add taskmonk https://api.taskmonk.io --credential client_id=acme "
    "--credential client_secret=@secret.txt --setting project_id=42",
)
@sources.command()
@click.argument("system")
@click.argument("address", metavar="URL")
@click.option("--name", default="", help="What you call it.")
@click.option("--credential", "credentials", multiple=True, metavar="NAME=VALUE", help="VALUE may be @FILE; - asks.")
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="VALUE is JSON, or else a text.")
@click.option("--account-id", metavar="ID", help="Connect it for this account, for operators.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@calls_api
def add(  # noqa: PLR0913 - its options
    caller: Caller,
    *,
    system: str,
    address: str,
    name: str,
    credentials: Sequence[str],
    settings: Sequence[str],
    account_id: str | None,
    as_json: bool,
) -> None:
    """Connect an annotation tool of a SYSTEM at a URL. What is there already counts as known.

    `curl URL/api/systems` has what each system wants. Secrets stay out of your shell's history with @FILE, or with -,
    which asks for them.
    """
    wanted = {
        "system": system,
        "url": address,
        "name": name,
        "credentials": {key: _secret(key, value) for key, value in _pairs(credentials)},
        "settings": {key: _value(value) for key, value in _pairs(settings)},
    } | ({"account_id": account_id} if account_id else {})
    made = caller.run(lambda api: api.post("/api/sources", wanted))
    if as_json:
        print_json(made)
    else:
        click.echo(f"Connected {made['id']}; see how it is with `hookline sources check {made['id']}`")


@examples("hookline sources check", f"hookline sources check {_AN_ID}")
@sources.command()
@click.argument("source_id", required=False)
@click.option("--json", "as_json", is_flag=True, help='Print [{"subject", "says", "mend"}].')
@calls_api
def check(caller: Caller, source_id: str | None, *, as_json: bool) -> None:
    """Ask sources for little, now, and say what is wrong and how to mend it; for operators, the bus, too.

    A source that was given up is polled again if it is in order now. Exits 1 when something must be mended.
    """
    findings, problems = caller.run(lambda api: _checked(api, source_id))
    if as_json:
        print_json(problems)
    else:
        for one in findings:
            click.echo(f"{'ok' if one['ok'] else 'fail'}  {one['source']['name']}: {one['says']}")
        if problems:
            print_table(("SUBJECT", "PROBLEM"), [[one["subject"], f"{one['says']}. {one['mend']}"] for one in problems])
        else:
            click.echo("Nothing wants mending")
    _exit_over(one["subject"] for one in problems)


@examples("hookline sources poll", f"hookline sources poll {_AN_ID} --json")
@sources.command()
@click.argument("source_ids", nargs=-1, metavar="[ID]...")
@click.option("--timeout", "patience_s", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the sources as JSON.")
@calls_api
def poll(caller: Caller, source_ids: Sequence[str], patience_s: float, *, as_json: bool) -> None:
    """Poll sources now, all that are not paused or those that are named, and wait until that was done.

    Exits 1 when one of them is in trouble.
    """
    polled = caller.run(lambda api: _polled(api, source_ids, patience_s))
    if as_json:
        print_json([after for _, after in polled])
    elif polled:
        rows = [
            [*_row(after)[:3], str(after["events"] - before["events"]), after["trouble"] or ""]
            for before, after in polled
        ]
        print_table(("STATE", "SYSTEM", "NAME", "NEW EVENTS", "TROUBLE"), rows)
    else:
        click.echo("There is no source to poll")
    _exit_over(after["name"] for _, after in polled if after["trouble"])


@examples(f"hookline sources pause {_AN_ID}")
@sources.command()
@click.argument("source_id")
@calls_api
def pause(caller: Caller, source_id: str) -> None:
    """Poll it no more, until it is resumed; it then goes on where it was."""
    caller.run(lambda api: api.patch(_path(source_id), {"active": False}))
    click.echo(f"Paused {source_id}")


@examples(f"hookline sources resume {_AN_ID}")
@sources.command()
@click.argument("source_id")
@calls_api
def resume(caller: Caller, source_id: str) -> None:
    """Poll it again."""
    caller.run(lambda api: api.patch(_path(source_id), {"active": True}))
    click.echo(f"Resumed {source_id}")


@examples(f"hookline sources remove {_AN_ID}")
@sources.command()
@click.argument("source_id")
@calls_api
def remove(caller: Caller, source_id: str) -> None:
    """Disconnect it. What it published stays."""
    caller.run(lambda api: api.delete(_path(source_id)))
    click.echo(f"Disconnected {source_id}")


# -- how ---------------------------------------------------------------------------------------------------------------


async def _all(api: "Api") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await api.get("/api/sources", limit=_PAGE, cursor=cursor)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


async def _checked(api: "Api", source_id: str | None) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """What each source says, and everything that wants mending."""
    wanted = [source_id] if source_id else [one["id"] for one in await _all(api) if one["active"]]
    findings = []
    with progress("Checking", len(wanted)) as done:
        for one in wanted:
            findings.append(await api.post(f"{_path(one)}/check"))
            done(1)
    problems = [
        {
            "subject": found["source"]["name"],
            "says": found["says"],
            "mend": "Mend it there, or correct its URL, settings or credentials",
        }
        for found in findings
        if not found["ok"]
    ]
    bus = None if source_id else await _bus(api)
    return findings, [*problems, *(bus["problems"] if bus else [])]


async def _everything(api: "Api") -> tuple[list[dict[str, Any]], Any]:
    return await _all(api), await _bus(api)


async def _bus(api: "Api") -> Any:
    """The bus as it is, where the key may know that; else None."""
    from service.client import ApiError

    try:
        return await api.get("/api/bus")
    except ApiError as error:
        if error.code != "forbidden":
            raise
        return None


def _print_bus(found: Mapping[str, Any]) -> None:
    depths = {queue["queue"]: queue for queue in found["queues"]}
    rows = [_consumer_row(consumer, depths.get(consumer["queue"], {})) for consumer in found["consumers"]]
    print_table(("CONSUMER", "STATE", "QUEUE", "WAITING", "ATTACHED", "LAST HOUR", "WHY"), rows)
    click.echo(f"\nbus: {found['bus']['kind']}, {found['bus']['address']}")
    click.echo(f"HTTP: {found['http']['keys']} API keys may publish")


def _consumer_row(consumer: Mapping[str, Any], depth: Mapping[str, Any]) -> list[str]:
    state = {True: "ok", False: "fail", None: "elsewhere"}[consumer["up"]]
    waiting, attached = (str(depth.get(name, "-")) for name in ("messages", "consumers"))
    accepted = str(consumer["accepted"]) if consumer["events"] else "-"
    return [consumer["name"], state, consumer["queue"], waiting, attached, accepted, consumer["why"] or ""]


async def _polled(api: "Api", source_ids: Sequence[str], patience_s: float) -> list[tuple[Any, Any]]:
    """Each source before and after it was polled."""
    wanted = source_ids or [one["id"] for one in await _all(api) if one["active"]]
    before = [await api.get(_path(source_id)) for source_id in wanted]
    for source in before:
        await api.post(f"{_path(source['id'])}/poll")
    give_up_at = time.monotonic() + patience_s
    found = []
    with progress("Polling", len(before)) as done:
        for source in before:
            found.append((source, await _once_polled(api, source, give_up_at)))
            done(1)
    return found


async def _once_polled(api: "Api", before: Mapping[str, Any], give_up_at: float) -> Any:
    while not _was_polled(before, after := await api.get(_path(before["id"]))):
        if time.monotonic() > give_up_at:
            raise Trouble(
                f"{before['name']} was not polled in time. See that a process with the role scheduler runs; "
                "it is polled as soon as one does"
            )
        await asyncio.sleep(_LOOK_S)
    return after


def _was_polled(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a poll has ended since, and not one that was under way: after that it is due at once."""
    due = after["next_poll_at"]
    return bool(after["polled_at"] != before["polled_at"] and (due is None or due > after["polled_at"]))


def _row(one: Mapping[str, Any]) -> list[str]:
    state = one["state"] if one["active"] else "paused"
    polled = short_time(one["polled_at"]) if one["polled_at"] else "-"
    return [state, one["system"], one["name"], str(one["events"]), polled, one["id"], one["trouble"] or ""]


def _path(source_id: str) -> str:
    return f"/api/sources/{path_part(source_id)}"


def _pairs(given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"Write NAME=VALUE, not {name[:40]!r}")
        yield name, value


def _secret(name: str, value: str) -> str:
    """A credential: as it stands there, from a file, or typed where nobody sees it."""
    if value == "-":
        return str(click.prompt(name, hide_input=True, err=True))
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"Cannot read {value[1:]}: {error}") from error


def _value(text: str) -> Any:
    """A setting.

    >>> _value("true"), _value("42"), _value('["a"]'), _value("europe/berlin")
    (True, 42, ['a'], 'europe/berlin')
    """
    try:
        return json.loads(text)
    except ValueError:  # a text need not be in quotes
        return text


def _exit_over(subjects: Iterable[str]) -> None:
    names = list(subjects)
    if names:
        click.echo(f"Error: not in order: {', '.join(names)}", err=True)
        sys.exit(1)
