"""What several commands share: lists of names, threads, output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console, RenderableType

Command = TypeVar("Command", bound=Callable[..., Any])


def names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """Split a comma-separated list.

    >>> names(None, None, "h100, trn3")
    ['h100', 'trn3']
    """
    if value is None:
        return None
    found = [name.strip() for name in value.split(",") if name.strip()]
    if not found:
        raise click.BadParameter("expected names separated by commas")
    return found


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def report_option(command: Command) -> Command:
    """Add --report."""
    return click.option(
        "--report", "report_path", type=click.Path(dir_okay=False), help="Also write a self-contained HTML page there."
    )(command)


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=1).decode())


NARROWEST = 128
"""Columns a table may take at least: a narrow terminal wraps lines rather than losing figures."""


def print_table(table: RenderableType) -> None:
    """Print a table on stdout, as wide as the terminal; without one, wide enough that nothing is cut."""
    width = max(NARROWEST, Console().width) if sys.stdout.isatty() else 160
    Console(width=width).print(table)
