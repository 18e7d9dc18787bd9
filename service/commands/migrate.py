"""`hookline migrate`."""

import asyncio

import click

from service.commands.printing import print_json
from service.commands.situation import Situation
from service.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print {"from", "to"}.')
@click.pass_obj
def migrate(situation: Situation, *, as_json: bool) -> None:
    """Bring the database to the newest schema. Safe to run again, and by several at once."""
    before, after = asyncio.run(_migrate(situation.settings()))
    if as_json:
        print_json({"from": before, "to": after})
    elif before == after:
        click.echo(f"The database is at the newest schema already: {after}")
    else:
        click.echo(f"Migrated from {before or 'an empty database'} to {after}")


async def _migrate(settings: Settings) -> tuple[str | None, str | None]:
    from delivery.store.engine import open_store
    from service import schema

    store = open_store(settings.database_url, pool_size=1, patience_s=None)
    try:
        before = await schema.version(store)
        await schema.migrate(store)
        after = await schema.version(store)
    finally:
        await store.close()
    return before.found, after.found
