"""Refitting the constants of single operations from tables of measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.attention import DECODE, PREFILL
from chipmeter.cost.constants import Constants
from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array, Parameter, fit, held_out_errors
from chipmeter.cost.gemm import gemm_seconds, parameters
from chipmeter.cost.power import board_watts, fit_watts
from chipmeter.validate.hardware import hardware
from chipmeter.validate.ops import (
    KINDS,
    SHAPE,
    US,
    Rows,
    attention_time,
    by_engine,
    column,
    engines,
    format_of,
    groups,
    op_seconds,
    power_names,
    power_shape,
    power_terms,
    with_engine,
)
from chipmeter.validate.summary import summary
from chipmeter.validate.tables import Table

Mask = NDArray[np.bool_]
Books = dict[str, dict[str, dict[str, Constants]]]
"""By chip, kind of operation and variant."""

LEAST_ROWS = 20
"""Fewer rows than this do not refit anything."""

UNDESCRIBED = 0.15
"""Median log error above which a fit describes nothing."""

ENERGY_PJ = {"bf16": 0.65, "fp16": 0.65, "fp8": 0.42, "fp8_block": 0.42, "nvfp4": 0.15, "fp32": 1.3}
"""Prior of the energy per FLOP above idle: H200 and B200 board power at large products (spec of the power tables)."""


def _fitted(
    trials: Iterable[list[Parameter]], predict: Callable[[dict[str, float], Mask], Array], measured: Array, scale: float
) -> tuple[dict[str, float], Array, Array]:
    """Fit from several starts, keep the best; return constants, log errors and held-out log errors."""
    starts = list(trials)

    everything = np.ones(len(measured), dtype=bool)

    def from_start(start: list[Parameter], rows: Mask) -> dict[str, float]:
        return fit(start, lambda v: predict(dict(v), rows), measured[rows], scale=scale)

    found = [from_start(start, everything) for start in starts]
    misses = [float(np.mean(np.abs(np.log(predict(v, everything) / measured)))) for v in found]
    best = int(np.argmin(misses))
    values = found[best]

    def refit(rows: Mask) -> Callable[[Mask], Array]:
        part = from_start(starts[best], rows)
        return lambda test: predict(part, test)

    return values, np.log(measured / predict(values, everything)), held_out_errors(refit, measured)


def _source(table: Table, rows: NDArray[np.int64]) -> str:
    names = sorted({(table.rows[row].get("source") or table.name).split(" ")[0] for row in rows.tolist()})
    return f"{table.name}: {', '.join(names)}"


def fit_gemm(table: Table) -> Books:
    """Refit matrix products by chip, format and engine: accel, dtype, m, n, k, latency_us."""
    table.need("accel", "dtype", "m", "n", "k", "latency_us")
    found: Books = {}
    for (accel, dtype), all_rows in groups(table, "accel", "dtype"):
        if (table.rows[int(all_rows[0])].get("op") or "gemm") != "gemm":
            continue
        for engine, rows in by_engine(table, all_rows):
            rows = np.array([row for row in rows.tolist() if not table.rows[row].get("flag")], dtype=np.int64)
            if len(rows) >= LEAST_ROWS:
                chip, format = hardware(accel), format_of(dtype)
                one = _gemm_rows(table, chip, format, rows)
                found.setdefault(chip.id, {}).setdefault("gemm", {})[with_engine([format], engine)[0]] = one
    return found


def _gemm_rows(table: Table, chip: Device, format: str, rows: Rows) -> Constants:
    m, n, k = (np.array([table.number(row, name) for row in rows.tolist()]) for name in "mnk")
    time = np.array([table.number(row, "latency_us") for row in rows.tolist()]) * US

    def predict(values: dict[str, float], chosen: Mask) -> Array:
        return gemm_seconds(values, chip, format, m[chosen], n[chosen], k[chosen]).total

    energy = ENERGY_PJ.get(format, 0.65) * (0.66 if chip.id.startswith(("b", "gb")) else 1.0)
    trials = [parameters(3.0, 3.0, energy), parameters(60.0, 8.0, energy), parameters(60.0, 60.0, energy)]
    values, errors, held_out = _fitted(trials, predict, time, 0.05)
    return summary(values, errors, held_out, _source(table, rows), {"m": m, "n": n, "k": k})


def fit_attention(table: Table) -> Books:
    """Refit attention by chip, kind, formats and engine."""
    table.need("accel", "kind", *SHAPE, "latency_us")
    shape = {name: column(table, name) for name in SHAPE}
    found: Books = {}
    for (accel, named, dtype, cached), all_rows in groups(table, "accel", "kind", "attn_dtype", "kv_dtype"):
        kind, format, cache = KINDS.get(named, "prefill"), format_of(dtype), format_of(cached or dtype)
        for engine, rows in by_engine(table, all_rows):
            # Rows that read more than the memory can give are no evidence of speed; the rest of their table is kept.
            rows = np.array([row for row in rows.tolist() if table.rows[row].get("flag") != "exceeds_hbm_peak"])
            if len(rows) >= LEAST_ROWS:
                chip = hardware(accel)
                here = {name: values[rows] for name, values in shape.items()}
                one = _attention_rows(table, chip, kind, format, cache, rows, here)
                name = with_engine([f"{kind}_{format}_{cache}"], engine)[0]
                found.setdefault(chip.id, {}).setdefault("attention", {})[name] = one
    return found


def _attention_rows(
    table: Table, chip: Device, kind: str, format: str, cache: str, rows: Rows, shape: dict[str, Array]
) -> Constants:
    time = np.array([table.number(row, "latency_us") for row in rows.tolist()]) * US

    def predict(values: dict[str, float], chosen: Mask) -> Array:
        return attention_time(values, chip, kind, format, cache, {name: x[chosen] for name, x in shape.items()})

    values, errors, held_out = _fitted([DECODE if kind == "decode" else PREFILL], predict, time, 0.08)
    span = {"batch": shape["batch"], "kv_len": shape["kv_len"]}
    return summary(values, errors, held_out, _source(table, rows), span)


def fit_engines(table: Table) -> Books:
    """Refit the times of engines other than the usual one from the latencies of a power table."""
    table.need("accel", "op", "dtype", "m", "n", "k", "latency_us")
    found: Books = {}
    for (accel, op, dtype), all_rows in groups(table, "accel", "op", "dtype"):
        for engine, rows in by_engine(table, all_rows):
            if not engine or len(rows) < LEAST_ROWS:
                continue
            chip, format = hardware(accel), format_of(dtype)
            if op == "gemm":
                one = _gemm_rows(table, chip, format, rows)
                found.setdefault(chip.id, {}).setdefault("gemm", {})[with_engine([format], engine)[0]] = one
                continue
            kind = "decode" if op.startswith("generation") else "prefill"
            one = _attention_rows(table, chip, kind, format, format, rows, power_shape(table, op, rows))
            name = with_engine([f"{kind}_{format}_{format}"], engine)[0]
            # Rows that no constants describe mix kernels that the table does not tell apart, as windows of attention.
            if one.median_error < UNDESCRIBED:
                found.setdefault(chip.id, {}).setdefault("attention", {})[name] = one
    return found


def fit_power(table: Table) -> Books:
    """Refit board power by chip, operation and format, at predicted times."""
    table.need("accel", "op", "dtype", "m", "n", "k", "power_W")
    watts = column(table, "power_W")
    found: Books = {}
    for (accel, op, dtype), rows in groups(table, "accel", "op", "dtype"):
        chip, format = hardware(accel), format_of(dtype)
        if len(rows) < LEAST_ROWS or chip.limit is None:
            continue
        shape, names = power_shape(table, op, rows), power_names(op)
        time = op_seconds(table, chip, op, format, rows)
        terms = power_terms(chip, op, format, shape, time, engines(table, rows))
        here = watts[rows]

        def refit(
            chosen: Mask, chip: Device = chip, terms: Array = terms, names: tuple[str, ...] = names, here: Array = here
        ) -> Callable[[Mask], Array]:
            part = fit_watts(chip, terms[chosen], names, here[chosen])
            return lambda test: board_watts(part, chip, terms[test], names)

        values = fit_watts(chip, terms, names, here)
        errors = np.log(here / board_watts(values, chip, terms, names))
        one = summary(values, errors, held_out_errors(refit, here), _source(table, rows))
        found.setdefault(chip.id, {}).setdefault("power", {})[f"{op}_{format}"] = one
    return found
