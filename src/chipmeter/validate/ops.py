"""Predictions of single operations: matrix products, attention, and the board power while they repeat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.attention import decode_seconds, prefill_seconds
from chipmeter.cost.constants import Constants, constants
from chipmeter.cost.device import Device
from chipmeter.cost.gemm import WIDTH, gemm_seconds
from chipmeter.cost.power import ATTENTION_TERMS, GEMM_TERMS, attention_terms, board_watts, gemm_terms
from chipmeter.validate.hardware import hardware, is_stand_in, kin
from chipmeter.validate.score import Answers, Array
from chipmeter.validate.tables import Row, Table

FORMATS = {"bfloat16": "bf16", "bf16": "bf16", "float16": "bf16", "fp16": "bf16", "half": "bf16", "fp32": "fp32"}
FORMATS |= {"fp8": "fp8", "float8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4", "fp4": "nvfp4", "mxfp4": "nvfp4"}
FORMATS |= {"int8": "fp8", "mxfp8": "fp8", "fp8_static": "fp8", "fp8_ootb": "fp8", "tf32": "fp32"}

VARIANTS: dict[str, tuple[str, ...]] = {"fp8": ("fp8", "fp8_block", "bf16"), "fp8_block": ("fp8_block", "fp8", "bf16")}
VARIANTS |= {"nvfp4": ("nvfp4", "fp8", "bf16"), "bf16": ("bf16",), "fp32": ("bf16",)}
"""Which constants may stand in for a format's, in order."""

Rows = NDArray[np.int64]
US = 1e-6


def format_of(text: str) -> str:
    """Name the number format that a table's text means; 16 bits where it is not recognised.

    >>> format_of("bfloat16"), format_of("FP8"), format_of("w4a16")
    ('bf16', 'fp8', 'bf16')
    """
    return FORMATS.get(text.strip().lower(), "bf16")


def column(table: Table, name: str, default: float | None = None) -> Array:
    """Read a column of positive numbers, (rows,)."""
    return np.array([table.number(row, name, default) for row in range(len(table.rows))], dtype=np.float64)


def groups(table: Table, *columns: str) -> Iterator[tuple[tuple[str, ...], Rows]]:
    """Group the rows that agree in some columns."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row, cells in enumerate(table.rows):
        found.setdefault(tuple(cells.get(name) or "" for name in columns), []).append(row)
    for key, rows in found.items():
        yield key, np.array(rows)


class Sheet:
    """Answers of one table as they are filled in, group by group."""

    def __init__(self, table: Table, measured: Array) -> None:
        self.table = table
        self.measured = measured
        rows = len(measured)
        self.expected, self.low, self.high = (np.full(rows, np.nan) for _ in range(3))
        self.outside = np.zeros(rows, dtype=bool)
        self.work = np.ones(rows)
        self.slices, self.chips, self.models = [""] * rows, [""] * rows, [""] * rows

    def fill(self, rows: Rows, expected: Array, found: Constants, outside: NDArray[np.bool_] | bool) -> None:
        """Set the predictions of some rows and the interval that their constants give."""
        self.expected[rows] = expected
        self.low[rows], self.high[rows] = expected * np.exp(found.low), expected * np.exp(found.high)
        self.outside[rows] = outside

    def label(self, rows: Rows, slice_: str, chip: str, model: Callable[[int], str]) -> None:
        """Set what rows are grouped by."""
        for row in rows.tolist():
            self.slices[row], self.chips[row], self.models[row] = slice_, chip, model(row)

    def answers(self, name: str | None = None, is_rate: bool = False) -> Answers:
        """Return the finished answers."""
        return Answers(
            name or self.table.name, self.measured, self.expected, self.low, self.high, self.outside, self.slices,
            self.work, self.chips, self.models, np.arange(len(self.measured)), is_rate,
        )  # fmt: skip


def beyond(found: Constants, moved: bool, **inputs: Array) -> NDArray[np.bool_]:
    """Tell which rows lie outside the range of inputs that constants were fitted on; all, if another chip's."""
    rows = len(next(iter(inputs.values())))
    outside = np.full(rows, moved)
    for name, values in inputs.items():
        low, high = found.span.get(name, (0.0, np.inf))
        outside |= (values < low / 1.001) | (values > high * 1.001)
    return outside


def engine_of(cells: Row) -> str:
    """Name the engine whose kernels a row measured where it is not the usual one: its products and attention differ.

    >>> engine_of({"source": "systems/data/h200_sxm/gemm/vllm/0.22.0/gemm_perf.parquet"}), engine_of({"source": "x"})
    ('vllm', '')
    """
    return "vllm" if "/vllm/" in (cells.get("source") or "") else ""


def with_engine(names: Iterable[str], engine: str) -> tuple[str, ...]:
    """Put the variants of an engine before the usual ones.

    >>> with_engine(["fp8", "bf16"], "vllm")
    ('fp8_vllm', 'fp8', 'bf16')
    """
    usual = tuple(names)
    return (f"{usual[0]}_{engine}", *usual) if engine else usual


