"""The command line: one file per command, imported when it is called.

Data goes to stdout, talk and progress to stderr. Exit status: 0; 1 when a check failed; 2 for bad input, with one line
that says what was given and what is accepted.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from chipmeter._version import __version__

_COMMANDS = (
    "calibrate",
    "chips",
    "claims",
    "collective",
    "compare",
    "estimate",
    "factory",
    "formats",
    "frontier",
    "identify",
    "info",
    "plan",
    "quantize",
    "record",
    "reproducibility",
    "schema",
    "serve",
    "units",
    "validate",
    "verify",
)


class _Lazy(click.Group):
    """Import a command's module when it is called, so that --help is instant, and turn errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"chipmeter.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from chipmeter._names import unknown_name

            raise click.UsageError(str(unknown_name("command", args[0], _COMMANDS)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            raise _BadInput(" ".join(str(error).split())) from error


class _BadInput(click.ClickException):
    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"chipmeter: {self.format_message()}", err=True)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chipmeter")
def main() -> None:
    """Know what an AI chip will compute, to the last bit, and what the work will cost, before you rent one."""
