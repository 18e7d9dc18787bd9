"""`hookline completion`: let a shell complete commands, options and their values."""

import click
from click.shell_completion import get_completion_class

from service.commands.examples import examples


@examples(
    'eval "$(hookline completion bash)"    # in ~/.bashrc',
    'eval "$(hookline completion zsh)"     # in ~/.zshrc, after compinit',
    "hookline completion fish | source     # in ~/.config/fish/config.fish",
)
@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and their values.

    Switch it on for good by one line in the shell's own file, as below; it holds for every shell that is opened then.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "hookline", "_HOOKLINE_COMPLETE").source())
