"""How a command is called, under its help."""

from collections.abc import Callable
from typing import TypeVar

import click

C = TypeVar("C", bound=click.Command)


def examples(*lines: str) -> Callable[[C], C]:
    """Show a command with these lines of shell; what stands after ``#`` says what it is for."""

    def show(command: C) -> C:
        # the control character keeps click from filling the lines as a paragraph
        command.epilog = "\n".join(
            ("\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {one}" for one in lines))
        )
        return command

    return show
