"""Write the table of measured against predicted collectives: `python tools/collective_times.py TABLES`.

Reads op_collectives.csv and collectives.csv in the folder TABLES, and writes into docs/collectives-time.md.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from chipmeter.collectives import timing
from chipmeter.validate.network import TABLES, Row, read_rows
from chipmeter.validate.tables import read_table

DOC = Path(__file__).parent.parent / "docs/collectives-time.md"
SMALL = 2**20
SHOWN = (512, 2**16, 2**20, 2**24, 2**29, 2**33)


def errors(folder: Path) -> list[tuple[Row, float]]:
    """Predict every row that measures a collective of a stated size, with the packaged constants."""
    found = [row for name in TABLES for row in read_rows(read_table(folder / f"{name}.csv"))]
    return [
        (row, float(timing.seconds(row.operation, row.bytes, row.on, row.ranks, row.algorithm)))
        for row in found
        if row.alone or row.operation == "all_gather"
    ]


def medians(found: list[tuple[Row, float]]) -> tuple[float, float]:
    """Median |predicted / measured - 1| below 1 MiB and from there on; NaN without rows."""
    sized = [(row.bytes < SMALL, abs(took / row.seconds - 1)) for row, took in found]
    return tuple(
        float(np.median(part)) if (part := [e for s, e in sized if s is small]) else np.nan for small in (True, False)
    )  # type: ignore[return-value]


def table(folder: Path) -> str:
    """Lay out the errors by source and operation, and some rows of 8 and more ranks beside what is predicted."""
    found = errors(folder)
    lines = ["| source | operation | rows | below 1 MiB | from 1 MiB |", "|---|---|---|---|---|"]
    grouped: dict[tuple[str, str], list[tuple[Row, float]]] = defaultdict(list)
    for row, took in found:
        grouped[row.label, row.operation].append((row, took))
        grouped["op_collectives.csv" if "Neuron" not in row.label else "collectives.csv", "all"].append((row, took))
    whole = [key for key in grouped if key[1] == "all"]
    for key in [*whole, *(key for key in grouped if key not in whole)]:
        cells = ["-" if np.isnan(e) else f"{100 * e:.1f} %" for e in medians(grouped[key])]
        name = f"**{key[0]}**" if key in whole else key[0]
        lines.append(f"| {name} | {key[1]} | {len(grouped[key])} | {cells[0]} | {cells[1]} |")
    lines += [
        "",
        "| source | operation | ranks | bytes | measured us | predicted us | algorithm |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, took in found:
        if row.ranks >= 8 and row.bytes in SHOWN:
            quotes = timing.quotes(row.on, row.operation, row.ranks, row.algorithm)
            chosen = quotes[int(timing.best(quotes, np.array([row.bytes]))[1][0])].choice
            lines.append(
                f"| {row.label} | {row.operation} | {row.ranks} | {row.bytes:.0f} | {row.seconds * 1e6:.4g} | "
                f"{took * 1e6:.4g} | {chosen.algorithm} {chosen.protocol} |"
            )
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Write the table into the page."""
    text = DOC.read_text(encoding="utf-8")
    begin, end = "<!-- table: begin -->\n", "<!-- table: end -->"
    head, tail = text.index(begin) + len(begin), text.index(end)
    DOC.write_text(text[:head] + table(folder) + text[tail:], encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
