"""`chipmeter record`: a device's answers, kept for `chipmeter verify`."""

from __future__ import annotations

import click

from chipmeter.cli.options import json_option, print_json


@click.command()
@click.argument("spec")
@click.argument("directory")
@click.option("--types", help="Types a.b.c.d, for example f16.f16.f32.f32 (a or a.d for short).")
@json_option
def record(spec: str, directory: str, types: str | None, as_json: bool) -> None:
    """Run SPEC on the products that identify compares and write its answers to DIRECTORY.

    SPEC as for `chipmeter identify`. The recording is one that `chipmeter verify` reads; it says the hardware, driver,
    date and command.
    """
    from chipmeter.identification import open_source
    from chipmeter.identification import record as run

    command = f"chipmeter record {spec} {directory}" + (f" --types {types}" if types else "")
    written = str(run(open_source(spec, types), directory, command=command))
    if as_json:
        print_json({"directory": written})
    else:
        click.echo(written)
