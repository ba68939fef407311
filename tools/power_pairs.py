"""Write the table of pairs by power into docs/validation.md: how far repeats are apart, and how many pairs are ranked right.

    python tools/power_pairs.py FOLDER docs/validation.md

FOLDER holds `energy_op_power.csv`. Pairs are those that `chipmeter validate` ranks: of one chip, operation and format.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.fitting import Array
from chipmeter.validate.ops import power_table
from chipmeter.validate.run import configurations
from chipmeter.validate.score import TIE
from chipmeter.validate.tables import Table, read_table

START, END = "<!-- pairs by power: tools/power_pairs.py -->", "<!-- end of pairs by power -->"
SAME = ("accel", "op", "dtype", "m", "n", "k", "source")
STEPS = (TIE, 0.1, 0.2, 0.4, 0.8)
SAME_TIME = 0.05
"""Rows whose latencies differ by more measured other kernels, whatever their columns say."""


def repeats(table: Table) -> tuple[list[float], int]:
    """List how far watts of rows alike in every column and in time are apart, and count those that differ in time."""
    alike = defaultdict(list)
    for row, cells in enumerate(table.rows):
        alike[tuple(cells.get(name) for name in SAME)].append(row)
    gaps, others = [], 0
    for one, two in itertools.chain.from_iterable(itertools.combinations(rows, 2) for rows in alike.values()):
        if _gap(table, "latency_us", one, two) > SAME_TIME:
            others += 1
        else:
            gaps.append(_gap(table, "power_W", one, two))
    return sorted(gaps), others


def _gap(table: Table, name: str, one: int, two: int) -> float:
    low, high = sorted((table.number(one, name), table.number(two, name)))
    return high / low - 1.0


def ranked(table: Table) -> tuple[Array, NDArray[np.bool_]]:
    """Lay out all pairs of one slice: how far the measured watts are apart, and whether the larger is named."""
    answers = power_table(table)
    ran = np.unique(np.array(configurations(table, answers)), return_inverse=True)[1]
    gaps, right = [], []
    for name in sorted(set(answers.slices)):
        rows = np.flatnonzero(np.array(answers.slices) == name)
        measured, expected = answers.measured[rows], answers.expected[rows]
        gap = measured[:, None] / measured - 1.0
        compared = (gap > TIE) & (ran[rows][:, None] != ran[rows])
        gaps.append(gap[compared])
        right.append((expected[:, None] > expected)[compared])
    return np.concatenate(gaps), np.concatenate(right)


def text(table: Table) -> str:
    """Write the table and what repeats say."""
    apart, others = repeats(table)
    gaps, right = ranked(table)
    lines = ["| watts differ by | pairs | of all | ranked right |", "| --- | ---: | ---: | ---: |"]
    for low, high in itertools.pairwise((*STEPS, np.inf)):
        here = (gaps > low) & (gaps <= high)
        words = f"{low:.0%} to {high:.0%}" if high < np.inf else f"more than {low:.0%}"
        lines.append(f"| {words} | {here.sum():,} | {here.mean():.0%} | {right[here].mean():.0%} |")
    lines.append(f"| more than {TIE:.0%} | {len(gaps):,} | 100% | {right.mean():.0%} |")
    beyond = gaps > apart[-1]
    said = " and ".join(f"{gap:.1%}" for gap in apart)
    lines += [
        "",
        f"Rows alike in every column, in engine and in time: {len(apart)} pairs, whose watts are {said} apart; pairs that differ in",
        f"time, so in something that no column says: {others}. {1 - beyond.mean():.0%} of the pairs above lie within the widest of",
        f"these gaps; of the others {right[beyond].mean():.0%} are ranked right. So few repeats do not tell how much noise there is, and noise",
        "of that size does not explain the misses among pairs that are much farther apart.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Replace what stands between the marks."""
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    found = text(read_table(folder / "energy_op_power.csv"))
    old = page.read_text()
    page.write_text(re.sub(f"(?s){START}.*{END}", lambda _: f"{START}\n\n{found}\n\n{END}", old))
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
