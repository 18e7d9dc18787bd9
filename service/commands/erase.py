"""`hookline erase`: erase what is kept of a job or of a person."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from service.commands.examples import examples
from service.commands.printing import print_json, progress
from service.commands.situation import Caller, calls_api

if TYPE_CHECKING:
    from service.client import Api

_COUNTED = ("events", "deliveries", "attempts", "dead_letters", "in_progress")

#: What is being sent is over by then, with the settings as they come; looked at again so many times, in seconds.
_AGAIN, _PAUSE_S = 30, 2.0


@examples(
    "hookline erase --person-id user_42 --dry-run",
    "hookline erase --job-id ann_8f3k2m --yes",
)
@click.command()
@click.option("--job-id", metavar="ID", help="What is kept of this job.")
@click.option("--person-id", metavar="ID", help="What is kept of who annotated or reviewed.")
@click.option("--account-id", metavar="ID", help="Of this account, for operators.")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: what is gone, or would be.")
@calls_api
def erase(  # noqa: PLR0913 - its options
    caller: Caller,
    job_id: str | None,
    person_id: str | None,
    account_id: str | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase events of a job or a person, with their deliveries and attempts, whatever state they are in.

    Nothing more is sent of them. Broken off, it is simply begun again.
    """
    if (job_id is None) == (person_id is None):
        raise click.UsageError("Say either --job-id or --person-id")
    asked = {"job_id": job_id, "person_id": person_id, "account_id": account_id}
    which = {name: value for name, value in asked.items() if value is not None}
    if not (dry_run or yes):
        found = asyncio.run(caller.calling(lambda api: _through(api, which | {"dry_run": True})))
        click.confirm(f"Erase {_told(found)}?", abort=True, err=True)
    gone = asyncio.run(caller.calling(lambda api: _erased(api, which, dry_run=dry_run)))
    if as_json:
        print_json(gone)
    else:
        click.echo(f"{'Would erase' if dry_run else 'Erased'} {_told(gone)}")
    if gone["in_progress"] and not dry_run:
        raise click.ClickException(f"{gone['in_progress']} events are still being sent: do it again in a minute")


async def _erased(api: "Api", which: dict[str, Any], *, dry_run: bool) -> Counter[str]:
    """Erase all there is, and what was being sent when that is over."""
    gone = await _through(api, which | {"dry_run": dry_run})
    for _ in range(_AGAIN):
        if not gone["in_progress"] or dry_run:
            break
        await asyncio.sleep(_PAUSE_S)
        del gone["in_progress"]
        gone += await _through(api, which)
    return Counter({name: gone[name] for name in _COUNTED})


async def _through(api: "Api", which: dict[str, Any]) -> Counter[str]:
    """Go on to the end, and add up."""
    gone: Counter[str] = Counter()
    place: str | None = None
    with progress("Erasing") as advance:
        while True:
            step = await api.post("/api/erasures", which if place is None else which | {"cursor": place})
            gone.update({name: step[name] for name in _COUNTED})
            advance(step["events"])
            place = step["next"]
            if place is None:
                return gone


def _told(counts: Counter[str]) -> str:
    """What is counted, in words.

    >>> _told(Counter(events=2, deliveries=4, attempts=5))
    '2 events, 4 deliveries, 5 attempts'
    """
    told = ", ".join(f"{counts[name]} {name}" for name in ("events", "deliveries", "attempts"))
    return told + (f", {counts['dead_letters']} dead letters" if counts["dead_letters"] else "")
