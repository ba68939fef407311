"""Predictions of collectives from op, size and ranks."""

from __future__ import annotations

import re

import numpy as np

from chipmeter.cost.constants import Constants, book, nearest_chip
from chipmeter.cost.terms import Terms, flags
from chipmeter.validate.hardware import hardware
from chipmeter.validate.ops import US, Sheet
from chipmeter.validate.program import fit_program, predict_program
from chipmeter.validate.score import Answers, Array
from chipmeter.validate.tables import Table

PRIORS = {"start": (8.0, 0.7), "hops": (1.0, 0.7), "wire": (1.25, 0.2), "ramp": (1.0, 0.7), "far": (1.2, 0.3)}
"""Microseconds of one collective and of one step, time on the link beyond its rate, and how slowly it is reached."""

TABLES = ("op_collectives", "collectives")
WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2, "uint8": 1}


def _first(text: str, default: float) -> float:
    found = re.search(r"\d+(\.\d+)?", text)
    return float(found.group()) if found and float(found.group()) > 0 else default


def _volume(op: str) -> float:
    return 2.0 if "reduce" in op.replace("_", "") and "scatter" not in op else 1.0


def collective_terms(table: Table, values: dict[str, float] | None = None) -> tuple[Terms, list[str], list[str], Array]:
    """Lay out parts and factors of every row; also the chips, the ops and the bytes."""
    neuron = table.name == "collectives"
    size_column = "size_bytes" if neuron else "bytes"
    chips, ops, parts = [], [], []
    sizes = np.array([_first(cells.get(size_column) or "", 16384.0) for cells in table.rows])
    for cells, size in zip(table.rows, sizes.tolist(), strict=True):
        chip = hardware("trn2" if neuron else cells.get("accel") or "")
        op = re.sub(r"\W", "", (cells.get("op") or "").lower().split("(")[0].replace("_", ""))
        nodes = _first(cells.get("nodes") or "", 1.0)
        ranks = max(_first(cells.get("ranks") or "", 64.0 if neuron else 8.0 * nodes), 2.0)
        moved = _volume(op) * (ranks - 1) / ranks * size
        # A table of several machines names only nodes; inside one, the scale-up links carry everything.
        link, far = moved / chip.link, moved / chip.network / min(ranks / nodes, 8.0) if nodes > 1 else 0.0
        parts.append((1e-6, (ranks - 1) * 1e-6, link, np.sqrt(link * 1e-6 * ranks), far))
        chips.append(chip.id)
        ops.append(op)
    columns = np.array(parts, dtype=np.float64).T
    near = [chip if values is None else nearest_chip(chip, values) for chip in chips]
    ranked = [_first(cells.get("ranks") or "", 8.0) for cells in table.rows]
    factors = flags("chip", near) | flags("op", ops)
    factors |= flags("chip op", [f"{chip} {op}" for chip, op in zip(near, ops, strict=True)])
    factors |= flags("chip op ranks", [f"{a} {b} {c:.0f}" for a, b, c in zip(near, ops, ranked, strict=True)])
    if neuron:
        factors |= flags("timing", ["streams" if "stream" in (cells.get("note") or "") else "" for cells in table.rows])
        factors |= flags("nodes", [(cells.get("nodes") or "") + (cells.get("ranks") or "") for cells in table.rows])
    else:
        large = columns[2] / np.maximum(columns[2] + 40e-6, 1e-12)
        for name, exponent in list(factors.items()):
            if name.startswith("chip op ranks"):
                factors[f"{name} large"] = exponent * large
    terms = Terms(dict(zip(PRIORS, columns, strict=True)), factors, np.zeros(len(chips)))
    return terms, chips, ops, sizes


def _measured(table: Table) -> Array:
    if table.name == "op_collectives":
        return np.array([table.number(row, "time_us") * US for row in range(len(table.rows))])
    return np.array([_first(cells.get("time_us") or "", 1.0) * US for cells in table.rows])


def fit_collectives(table: Table) -> Constants:
    """Refit the constants of one table."""
    terms, chips, ops, _ = collective_terms(table)
    return fit_program(
        terms, _measured(table), PRIORS, models=ops, chips=chips, groups=ops, source=table.name, factor_spread=0.4
    )


def collective_table(table: Table) -> list[Answers]:
    """Predict the time of every collective."""
    table.need("op", "ranks", "time_us")
    found = book("network")["collectives"][table.name]
    sheet = Sheet(table, _measured(table))
    terms, chips, ops, sizes = collective_terms(table, found.values)
    answer = predict_program(found, terms, ops, chips, ops)
    sheet.expected, sheet.low, sheet.high, sheet.outside = answer
    for row, (chip, op) in enumerate(zip(chips, ops, strict=True)):
        sheet.work[row] = sizes[row]
        sheet.slices[row], sheet.chips[row] = f"{chip} {op}", f"{chip} {op}"
        sheet.models[row] = f"{sizes[row]:.0f}"
    return [sheet.answers()]
