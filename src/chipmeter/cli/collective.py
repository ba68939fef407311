"""`chipmeter collective`: what a collective takes at each size, and the algorithm chosen there."""

from __future__ import annotations

import re

import click

from chipmeter.cli.options import json_option, print_json, print_table, report_option

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
MOST = 64
"""Lines of a curve at most."""


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise click.BadParameter(f"expected a size such as 8, 64K or 1G, got {text!r}")
    return int(found[1]) * _UNITS[found[2].upper()]


def _sizes(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    """Read sizes: one, or "8:8G", doubling (or "8:8G:4", times 4).

    >>> _sizes(None, None, "8:64")
    [8, 16, 32, 64]
    >>> _sizes(None, None, "1K:1M:32")
    [1024, 32768, 1048576]
    """
    parts = value.split(":")
    if len(parts) > 3:
        raise click.BadParameter(f"expected SIZE, FROM:TO or FROM:TO:FACTOR, got {value!r}")
    first, last = _bytes(parts[0]), _bytes(parts[min(1, len(parts) - 1)])
    factor = int(parts[2]) if len(parts) == 3 and parts[2].isdigit() else 2 if len(parts) < 3 else 0
    if first < 1 or last < first or factor < 2:
        raise click.BadParameter(
            f"expected a size of at least 1, up to one not smaller, by a factor of 2 or more, got {value!r}"
        )
    found = [first]
    while found[-1] * factor <= last and len(found) <= MOST:
        found.append(found[-1] * factor)
    if len(found) > MOST:
        raise click.BadParameter(f"{value!r} gives more than {MOST} sizes")
    return found


@click.command()
@click.argument("operation")
@click.option("--system", required=True, help="A system or chip of the catalogue.")
@click.option(
    "--size",
    "sizes",
    callback=_sizes,
    default="8:8G",
    show_default=True,
    help="Bytes: SIZE, FROM:TO or FROM:TO:FACTOR.",
)
@click.option("--ranks", type=int, help="Ranks; by default all of the system.")
@click.option("--algorithm", help="Price this algorithm instead of what the library would choose.")
@report_option
@json_option
def collective(
    operation: str,
    system: str,
    sizes: list[int],
    ranks: int | None,
    algorithm: str | None,
    report_path: str | None,
    as_json: bool,
) -> None:
    """Price a collective (all_reduce, all_gather, ...) on a system, size by size."""
    from chipmeter.collectives import time

    curve = [time(algorithm, operation, size, system=system, ranks=ranks) for size in sizes]
    from chipmeter.report import collective as report

    if as_json:
        print_json(curve)
    else:
        print_table(report.table(curve))
    if report_path is not None:
        from chipmeter.report import page

        page.write(report.page(curve), report_path)
