"""What several commands share: lists of names, threads, output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

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


def workload_options(command: Command) -> Command:
    """Add what is measured and priced: chips, formats, phase, sizes, layers, threads."""
    for option in reversed(
        (
            click.option("--chips", callback=names, help="Chips, separated by commas, or 'all'."),
            click.option("--formats", callback=names, help="Number formats, separated by commas: bf16,fp8,mxfp8,..."),
            click.option("--phase", help="prefill, decode or train; an encoder: encode or train."),
            click.option("--batch", type=int, default=32, show_default=True, help="Sequences per step."),
            click.option("--seq", type=int, help="New tokens per sequence."),
            click.option("--context", type=int, help="Tokens per sequence already in the cache."),
            click.option("--layers", type=int, help="How many layers to measure the error on."),
            click.option("--threads", type=int, help="Threads of the emulation; default all cores."),
        )
    ):
        command = option(command)
    return command


@contextmanager
def progress_bar(first: str) -> Iterator[Callable[[str, float], None]]:
    """Show a bar on a terminal's stderr; gives a function that takes what is being done and the share finished."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:45}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(first, total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


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
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=1).decode())


NARROWEST = 128
"""Columns a table may take at least: a narrow terminal wraps lines rather than losing figures."""


def print_table(table: RenderableType) -> None:
    """Print a table on stdout, as wide as the terminal; without one, wide enough that nothing is cut."""
    from rich.console import Console

    width = max(NARROWEST, Console().width) if sys.stdout.isatty() else 160
    Console(width=width).print(table)


def place(name: str) -> dict[str, str | None]:
    """Tell a system's name from a chip's.

    >>> place("p5.48xlarge"), place("h100")
    ({'chip': None, 'system': 'p5.48xlarge'}, {'chip': 'h100', 'system': None})
    """
    from chipmeter._names import UnknownNameError
    from chipmeter.chips import system

    try:
        return {"chip": None, "system": system(name).id}
    except UnknownNameError:
        return {"chip": name, "system": None}


def nearest_format(where: Mapping[str, Any], wanted: str) -> str:
    """Name the format of a chip or system that takes the place of the one asked for.

    >>> nearest_format(place("trn3"), "nvfp4")
    'mxfp4'
    """
    from chipmeter.chips import chip, system
    from chipmeter.cost.device import FALLBACK

    there = chip(where["chip"] or system(where["system"]).chip)
    return next((name for name in FALLBACK.get(wanted, ()) if name in there.peak), wanted)


def elsewhere(name: str, where: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for another chip or system, in the formats of it that take the places of those asked for."""
    there = {**where, **place(name)}
    return {**there, "format": tuple(dict.fromkeys(nearest_format(there, one) for one in where["format"]))}
