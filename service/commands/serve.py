"""`hookline serve`."""

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.examples import examples
from service.commands.situation import Situation
from service.keyfile import with_keys
from service.settings import ROLES, Role, Settings

if TYPE_CHECKING:
    from service.server import Plan

_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_MOST_PROCESSES = 64
_OF_A_CHILD: tuple[Role, ...] = ("worker",)


class _Roles(click.ParamType[tuple[Role, ...]]):
    name = "roles"

    def convert(
        self, value: str | tuple[Role, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Role, ...]:
        if isinstance(value, tuple):
            return value
        wanted = {part.strip() for part in value.split(",")}
        if unknown := sorted(wanted.difference(ROLES)):
            self.fail(f"{unknown[0]!r} is no role; there are {', '.join(ROLES)}", param, ctx)
        return tuple(role for role in ROLES if role in wanted)


@examples(
    "hookline serve",
    "hookline serve --processes 4                # with four workers beside it",
    "hookline serve --roles api                  # the others run elsewhere, on the same database",
)
@click.command()
@click.option("--roles", type=_Roles(), default=",".join(ROLES), show_default=True, help="What this process does.")
@click.option(
    "--processes",
    type=click.IntRange(0, _MOST_PROCESSES),
    default=0,
    metavar="N",
    help="Run the worker role in N processes beside this one; they are replaced when they die.",
)
@click.option("--under-parent", is_flag=True, hidden=True, help="Be one of those processes.")
@click.pass_obj
def serve(situation: Situation, roles: tuple[Role, ...], processes: int, *, under_parent: bool) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    It then stops accepting, finishes what is in flight within HOOKLINE_GRACE_PERIOD, and exits 0. Without the role
    api, HOST:PORT still answers /healthz, /readyz and /metrics.
    """
    if processes and "worker" not in roles:
        raise click.UsageError("--processes starts workers, and worker is not among the roles")
    settings = with_keys(situation.settings())
    with _shared_metrics() if processes else nullcontext():
        # only from here on: the metrics library decides when it is imported whether processes share their numbers
        import uvloop

        from service.observability import set_up_logging
        from service.server import serve as run

        set_up_logging(settings)
        _leave_no_core()
        plan = _child(settings) if under_parent else _parent(situation.config, settings, roles, processes)
        uvloop.run(run(plan))


def _leave_no_core() -> None:
    """A core dump would hold every key and secret that this process knows."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _child(settings: Settings) -> "Plan":
    from service.server import Plan

    return Plan(settings, _OF_A_CHILD, ends_with_parent=True)


def _parent(config: Path | None, settings: Settings, roles: tuple[Role, ...], processes: int) -> "Plan":
    from service.front import address, listen
    from service.server import Plan

    listener = listen(settings.host, settings.port)
    for line in settings.lines():
        click.echo(line)
    click.echo(f"Listening on {address(listener)}")
    own: tuple[Role, ...] = tuple(role for role in roles if not (processes and role == "worker"))
    return Plan(
        settings,
        own,
        listener=listener,
        workers=processes,
        worker_arguments=[*(["--config", str(config)] if config else []), "serve", "--under-parent"],
    )


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """Let all processes write their metrics into one folder."""
    if _METRICS in os.environ:  # the operator has chosen one
        yield
        return
    with tempfile.TemporaryDirectory(prefix="hookline-metrics-") as folder:
        os.environ[_METRICS] = folder
        yield
