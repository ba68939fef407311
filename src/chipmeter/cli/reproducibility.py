"""`chipmeter reproducibility`: how far the answers of one all-reduce differ from algorithm to algorithm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chipmeter.cli.options import json_option, print_json, print_table

_MADE = (8, 1 << 16)
"""Ranks and elements of the shards that are made where none are given."""


def _way(text: str) -> dict[str, Any]:
    """Read an algorithm and its options.

    >>> _way("ring:ranks=4")
    {'algorithm': 'ring', 'ranks': 4}
    """
    name, _, rest = text.partition(":")
    found: dict[str, Any] = {"algorithm": name}
    nccl: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        number = int(value) if value.isdigit() else 0
        if key == "ranks" and number:
            found["ranks"] = number
        elif key == "channels" and number:
            nccl["channels"] = number
        elif key == "protocol" and value:
            nccl["protocol"] = value
        elif key == "accumulate" and value:
            found["accumulate"] = value
        else:
            raise click.BadParameter(
                f"expected ALGORITHM or ALGORITHM:OPTION=VALUE,... with ranks, channels, protocol or accumulate, got {text!r}"
            )
    if nccl:
        from chipmeter.collectives import Nccl

        found["nccl"] = Nccl(**nccl)
    return found


@click.command()
@click.argument("ways", nargs=-1, required=True)
@click.option(
    "--shards",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"A .npy file, (ranks, ...); by default {_MADE[0]} ranks of {_MADE[1]} normal numbers.",
)
@click.option("--dtype", help="Cast the shards to this format first.")
@click.option("--op", default="sum", show_default=True, help="sum, prod, min, max or avg.")
@json_option
def reproducibility(ways: tuple[str, ...], shards: Path | None, dtype: str | None, op: str, as_json: bool) -> None:
    """Compare an all-reduce done in several WAYS, such as ring, nccl/ring:channels=8,protocol=ll or ring:ranks=4."""
    import numpy as np

    from chipmeter.collectives import reproducibility as compare

    if len(set(ways)) < 2:
        raise click.UsageError(f"at least two different ways are compared, got {' '.join(ways)}")
    x = np.load(shards) if shards is not None else np.random.default_rng(0).standard_normal(_MADE, np.float32)
    found = compare(x, {way: _way(way) for way in ways}, dtype=dtype, op=op)
    if as_json:
        print_json(
            [
                {"ways": pair, "max_ulp": one.max_ulp, "share": one.share, "sqnr_db": one.sqnr if one.share else None}
                for pair, one in found.items()
            ]
        )
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("one way")
    table.add_column("the other")
    for title in ("max ulp", "differing", "SQNR"):
        table.add_column(title, justify="right")
    for (a, b), one in found.items():
        table.add_row(a, b, f"{one.max_ulp:,}", f"{one.share:.2%}", f"{one.sqnr:.1f} dB")
    print_table(table)
