"""`hookline secrets`: signing secrets and credentials, as they are stored."""

import asyncio
from typing import TYPE_CHECKING

import click

from service.commands.examples import examples
from service.commands.printing import print_json, progress
from service.commands.situation import Situation
from service.settings import Settings

if TYPE_CHECKING:
    from delivery.resealing import Resealed, Survey


@click.group()
def secrets() -> None:
    """See to how signing secrets and credentials are stored."""


@examples("HOOKLINE_MASTER_KEYS=new:…,old:… hookline secrets rotate")
@secrets.command()
@click.option("--json", "as_json", is_flag=True, help='Print {"key", "resealed", "unreadable", "sealed_with"}.')
@click.pass_obj
def rotate(situation: Situation, *, as_json: bool) -> None:
    """Re-encrypt stored secrets with the newest master key, the first one of HOOKLINE_MASTER_KEYS.

    The service may run meanwhile, if all its processes have that key among theirs. Broken off, it can be started again.
    When it has succeeded, the older keys can be taken out of the settings.
    """
    resealed, survey = asyncio.run(_rotate(situation.settings()))
    if as_json:
        print_json(
            {
                "key": survey.newest,
                "resealed": resealed.secrets,
                "unreadable": list(resealed.unreadable),
                "sealed_with": dict(survey.sealed),
            }
        )
    else:
        click.echo(f"Sealed {resealed.secrets} secrets anew with {survey.newest}")
    if resealed.unreadable:
        count, first = len(resealed.unreadable), resealed.unreadable[0]
        missing = ", ".join(sorted(survey.missing)) or "none: the stored text is damaged"
        raise click.ClickException(
            f"Secrets of {count} webhooks or sources, the first is {first}, cannot be opened; keys missing: {missing}"
        )
    if survey.older:
        raise click.ClickException(f"{survey.older} secrets were sealed with an older key meanwhile; run it again")


async def _rotate(settings: Settings) -> "tuple[Resealed, Survey]":
    from delivery.domain.sealing import KeyRing
    from delivery.resealing import Resealing
    from service.database import open_database
    from service.keyfile import with_keys
    from service.runtime import system_surroundings

    ring = KeyRing.parse(with_keys(settings).master_keys or "")
    async with open_database(settings) as store:
        resealing = Resealing(store, ring, system_surroundings())
        with progress("Sealing secrets anew") as count:
            resealed = await resealing.run(count)
        return resealed, await resealing.survey()
