"""The command line: every command on one page."""

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import click
import structlog

from service.commands.accounts import bootstrap, keys
from service.commands.completion import completion
from service.commands.dead_letters import dead_letters
from service.commands.deliveries import deliveries, retry
from service.commands.demo import demo
from service.commands.doctor import doctor
from service.commands.erase import erase
from service.commands.examples import examples
from service.commands.listen import listen
from service.commands.migrate import migrate
from service.commands.publish import publish, trigger
from service.commands.replay import replay
from service.commands.secrets import secrets
from service.commands.serve import serve
from service.commands.situation import Situation
from service.commands.sources import sources
from service.commands.troubles import explain


@examples(
    "hookline demo                           # see it all at work, in one process",
    "hookline serve                          # run it",
    "hookline listen --forward http://127.0.0.1:3000/webhooks",
    "hookline completion --help              # the Tab key completes commands and options",
)
@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(version("hookline"), prog_name="hookline")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of settings, named as the environment variables, in lower case and without HOOKLINE_.",
)
@click.pass_context
def hookline(context: click.Context, config: Path | None) -> None:
    """Deliver webhooks: nothing accepted is lost, nothing hostile gets through."""
    # a command prints what it has to say; what its parts would log is for the service, which sets that up itself
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger().addHandler(logging.NullHandler())
    context.obj = Situation(config)


for command in (
    demo,
    serve,
    migrate,
    bootstrap,
    keys,
    publish,
    trigger,
    listen,
    deliveries,
    retry,
    replay,
    erase,
    dead_letters,
    sources,
    secrets,
    doctor,
    completion,
):
    hookline.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command: 0 is success, 2 wrong usage, 1 a failure that one line on standard error explains."""
    try:
        hookline(arguments)
    except Exception as error:
        # the expected kinds of trouble get one line; a fault of ours must keep its traceback
        line = explain(error)
        if line is None:
            raise
        click.echo(f"Error: {line}", err=True)
        sys.exit(1)
