"""Predictions of single kernels on NeuronCores."""

from __future__ import annotations

import math
import re

import numpy as np

from chipmeter.cost.constants import Constants, book
from chipmeter.cost.terms import Terms, flags
from chipmeter.validate.ops import Sheet
from chipmeter.validate.program import fit_program, predict_program
from chipmeter.validate.score import Answers, Array
from chipmeter.validate.tables import Row, Table

PEAK, BANDWIDTH = 83.4e12, 362e9
"""FLOP/s in 16 bits and bytes/s of memory of one core of Trainium2: an eighth of the chip's."""

PRIORS = {"matrix": (1.2, 0.4), "memory": (1.2, 0.4), "vector": (1.0, 0.7), "tiles": (1.0, 0.8), "start": (40.0, 0.5)}
"""Time of the matrix engine with 128 x 128 folds and the 64-cycle floor, of memory, of elementwise passes, of tiles, and
microseconds of one kernel."""

SCALE = {"us": 1e-6, "ms": 1e-3, "%": 1.0, "GB/s": 1.0, "TFLOPS": 1.0}


def _numbers(config: str) -> dict[str, float]:
    return {key: float(value) for key, value in re.findall(r"\b(\w+)=(\d+(?:\.\d+)?)\b", config)}


def _parts(cells: Row) -> tuple[float, float, float, float, float]:
    config, kernel = cells.get("config") or "", cells.get("kernel") or ""
    told = _numbers(config)
    cores = 2.0 if (cells.get("LNC") or "2") == "2" else 1.0
    given = re.search(r"[\d.]+(e[+-]?\d+)?", cells.get("flops_derived") or "")
    flops = float(given.group()) if given else 0.0
    rows = told.get("batch", told.get("bs", 1.0)) * told.get("seqlen", told.get("seqlen_q", 1.0))
    hidden, inner = told.get("hidden", 1024.0), told.get("intermediate", 0.0)
    wide = 1.0 if "float8" in config else 2.0
    moved = elements = tiles = 0.0
    if inner:
        mats = 2.0 if "skip_gate=True" in config else 3.0
        fill = max(rows, 64.0) / rows * math.ceil(inner / 128) * 128 / inner
        flops = 2.0 * mats * rows * hidden * inner * fill
        moved = mats * hidden * inner * wide + 4.0 * rows * hidden
        norms = 1.0 + ("NO_NORM" not in config) + ("fused_add=True" in config) + ("store_add=True" in config)
        elements = rows * (hidden * norms + inner * 2.0)
        tiles = mats * math.ceil(hidden / 128) * math.ceil(inner / 128) * math.ceil(rows / 512)
    elif "attention" in kernel:
        keys, wide = told.get("seqlen_kv", told.get("seqlen_q", 2048.0)), told.get("d", 128.0)
        window = told.get("sliding_window", 0.0)
        seen = min(keys, window + 512.0) if window else keys * (0.5 if "causal_mask=True" in config else 1.0)
        flops = max(flops, 4.0 * rows * seen * max(wide, 128.0))
        if "float32" in config:
            flops *= 2.0
        elements, moved = rows * seen, 2.0 * wide * (2.0 * rows + 2.0 * keys)
        tiles = math.ceil(rows / 128) * math.ceil(seen / 512)
    elif "rmsnorm" in kernel:
        elements = rows * hidden * (1.0 if "quant_only=True" in config else 2.0)
        moved = 3.0 * rows * hidden
    return flops / PEAK / cores, moved / BANDWIDTH / cores, elements / 128 / 0.96e9 / cores, tiles * 1e-7 / cores, 1e-6


def kernel_terms(table: Table) -> Terms:
    """Lay out the parts and factors of every row."""
    columns = np.array([_parts(cells) for cells in table.rows], dtype=np.float64).T
    scale = np.array([1.0 if (c.get("unit") or "") in ("us", "ms") else 1e6 for c in table.rows])
    configs = [cells.get("config") or "" for cells in table.rows]
    kernels = [(cells.get("kernel") or "").split(" ")[0] for cells in table.rows]
    factors = flags("kernel", kernels)
    factors |= flags("cores", [f"{k} {c.get('LNC') or ''}" for k, c in zip(kernels, table.rows, strict=True)])
    for word in (
        "RMS_NORM",
        "LAYER_NORM",
        "fused_add=True",
        "skip_gate=True",
        "gate_bias=True",
        "float8",
        "ROW",
        "store_add",
    ):
        factors |= flags(word, [f"{k}" if word in c else "" for k, c in zip(kernels, configs, strict=True)])
    factors |= flags("causal", [k if "causal_mask=True" in c else "" for k, c in zip(kernels, configs, strict=True)])
    units = [c.get("unit") or "" for c in table.rows]
    plain = [f"{k} {u}" if u not in ("us",) else "" for k, u in zip(kernels, units, strict=True)]
    factors |= flags("unit", plain)
    parts = {name: column * scale for name, column in zip(PRIORS, columns, strict=True)}
    return Terms(parts, factors, np.zeros(len(configs)))


def _measured(table: Table) -> Array:
    values = []
    for row, cells in enumerate(table.rows):
        found = re.search(r"\d+(\.\d+)?", cells.get("value") or "")
        if found is None or not float(found.group()) > 0:
            raise ValueError(
                f"{table.name}: line {row + 2}, value: expected a number, got {(cells.get('value') or '')[:40]!r}"
            )
        values.append(float(found.group()) * SCALE.get(cells.get("unit") or "", 1.0))
    return np.array(values)


def _names(table: Table) -> list[str]:
    return [(cells.get("kernel") or "").split(" ")[0] for cells in table.rows]


def fit_kernels(table: Table) -> Constants:
    """Refit the constants of the table."""
    names = _names(table)
    wild = {
        f"unit:{name}": (1.0, 6.0) for name in {f"{n} {c.get('unit')}" for n, c in zip(names, table.rows, strict=True)}
    }
    return fit_program(
        kernel_terms(table), _measured(table), {**PRIORS, **wild}, models=names, chips=names, groups=names,
        source=table.name, factor_spread=0.3,
    )  # fmt: skip


def kernel_table(table: Table) -> list[Answers]:
    """Predict every kernel."""
    table.need("kernel", "config", "value", "unit")
    found, names = book("trn2")["kernels"]["nki"], _names(table)
    sheet = Sheet(table, _measured(table))
    sheet.expected, sheet.low, sheet.high, sheet.outside = predict_program(
        found, kernel_terms(table), names, names, names
    )
    for row, (name, cells) in enumerate(zip(names, table.rows, strict=True)):
        told = _numbers(cells.get("config") or "")
        sheet.slices[row], sheet.chips[row] = name, f"{name} {cells.get('unit')}"
        sheet.models[row] = f"{told.get('hidden')} {told.get('seqlen', told.get('seqlen_q'))}"
        sheet.work[row] = max(sum(_parts(cells)[:2]), 1e-9)
    return [sheet.answers()]
