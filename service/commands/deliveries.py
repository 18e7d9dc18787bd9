"""`hookline deliveries` and `hookline retry`: the log, and one more attempt."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from service.commands.filters import Filters, log_filters, named
from service.commands.printing import print_json, print_row, print_table
from service.commands.situation import Caller, calls_api

if TYPE_CHECKING:
    from service.client import Api

_PAGE = 100
_POLL_S = 1.0

#: Deliveries whose last known state is remembered while following; older ones no longer change.
_REMEMBERED = 10_000

_COLUMNS = ("TIME", "EVENT", "STATUS", "ATTEMPTS", "ANSWER", "NEXT", "ID", "URL")
_WIDTHS = (19, 20, 9, 8, 6, 19, 32, 0)


@click.command()
@log_filters("pending", "sending", "delivered", "failed", "cancelled")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@click.option("--follow", is_flag=True, help="Go on and print what changes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow, one delivery a line.")
@calls_api
def deliveries(caller: Caller, limit: int, *, follow: bool, as_json: bool, **filters: str | int | None) -> None:
    """Show the log of deliveries."""
    wanted = named(filters)
    if follow:
        from service.stopping import until_stopped

        asyncio.run(until_stopped(caller.calling(lambda api: _follow(api, wanted, limit, as_json=as_json))))
        return
    page = caller.run(lambda api: _newest(api, wanted, limit))
    if as_json:
        print_json(page)
    else:
        print_table(_COLUMNS, [_cells(delivery) for delivery in page["items"]])


@click.command()
@click.argument("delivery_id")
@click.option("--json", "as_json", is_flag=True, help="Print the delivery as JSON.")
@calls_api
def retry(caller: Caller, delivery_id: str, *, as_json: bool) -> None:
    """Make one more attempt now. The automatic schedule stays as it was."""
    answer = caller.run(lambda api: api.post(f"/api/deliveries/{path_part(delivery_id)}/retry"))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"One more attempt is being made; `hookline deliveries --q {delivery_id}` shows what became of it")


async def _newest(api: "Api", filters: Filters, limit: int) -> dict[str, Any]:
    """The newest deliveries, and the cursor of the rest."""
    items: list[Any] = []
    cursor = None
    while len(items) < limit:
        page = await api.get("/api/deliveries", **filters, limit=min(_PAGE, limit - len(items)), cursor=cursor)
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    return {"items": items, "next": cursor}


async def _follow(api: "Api", filters: Filters, limit: int, *, as_json: bool) -> None:
    known: dict[str, tuple[Any, ...]] = {}
    if not as_json:
        print_row(_COLUMNS, _WIDTHS)
    while True:
        page = await _newest(api, filters, max(limit, _PAGE))
        for delivery in _changed(page["items"], known):
            if as_json:
                print_json(delivery)
            else:
                print_row(_cells(delivery), _WIDTHS)
        await asyncio.sleep(_POLL_S)


def _changed(newest_first: Sequence[Any], known: dict[str, tuple[Any, ...]]) -> Iterator[Any]:
    """What is not as it was when it was last seen, oldest first; ``known`` is brought up to date.

    >>> one = {"id": "dlv_1", "status": "pending", "attempts_made": 0, "next_attempt_at": None}
    >>> known = {}
    >>> [len(list(_changed([one], known))), len(list(_changed([one], known)))]
    [1, 0]
    """
    for delivery in reversed(newest_first):
        state = (delivery["status"], delivery["attempts_made"], delivery["next_attempt_at"])
        if known.get(delivery["id"]) != state:
            known[delivery["id"]] = state
            yield delivery
    while len(known) > _REMEMBERED:
        del known[next(iter(known))]


def _cells(delivery: Mapping[str, Any]) -> list[str]:
    return [
        short_time(delivery["created_at"]),
        delivery["event"],
        delivery["status"],
        str(delivery["attempts_made"]),
        str(delivery["last_response_status"] or "-"),
        short_time(delivery["next_attempt_at"]),
        delivery["id"],
        delivery["url"],
    ]


def short_time(text: str | None) -> str:
    """A moment of the API in local time, to the second."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}" if text else "-"


def path_part(text: str) -> str:
    """An id, fit to stand in a path.

    >>> path_part("dlv_1/../../keys")
    'dlv_1%2F..%2F..%2Fkeys'
    """
    from urllib.parse import quote

    return quote(text, safe="")
