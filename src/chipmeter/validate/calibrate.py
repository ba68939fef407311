"""Refitting the constants from tables of measurements: `chipmeter calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.attention import DECODE, PREFILL
from chipmeter.cost.constants import Constants, book, write_book
from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array, Parameter, conformal, fit, held_out_errors
from chipmeter.cost.gemm import gemm_seconds, parameters
from chipmeter.cost.power import board_watts, fit_watts
from chipmeter.validate import serving, training
from chipmeter.validate.hardware import hardware
from chipmeter.validate.ops import (
    KINDS,
    SHAPE,
    US,
    attention_constants,
    attention_time,
    column,
    engines,
    format_of,
    gemm_constants,
    groups,
    power_names,
    power_shape,
    power_terms,
)
from chipmeter.validate.shapes import read_shapes
from chipmeter.validate.tables import Table, read_folder, read_table

Mask = NDArray[np.bool_]
Books = dict[str, dict[str, dict[str, Constants]]]
"""By chip, kind of operation and variant."""

LEAST_ROWS = 20
"""Fewer rows than this do not refit anything."""

ENERGY_PJ = {"bf16": 0.65, "fp16": 0.65, "fp8": 0.42, "fp8_block": 0.42, "nvfp4": 0.15, "fp32": 1.3}
"""Prior of the energy per FLOP above idle: H200 and B200 board power at large products (spec of the power tables)."""


def summary(
    values: dict[str, float], errors: Array, held_out: Array, source: str, span: dict[str, Array] | None = None
) -> Constants:
    """Record fitted constants with their residuals."""
    low, high = conformal(held_out)
    return Constants(
        values=values,
        rows=len(errors),
        median_error=float(np.median(np.abs(errors))),
        p90_error=float(np.quantile(np.abs(errors), 0.9)),
        low=low,
        high=high,
        span={name: (float(x.min()), float(x.max())) for name, x in (span or {}).items()},
        source=source,
        date=date.today().isoformat(),
    )


def _fitted(
    trials: Iterable[list[Parameter]], predict: Callable[[dict[str, float], Mask], Array], measured: Array, scale: float
) -> tuple[dict[str, float], Array, Array]:
    """Fit from several starts, keep the best; return constants, log errors and held-out log errors."""
    starts = list(trials)

    def best(rows: Mask) -> dict[str, float]:
        found = [fit(start, lambda v: predict(dict(v), rows), measured[rows], scale=scale) for start in starts]
        return min(found, key=lambda v: float(np.mean(np.abs(np.log(predict(v, rows) / measured[rows])))))

    everything = np.ones(len(measured), dtype=bool)
    values = best(everything)

    def refit(rows: Mask) -> Callable[[Mask], Array]:
        part = best(rows)
        return lambda test: predict(part, test)

    return values, np.log(measured / predict(values, everything)), held_out_errors(refit, measured)


def _source(table: Table, rows: NDArray[np.int64]) -> str:
    names = sorted({(table.rows[row].get("source") or table.name).split(" ")[0] for row in rows.tolist()})
    return f"{table.name}: {', '.join(names)}"


def fit_gemm(table: Table) -> Books:
    """Refit matrix products by chip and format: accel, dtype, m, n, k, latency_us."""
    table.need("accel", "dtype", "m", "n", "k", "latency_us")
    m, n, k = (column(table, name) for name in "mnk")
    time = column(table, "latency_us") * US
    found: Books = {}
    for (accel, dtype), all_rows in groups(table, "accel", "dtype"):
        rows = np.array([row for row in all_rows.tolist() if not table.rows[row].get("flag")], dtype=np.int64)
        if len(rows) < LEAST_ROWS:
            continue
        chip, format = hardware(accel), format_of(dtype)

        def predict(
            values: dict[str, float],
            chosen: Mask,
            chip: Device = chip,
            format: str = format,
            rows: NDArray[np.int64] = rows,
        ) -> Array:
            here = rows[chosen]
            return gemm_seconds(values, chip, format, m[here], n[here], k[here]).total

        energy = ENERGY_PJ.get(format, 0.65) * (0.66 if chip.id.startswith(("b", "gb")) else 1.0)
        trials = [parameters(3.0, 3.0, energy), parameters(60.0, 8.0, energy)]
        values, errors, held_out = _fitted(trials, predict, time[rows], 0.05)
        span = {"m": m[rows], "n": n[rows], "k": k[rows]}
        one = summary(values, errors, held_out, _source(table, rows), span)
        found.setdefault(chip.id, {}).setdefault("gemm", {})[format] = one
    return found


def fit_attention(table: Table) -> Books:
    """Refit attention by chip, kind and formats."""
    table.need("accel", "kind", *SHAPE, "latency_us")
    shape = {name: column(table, name) for name in SHAPE}
    time = column(table, "latency_us") * US
    found: Books = {}
    for (accel, named, dtype, cached), all_rows in groups(table, "accel", "kind", "attn_dtype", "kv_dtype"):
        kind, format, cache = KINDS.get(named, "prefill"), format_of(dtype), format_of(cached or dtype)
        # Rows that read more than the memory can give are no evidence of speed; the rest of their table is kept.
        rows = np.array([row for row in all_rows.tolist() if table.rows[row].get("flag") != "exceeds_hbm_peak"])
        if len(rows) < LEAST_ROWS:
            continue
        chip = hardware(accel)

        def predict(
            values: dict[str, float], chosen: Mask, chip: Device = chip, kind: str = kind,
            formats: tuple[str, str] = (format, cache), rows: NDArray[np.int64] = rows,
        ) -> Array:  # fmt: skip
            here = {name: column[rows[chosen]] for name, column in shape.items()}
            return attention_time(values, chip, kind, *formats, here)

        values, errors, held_out = _fitted([DECODE if kind == "decode" else PREFILL], predict, time[rows], 0.08)
        span = {"batch": shape["batch"][rows], "kv_len": shape["kv_len"][rows]}
        one = summary(values, errors, held_out, _source(table, rows), span)
        found.setdefault(chip.id, {}).setdefault("attention", {})[f"{kind}_{format}_{cache}"] = one
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
        if op == "gemm":
            time = gemm_seconds(
                gemm_constants(chip, format)[0].values, chip, format, shape["m"], shape["n"], shape["k"]
            ).total
        else:
            kind = "decode" if op.startswith("generation") else "prefill"
            timing, _ = attention_constants(chip, kind, format, format)
            time = attention_time(timing.values, chip, kind, format, format, shape)
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


FITS: dict[str, Callable[[Table], Books]] = {
    "op_gemm": fit_gemm,
    "op_attention": fit_attention,
    "energy_op_power": fit_power,
}


def calibrate(table: Table) -> Books:
    """Refit the constants that a table determines, by its name or else by its columns.

    Raises
    ------
    ValueError
        If neither tells what was measured, or no group of rows is large enough.
    """
    by_columns = (
        fit_power if "power_W" in table.columns else fit_attention if "kv_heads" in table.columns
        else fit_gemm if {"m", "n", "k"} <= set(table.columns) else None
    )  # fmt: skip
    chosen = FITS.get(table.name, by_columns)
    if chosen is None:
        raise ValueError(
            f"{table.name}: cannot tell what was measured; columns m, n, k and latency_us (matrix products), kv_heads "
            f"(attention) or power_W are understood"
        )
    found = chosen(table)
    if not found:
        raise ValueError(f"{table.name}: no chip and format has {LEAST_ROWS} rows; nothing was fitted")
    return found


def save(books: Books, folder: Path) -> list[Path]:
    """Write one file per chip, keeping the kinds and variants that were not refitted."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chip, kinds in sorted(books.items()):
        merged = {kind: dict(variants) for kind, variants in book(chip).items()}
        path = folder / f"{chip}.toml"
        if path.is_file():
            merged = msgspec.toml.decode(path.read_bytes(), type=dict[str, dict[str, Constants]])
        for kind, variants in kinds.items():
            merged.setdefault(kind, {}).update(variants)
        write_book(path, chip, merged)
        paths.append(path)
    return paths


def refit(path: Path) -> Books:
    """Refit from one table, or from every table of a folder that determines constants.

    Raises
    ------
    ValueError
        If nothing there determines any; for a single table also if it cannot be told what was measured.
    """
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(f"{path} is neither a file nor a folder")
        return calibrate(read_table(path))
    books: Books = {}
    tables = {table.name: table for table in read_folder(path)}
    for name in (name for name in FITS if name in tables):
        for chip, kinds in calibrate(tables[name]).items():
            for kind, variants in kinds.items():
                books.setdefault(chip, {}).setdefault(kind, {}).update(variants)
    steps = [tables[name] for name in training.TABLES if name in tables]
    if steps:
        books["training"] = {"training": training.fit_training(steps, read_shapes(path))}
    if set(serving.READERS) & set(tables):
        books["serving"] = {"serving": serving.fit_serving(tables, read_shapes(path))}
    if not books:
        raise ValueError(f"no table in {path} determines constants; understood: {', '.join(FITS)}")
    return books
