"""Predictions of a table of reference operations on one chip: products, and passes over vectors."""

from __future__ import annotations

import re

import numpy as np

from chipmeter.cost.constants import Constants
from chipmeter.cost.device import Device
from chipmeter.cost.gemm import gemm_seconds
from chipmeter.validate.hardware import hardware
from chipmeter.validate.ops import Sheet, gemm_constants
from chipmeter.validate.score import Answers
from chipmeter.validate.tables import Row, Table

TABLE = "op_llmcompass_a100"

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
RATES = {"tflop": 1e12, "gflop": 1e9, "gelem": 1e9, "gb": 1e9, "tb": 1e12}

LOOSE = Constants(
    values={}, rows=0, median_error=0.0, p90_error=0.0, low=-0.6, high=0.6, source="bytes at bandwidth and a launch",
    date="2026-11",
)  # fmt: skip
"""Nothing is fitted on passes over vectors: right within a factor of 1.8 (assumed)."""

LAUNCH = 8e-6
"""Seconds of starting a kernel from Python (4 to 8 us on the host, and the kernel's own)."""


def _sizes(cells: Row) -> list[float]:
    named = [cells[name] for name in ("m", "n", "k") if re.fullmatch(r"\d+(\.0*)?", (cells.get(name) or "").strip())]
    text = " ".join(cells.get(name) or "" for name in ("shape", "size", "config", "dims"))
    return [float(size) for size in named or re.findall(r"\d+", text)]


def _measured(cells: Row) -> tuple[float, str] | None:
    """Find what was measured and its unit: a column that names one, or `value` and `unit`."""
    for name, text in cells.items():
        unit = name.rsplit("_", 1)[-1].lower()
        if (
            "_" in name
            and (unit in SECONDS or unit in ("tflops", "gelems"))
            and re.fullmatch(r"[\d.eE+-]+", text or "")
        ):
            return float(text), "tflop" if unit == "tflops" else "gelem" if unit == "gelems" else unit
    value, unit = (cells.get("value") or "").strip(), f"{cells.get('unit') or ''} {cells.get('metric') or ''}".lower()
    if not re.fullmatch(r"[\d.eE+-]+", value):
        return None
    rate = next((mark for mark in RATES if mark in unit.replace("giga-", "g").replace("elements", "elem")), None)
    time = next((mark for mark in ("ms", "us", "ns", "s") if re.search(rf"\b{mark}\b", unit)), None)
    found = rate or time
    return None if found is None else (float(value), found)


def _seconds(cells: Row, chip: Device) -> tuple[float, float, float, Constants] | None:
    """Time an operation: seconds, FLOPs, elements and the constants used."""
    sizes, name = _sizes(cells), f"{cells.get('op') or ''} {cells.get('kernel') or ''}".lower()
    if not sizes or min(sizes) <= 0:
        return None
    if len(sizes) >= 3 and not re.search("softmax|norm|gelu|silu|relu", name):
        found, _ = gemm_constants(chip, "bf16")
        m, n, k = (np.array([size]) for size in sizes[-3:])
        batch = float(np.prod(sizes[:-3]))
        time = gemm_seconds(found.values, chip, "bf16", m * batch, n, k).total[0]
        return float(time), 2.0 * batch * float(np.prod(sizes[-3:])), batch * sizes[-3] * sizes[-2], found
    elements = float(np.prod(sizes))
    return LAUNCH + elements * 4.0 / 0.85 / chip.bandwidth, elements * 5.0, elements, LOOSE


def reference_table(table: Table) -> list[Answers]:
    """Predict every row whose sizes and measurement can be told; the others count against coverage."""
    read = [
        (row, found) for row, cells in enumerate(table.rows) if (found := _measured(cells)) is not None and found[0] > 0
    ]
    if not read:
        return []
    sheet = Sheet(table, np.array([value for _, (value, _) in read]))
    for place, (row, (_, unit)) in enumerate(read):
        cells = table.rows[row]
        chip = hardware(cells.get("accel") or "a100_40")
        op = (cells.get("op") or cells.get("kernel") or "operation").split(" ")[0]
        sheet.slices[place], sheet.chips[place], sheet.models[place] = op, f"{op} {unit}", str(_sizes(cells))
        timed = _seconds(cells, chip)
        if timed is None:
            continue
        seconds, flops, elements, rates = timed
        amount = flops if "flop" in unit else elements if "elem" in unit else elements * 4.0
        expected = seconds / SECONDS[unit] if unit in SECONDS else amount / seconds / RATES[unit]
        sheet.fill(np.array([place]), np.array([expected]), rates, True)
        sheet.work[place] = amount if unit in SECONDS else 1.0
    return [sheet.answers()._replace(lines=np.array([row for row, _ in read]))]