def by_engine(table: Table, rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Divide rows by the engine that was measured."""
    names = np.array([engine_of(table.rows[row]) for row in rows.tolist()])
    for engine in sorted(set(names.tolist())):
        yield engine, rows[names == engine]


def gemm_constants(chip: Device, format: str, engine: str = "") -> tuple[Constants, bool]:
    """Find the constants of matrix products on a chip that tables name."""
    found, moved = constants(kin(chip), "gemm", *with_engine(VARIANTS[format], engine))
    return (found.transferred(), True) if is_stand_in(chip) else (found, moved)


def gemm_table(table: Table) -> Answers:
    """Predict the latencies of a table of matrix products: accel, dtype, m, n, k, latency_us."""
    table.need("accel", "dtype", "m", "n", "k")
    m, n, k = (column(table, name) for name in "mnk")
    rate = "latency_us" not in table.columns
    sheet = Sheet(table, column(table, "mean_tflops") if rate else column(table, "latency_us") * US)
    parts = [(key, *part) for key, rows in groups(table, "accel", "dtype") for part in by_engine(table, rows)]
    for (accel, dtype), engine, rows in parts:
        chip, format = hardware(accel), format_of(dtype)
        found, moved = gemm_constants(chip, format, engine)
        values = found.values
        if rate:
            # The best rate over shapes is that of the product alone, with operands in their format already.
            values = {**values, "launch_us": 0.0, "quantise": 0.0}
        time = gemm_seconds(values, chip, format, m[rows], n[rows], k[rows]).total
        flops = 2 * m[rows] * n[rows] * k[rows]
        sheet.fill(
            rows, flops / time / 1e12 if rate else time, found, beyond(found, moved, m=m[rows], n=n[rows], k=k[rows])
        )
        if rate:
            sheet.low[rows], sheet.high[rows] = (flops / time / 1e12 * np.exp(-x) for x in (found.high, found.low))
        sheet.work[rows] = 1.0 if rate else flops
        sheet.label(rows, f"{accel} {dtype}", f"{accel} {dtype}", lambda row: f"{n[row]}x{k[row]}")
    return sheet.answers(is_rate=rate)


def attention_names(kind: str, format: str, cache: str) -> tuple[str, ...]:
    """List the variants of attention constants, nearest first.

    >>> attention_names("prefill", "bf16", "fp8")
    ('prefill_bf16_fp8', 'prefill_bf16_bf16', 'prefill_fp8_fp8')
    """
    ordered = (f"{kind}_{format}_{cache}", f"{kind}_bf16_{cache}", f"{kind}_bf16_bf16", f"{kind}_fp8_fp8")
    return tuple(dict.fromkeys(ordered))


def attention_constants(chip: Device, kind: str, format: str, cache: str, engine: str = "") -> tuple[Constants, bool]:
    """Find the constants of attention on a chip that tables name."""
    found, moved = constants(kin(chip), "attention", *with_engine(attention_names(kind, format, cache), engine))
    return (found.transferred(), True) if is_stand_in(chip) else (found, moved)


def attention_time(
    values: dict[str, float], chip: Device, kind: str, format: str, cache: str, shape: dict[str, Array]
) -> Array:
    """Time attention of either kind: `shape` has batch, heads, kv_heads, head_dim, q_len and kv_len."""
    width = WIDTH.get(cache, 2.0)
    heads = (shape["batch"], shape["heads"], shape["kv_heads"], shape["head_dim"])
    if kind == "decode":
        return decode_seconds(values, chip, width, *heads, shape["kv_len"])
    return prefill_seconds(values, chip, format, width, *heads, shape["q_len"], shape["kv_len"])


SHAPE = ("batch", "heads", "kv_heads", "head_dim", "q_len", "kv_len")
KINDS = {"context": "prefill", "generation": "decode"}


def attention_table(table: Table) -> Answers:
    """Predict the latencies of a table of attention kernels."""
    table.need("accel", "kind", *SHAPE, "latency_us")
    shape = {name: column(table, name) for name in SHAPE}
    sheet = Sheet(table, column(table, "latency_us") * US)
    kinds = ("accel", "kind", "attn_dtype", "kv_dtype")
    parts = [(key, *part) for key, rows in groups(table, *kinds) for part in by_engine(table, rows)]
    for (accel, named, dtype, cached), engine, rows in parts:
        chip, kind = hardware(accel), KINDS.get(named, "prefill")
        format, cache = format_of(dtype), format_of(cached or dtype)
        here = {name: values[rows] for name, values in shape.items()}
        found, moved = attention_constants(chip, kind, format, cache, engine)
        expected = attention_time(found.values, chip, kind, format, cache, here)
        sheet.fill(rows, expected, found, beyond(found, moved, batch=here["batch"], kv_len=here["kv_len"]))
        sheet.work[rows] = (
            here["batch"] * here["heads"] * here["q_len"] * here["kv_len"] if kind == "prefill"
            else here["batch"] * here["kv_heads"] * here["kv_len"]
        )  # fmt: skip
        sheet.label(rows, f"{accel} {named}", f"{accel} {named} {dtype}", lambda row: str(shape["heads"][row]))
    return sheet.answers()


def power_shape(table: Table, op: str, rows: Sequence[int] | Rows) -> dict[str, Array]:
    """Read the shapes of a power table: m, n, k of a product; ``heads=;kv=`` and ``isl=;step=`` of attention."""
    if op == "gemm":
        return {name: np.array([table.number(int(row), name) for row in rows]) for name in "mnk"}
    batch, heads, kv_heads, queries, keys = [], [], [], [], []
    for row in rows:
        cells = table.rows[int(row)]
        left, right = re.findall(r"\d+", cells.get("n") or ""), re.findall(r"\d+", cells.get("k") or "")
        if len(left) != 2 or len(right) != 2:
            raise ValueError(f"{table.name}: line {int(row) + 2}: expected heads=;kv= and isl=;step= in n and k")
        batch.append(table.number(int(row), "m"))
        heads.append(float(left[0]))
        kv_heads.append(float(left[1]))
        queries.append(float(right[0]))
        keys.append(float(right[0]) + float(right[1]))
    arrays = {"batch": batch, "heads": heads, "kv_heads": kv_heads, "q_len": queries, "kv_len": keys}
    return {**{name: np.array(values) for name, values in arrays.items()}, "head_dim": np.full(len(batch), 128.0)}


def op_seconds(table: Table, chip: Device, op: str, format: str, rows: Rows) -> Array:
    """Time the operations of some rows of a power table, by the constants of the engine that each measured."""
    time = np.empty(len(rows))
    place = {row: i for i, row in enumerate(rows.tolist())}
    for engine, part in by_engine(table, rows):
        shape = power_shape(table, op, part)
        if op == "gemm":
            values = gemm_constants(chip, format, engine)[0].values
            found = gemm_seconds(values, chip, format, shape["m"], shape["n"], shape["k"]).total
        else:
            kind = "decode" if op.startswith("generation") else "prefill"
            timing, _ = attention_constants(chip, kind, format, format, engine)
            found = attention_time(timing.values, chip, kind, format, format, shape)
        time[[place[row] for row in part.tolist()]] = found
    return time


def engines(table: Table, rows: Rows) -> Array:
    """Tell the two serving engines whose kernels were measured apart: 0.5, -0.5, and 0 for any other."""
    sources = [table.rows[row].get("source") or "" for row in rows.tolist()]
    return np.array([0.5 if "trtllm" in text else -0.5 if "vllm" in text else 0.0 for text in sources])


def power_terms(chip: Device, op: str, format: str, shape: dict[str, Array], seconds: Array, engine: Array) -> Array:
    """Features of the power model for one group of rows."""
    width = WIDTH.get(format, 2.0)
    if op == "gemm":
        terms = gemm_terms(chip, format, width, shape["m"], shape["n"], shape["k"], seconds)
        return np.column_stack([terms, engine])
    pairs = shape["q_len"] * (2 * shape["kv_len"] - shape["q_len"])
    flops = 2 * shape["batch"] * shape["heads"] * 128 * pairs
    cache = 2 * shape["batch"] * shape["kv_len"] * shape["kv_heads"] * 128 * width
    moved = cache + shape["batch"] * shape["q_len"] * shape["heads"] * 128 * 4
    terms = attention_terms(chip, format, flops, moved, seconds, shape["batch"], shape["heads"], shape["kv_heads"])
    return np.column_stack([terms, engine])


def power_names(op: str) -> tuple[str, ...]:
    """Terms of the power model of an operation."""
    return (*(GEMM_TERMS if op == "gemm" else ATTENTION_TERMS), "engine")


def power_table(table: Table) -> Answers:
    """Predict board watts from the operation alone: the time it takes is predicted too."""
    table.need("accel", "op", "dtype", "m", "n", "k", "power_W")
    sheet = Sheet(table, column(table, "power_W"))
    for (accel, op, dtype), rows in groups(table, "accel", "op", "dtype"):
        chip, format = hardware(accel), format_of(dtype)
        shape = power_shape(table, op, rows)
        time = op_seconds(table, chip, op, format, rows)
        found, moved = constants(kin(chip), "power", f"{op}_{format}", f"{op}_fp8", f"{op}_bf16")
        expected = board_watts(
            found.values, chip, power_terms(chip, op, format, shape, time, engines(table, rows)), power_names(op)
        )
        sheet.fill(rows, expected, found, moved)
        limit = chip.limit or np.inf
        sheet.high[rows] = np.minimum(sheet.high[rows], 1.01 * limit)
        sheet.label(rows, f"{accel} {op} {dtype}", f"{accel} {dtype}", lambda row: table.rows[row].get("op") or "")
    return sheet.answers(is_rate=True)
