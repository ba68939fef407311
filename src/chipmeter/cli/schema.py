"""`chipmeter schema`: what `--json` prints, as JSON Schema."""

from __future__ import annotations

import click

from chipmeter.cli.options import print_json


@click.command()
@click.argument("command", nargs=-1)
def schema(command: tuple[str, ...]) -> None:
    """Print the JSON Schema of what COMMAND prints with --json; without COMMAND, of all commands.

    COMMAND is one of those of chipmeter, or 'chips show', or 'claims NAME' for a single claim.
    """
    from chipmeter.cli.outputs import OUTPUTS
    from chipmeter.cli.outputs import schema as of

    print_json(of(" ".join(command)) if command else {name: of(name) for name in OUTPUTS})
