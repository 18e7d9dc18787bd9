"""What commands print: tables on a terminal, plain aligned lines elsewhere, JSON where a program reads."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

#: How often long work says how far it is where there is no terminal, in seconds.
LINE_EVERY_S = 5.0

#: How a state, a level or an answer looks on a terminal.
_COLOURS = {
    "delivered": "green",
    "verified": "green",
    "ok": "green",
    "pending": "yellow",
    "sending": "yellow",
    "warn": "yellow",
    "failed": "red",
    "fail": "red",
    "WRONG": "red",
    "retry": "yellow",
    "retried": "yellow",
    "cancelled": "dim",
}


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    if sys.stdout.isatty():
        table = Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*(coloured(cell) for cell in row))
        # never narrower than what is in it: a terminal breaks the line, but an id stays whole and can be copied
        Console(width=max(Console().width, sum(widths) + 2 * len(widths))).print(table, crop=False)
        return
    for row in (columns, *rows):
        click.echo(aligned(row, widths))


def print_row(cells: Sequence[str], widths: Sequence[int]) -> None:
    """Print one row of a list that has no end."""
    if not sys.stdout.isatty():
        click.echo(aligned(cells, widths))
        return
    line = Text("  ").join(_padded(cell, width) for cell, width in zip(cells, widths, strict=True))
    line.rstrip()
    Console(soft_wrap=True).print(line, highlight=False)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how many are done, of a total that may be unknown; gives what to call with how many more each time.

    On a terminal that is a bar; elsewhere it is a line on standard error now and then, and none where all is done soon.
    """
    if not sys.stderr.isatty():
        yield _in_lines(what, total)
        return
    how_far = SpinnerColumn() if total is None else BarColumn()
    columns = (TextColumn("{task.description}"), how_far, MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _in_lines(what: str, total: int | None) -> Callable[[int], None]:
    done, said_at = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said_at
        done += count
        if time.monotonic() - said_at >= LINE_EVERY_S:
            click.echo(f"{what}: {done:,}" + ("" if total is None else f" of {total:,}"), err=True)
            said_at = time.monotonic()

    return advance


def _padded(cell: str, width: int) -> Text:
    text = coloured(cell)
    text.pad_right(max(0, width - len(cell)))
    return text


def coloured(cell: str) -> Text:
    """Give a cell its colour."""
    return Text(cell, style=_COLOURS.get(cell.partition(" ")[0], ""))


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line, without colours.

    >>> aligned(["a", "b", ""], [3, 3, 3])
    'a    b'
    """
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
