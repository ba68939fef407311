"""`chipmeter calibrate`: constants of the cost model refitted from measurements."""

from __future__ import annotations

from pathlib import Path

import click

from chipmeter.cli.options import json_option, print_json


@click.command()
@click.argument("measured", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("calibration"), show_default=True, help="Folder to write to."
)
@json_option
def calibrate(measured: Path, out: Path, as_json: bool) -> None:
    """Refit the constants that MEASURED determines: a CSV file, or a folder of them; one file per chip is written."""
    import msgspec

    from chipmeter.validate.calibrate import refit, refit_collectives, save

    books = refit(measured)
    paths = save(books, out)
    if refit_collectives(measured, out / "timing.toml"):
        paths.append(out / "timing.toml")
    if as_json:
        print_json(msgspec.to_builtins(books))
        return
    for chip, kinds in sorted(books.items()):
        for kind, variants in sorted(kinds.items()):
            for name, one in sorted(variants.items()):
                click.echo(
                    f"{chip} {kind} {name}: {one.rows} rows, median error {one.median_error:.1%}, "
                    f"90 % within {one.low:+.1%} to {one.high:+.1%}"
                )
    click.echo(f"wrote {', '.join(path.name for path in paths)} in {out}", err=True)
