"""`hookline migrate`."""

import asyncio
import sys

import click

from service.commands.examples import examples
from service.commands.printing import print_json, progress
from service.commands.situation import Situation
from service.settings import Settings


@examples("HOOKLINE_DATABASE_URL=postgresql+asyncpg://hookline@db/hookline hookline migrate")
@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print {"from", "to"}.')
@click.pass_obj
def migrate(situation: Situation, *, as_json: bool) -> None:
    """Bring the database to the newest schema. Safe to run again, and by several at once."""
    before, after = asyncio.run(_migrate(situation.settings(), as_json=as_json))
    if as_json:
        print_json({"from": before, "to": after})
    elif before == after:
        click.echo(f"The database is at the newest schema already: {after}")
    else:
        click.echo(f"Migrated from {before or 'an empty database'} to {after}")


async def _migrate(settings: Settings, *, as_json: bool) -> tuple[str | None, str | None]:
    from delivery.store.engine import open_store
    from service import schema

    store = open_store(settings.database_url, pool_size=1, patience_s=None)
    try:
        before = await schema.version(store)
        with progress("Migrating", await schema.steps_ahead(before.found)) as advance:

            def made(step: str) -> None:
                advance(1)
                if not as_json and not sys.stderr.isatty():
                    click.echo(step)

            await schema.migrate(store, on_step=made)
        after = await schema.version(store)
    finally:
        await store.close()
    return before.found, after.found
