"""`hookline doctor`."""

import asyncio
import sys

import click

from service.commands.examples import examples
from service.commands.printing import print_json, print_table
from service.commands.situation import Situation


@examples("hookline doctor", "hookline --config hookline.toml doctor --json")
@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print [{"level", "subject", "says", "mend"}].')
@click.pass_obj
def doctor(situation: Situation, *, as_json: bool) -> None:
    """Say what is wrong, and how to mend it.

    Looks at everything that the service needs and changes nothing. Exits 1 when something must be mended.
    """
    from service.doctor import examine

    findings = asyncio.run(examine(situation.config))
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        rows = [[finding.level, finding.subject, finding.line] for finding in findings]
        print_table(("", "SUBJECT", "FINDING"), rows)
    failed = [finding.subject for finding in findings if finding.level == "fail"]
    if failed:
        click.echo(f"Error: not in order: {', '.join(failed)}", err=True)
        sys.exit(1)
