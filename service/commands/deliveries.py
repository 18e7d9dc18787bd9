"""`hookline deliveries` and `hookline retry`: the log, and one more attempt."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from service.commands.examples import examples
from service.commands.filters import Filters, log_filters, named
from service.commands.printing import print_json, print_row, print_table
from service.commands.situation import Caller, calls_api

if TYPE_CHECKING:
    from service.client import Api

_PAGE = 100

#: With how many the service lets a stream begin.
_MOST_FIRST = 1000

#: Deliveries whose last known state is remembered while following: more than change in the overlap of two streams.
_REMEMBERED = 100_000

_COLUMNS = ("TIME", "EVENT", "STATUS", "ATTEMPTS", "ANSWER", "NEXT", "ID", "URL")
_WIDTHS = (19, 20, 9, 8, 6, 19, 32, 0)


@examples(
    "hookline deliveries --status failed",
    "hookline deliveries --event 'batch.failed' --from 2026-01-01T00:00:00Z --json",
    "hookline deliveries --follow --webhook-id wh_019b76daa800f2a74de452e6b438",
)
@click.command()
@log_filters("pending", "sending", "delivered", "failed", "cancelled")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@click.option("--follow", is_flag=True, help="Go on and print each that is new or changes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow, one delivery a line.")
@calls_api
def deliveries(caller: Caller, limit: int, *, follow: bool, as_json: bool, **filters: str | int | None) -> None:
    """Show the log of deliveries, the newest first.

    With --follow the newest come last and the log goes on from there: a line for each delivery that is made, attempted
    or cancelled. A connection that is cut is made again; nothing is left out, and nothing is shown twice.
    """
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


@examples("hookline retry dlv_019b76daa800f2a74de452e6b438")
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
    from service.commands.streaming import lasting

    known: dict[str, tuple[Any, ...]] = {}
    if not as_json:
        print_row(_COLUMNS, _WIDTHS)
    async for delivery in lasting(api, "/api/deliveries/stream", {}, last=min(limit, _MOST_FIRST), **filters):
        if not _is_news(delivery, known):
            continue
        if as_json:
            print_json(delivery)
        else:
            print_row(_cells(delivery), _WIDTHS)


def _is_news(delivery: Mapping[str, Any], known: dict[str, tuple[Any, ...]]) -> bool:
    """Whether it is not as it was when it was last seen; ``known`` is brought up to date.

    >>> one = {"id": "dlv_1", "status": "pending", "attempts_made": 0, "next_attempt_at": None}
    >>> known = {}
    >>> [_is_news(one, known), _is_news(one, known), _is_news(one | {"status": "delivered"}, known)]
    [True, False, True]
    """
    state = (delivery["status"], delivery["attempts_made"], delivery["next_attempt_at"])
    before = known.pop(delivery["id"], None)
    known[delivery["id"]] = state
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
    return state != before


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
