"""The filters of the log, as options."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Filters = Mapping[str, str | int]


def log_filters(*statuses: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that say which deliveries; one that is not used is None."""
    options: Sequence[Callable[..., Any]] = (
        click.option("--status", type=click.Choice(statuses), help="In this state."),
        click.option("--event", metavar="TYPE", help="Of events of this type."),
        click.option("--webhook-id", metavar="ID", help="To this webhook."),
        click.option("--job-id", metavar="ID", help="Of events about this job."),
        click.option("--event-id", metavar="ID", help="Of this event."),
        click.option("--from", "from_", metavar="TIME", help="Made at or after this time (RFC 3339)."),
        click.option("--to", metavar="TIME", help="Made before this time."),
        click.option("--q", metavar="TEXT", help="An event, delivery or job, by its id."),
        click.option("--response-status", type=int, metavar="CODE", help="Last answered with this status."),
        click.option("--error-class", metavar="CLASS", help="What the last attempt failed with: timeout, http_5xx, …"),
        click.option("--account-id", metavar="ID", help="Of this account, for operators."),
    )

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


def named(asked: Mapping[str, str | int | None]) -> Filters:
    """What was asked, named as in the API.

    >>> named({"status": "failed", "from_": "2026-01-01T00:00:00Z", "to": None})
    {'status': 'failed', 'from': '2026-01-01T00:00:00Z'}
    """
    return {name.rstrip("_"): value for name, value in asked.items() if value is not None}
