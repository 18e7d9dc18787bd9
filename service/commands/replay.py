"""`hookline replay`: send once more what a filter of the log finds."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from service.commands.deliveries import path_part
from service.commands.examples import examples
from service.commands.filters import Filters, log_filters, named
from service.commands.printing import print_json, print_table, progress
from service.commands.situation import Caller, calls_api

if TYPE_CHECKING:
    from service.client import Api

_POLL_S = 0.5

_SKIPPED = {
    "in_progress": "sent or due at that moment anyway",
    "webhook_disabled": "to a webhook that is disabled or deleted",
    "no_longer_matching": "no longer matching when their turn came",
    "withdrawn": "withdrawn before they were sent",
}


@examples(
    "hookline replay --status failed --dry-run",
    "hookline replay --status failed --webhook-id wh_019b76daa800f2a74de452e6b438",
    "hookline replay --watch rpl_019b76daa800f2a74de452e6b438    # or --stop",
)
@click.command()
@log_filters("failed", "pending", "delivered", "cancelled")
@click.option("--dry-run", is_flag=True, help="Only count what would be sent, by error and by webhook.")
@click.option("--watch", metavar="ID", help="Begin none, but show how far one is that runs.")
@click.option("--stop", metavar="ID", help="Begin none, but stop one; what is not on its way yet stays as it was.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: what was counted, or what the replay came to.")
@calls_api
def replay(
    caller: Caller,
    watch: str | None,
    stop: str | None,
    *,
    dry_run: bool,
    as_json: bool,
    **filters: str | int | None,
) -> None:
    """Send once more what the filters find, each delivery once, and show how far it is.

    It runs in the service: Ctrl-C leaves it running. Say at least one filter; --status failed is usual.
    """
    which = named(filters)
    if stop is not None:
        _stop(caller, stop, as_json=as_json)
    elif watch is not None:
        asyncio.run(_follow(caller, watch, as_json=as_json))
    elif not which:
        raise click.UsageError("Say which deliveries: --status failed is usual, --from TIME takes all since then")
    elif dry_run:
        _preview(caller, which, as_json=as_json)
    else:
        asyncio.run(_begin(caller, which, as_json=as_json))


def _stop(caller: Caller, replay_id: str, *, as_json: bool) -> None:
    stopped = caller.run(lambda api: api.delete(_path(replay_id)))
    if as_json:
        print_json(stopped)
    else:
        click.echo(f"Stopped {replay_id}: {_sent(stopped)}")


def _preview(caller: Caller, which: Filters, *, as_json: bool) -> None:
    planned = caller.run(lambda api: api.post("/api/replays", {"filter": which, "dry_run": True}))
    if as_json:
        print_json(planned)
        return
    click.echo(f"{planned['matched']} deliveries match")
    if planned["matched"]:
        errors = [[str(one["matched"]), one["error"] or "-"] for one in planned["by_error"]]
        print_table(("MATCHED", "LAST ERROR"), errors)
        print_table(("MATCHED", "ACTIVE", "WEBHOOK", "URL"), [_webhook(one) for one in planned["by_webhook"]])


def _webhook(one: Mapping[str, Any]) -> list[str]:
    return [str(one["matched"]), "yes" if one["active"] else "no", one["webhook_id"], one["url"]]


async def _begin(caller: Caller, which: Filters, *, as_json: bool) -> None:
    planned = await caller.calling(lambda api: api.post("/api/replays", {"filter": which}))
    if not as_json:
        click.echo(f"{planned['id']}: {planned['matched']} deliveries match")
    await _follow(caller, planned["id"], as_json=as_json)


async def _follow(caller: Caller, replay_id: str, *, as_json: bool) -> None:
    """Watch a replay to its end, or until somebody has seen enough of it."""
    from service.stopping import stopping, until

    async with stopping() as stop:
        if not await until(stop, caller.calling(lambda api: _watch(api, replay_id, as_json=as_json))):
            click.echo(f"{replay_id} goes on in the service", err=True)
            click.echo(f"`hookline replay --watch {replay_id}` shows how far it is, --stop instead stops it", err=True)


async def _watch(api: "Api", replay_id: str, *, as_json: bool) -> None:
    """Show how far it is, to its end."""
    now = await api.get(_path(replay_id))
    with progress("Replaying", now["matched"]) as advance:
        advance(_through(now))
        while now["finished_at"] is None:
            await asyncio.sleep(_POLL_S)
            before, now = now, await api.get(_path(replay_id))
            advance(_through(now) - _through(before))
    if as_json:
        print_json(now)
        return
    click.echo(f"{now['state']}: {_sent(now)}")
    for reason, count in now["skipped"].items():
        if count:
            click.echo(f"skipped {count}: {_SKIPPED[reason]}")


def _through(replay: Mapping[str, Any]) -> int:
    """Of how many it is known what became of them."""
    return int(replay["delivered"] + replay["failed"] + sum(replay["skipped"].values()))


def _sent(replay: Mapping[str, Any]) -> str:
    """How far a replay is, in words.

    >>> _sent({"matched": 5, "delivered": 2, "failed": 1})
    '3 of 5 sent, 2 delivered, 1 failed'
    """
    delivered, failed = replay["delivered"], replay["failed"]
    return f"{delivered + failed} of {replay['matched']} sent, {delivered} delivered, {failed} failed"


def _path(replay_id: str) -> str:
    return f"/api/replays/{path_part(replay_id)}"
