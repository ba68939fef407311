"""The oracle of the matmul tests: one reference dot product per output, chosen by the unit's model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from chipmeter.matmul import BinaryDot, Chain, ExactDot, FlooredDot, FlushedDot, IntegerDot, PairedHalves, Unit
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import INTEGERS
from chipmeter.reference import matmul as models
from chipmeter.reference.ieee import add
from chipmeter.reference.layouts import LAYOUTS
from chipmeter.reference.numbers import decode
from chipmeter.reference.systolic import column_dot

Array = np.ndarray[Any, Any]
CONVERSION = {"rz-f32": "RZ-FP32", "rz-e8m13": "RZ-E8M13", "rne-f16": "RNE-FP16"}
NAN = {"f16": 0x7FFF, "f32": 0x7FFFFFFF, "f64": 0x7FF8000000000000}
ONE = {"ue8m0": 0x7F, "ue4m3": 0x38}


def canonical(code: int, kind: str) -> int:
    """Replace any NaN by the one that units write."""
    return NAN[kind] if decode(code, LAYOUTS[kind]).kind == "nan" else code


def padded(codes: list[int], size: int, filler: int = 0) -> list[int]:
    """Fill up to a multiple of `size`."""
    return codes + [filler] * (-len(codes) % size)


def chain(unit: Unit, model: Chain, a: list[int], b: list[int], c: int | None, sa: list[int], sb: list[int]) -> int:
    """Tiles from zero added to the accumulator, or one chain that starts at it."""
    if model.tile == 0:  # whole instructions: a padding zero turns an accumulator of -0 to +0
        dot = models.sequential_dot(
            padded(a, unit.k), padded(b, unit.k), c or 0, unit.a, unit.b, unit.d, rounding=model.rounding
        )
        return canonical(dot, unit.d)
    total, block = c, unit.scale_block
    for k in range(0, len(a), model.tile):
        tile = slice(k, k + model.tile)
        scales = None
        if block:
            blocks = slice(k // block, (k + model.tile) // block)
            scales = (sa[blocks], sb[blocks])
        for part in column_dot(a[tile], b[tile], unit.a, unit.b, model.order, lanes=model.lanes, scales=scales):
            total = part if total is None else add(total, part, LAYOUTS[unit.d])
    assert total is not None
    return canonical(total, unit.d)


def amd_chain(unit: Unit, model: ExactDot | FlushedDot | FlooredDot, a: list[int], b: list[int], c: int) -> int:
    """Whole instructions in turn: a flushed accumulator is flushed at the start of each."""
    lanes = min(model.products, unit.k)
    for k in range(0, len(a), unit.k):
        x, y = a[k : k + unit.k], b[k : k + unit.k]
        match model:
            case ExactDot():
                c = models.exact_dot(x, y, c, unit.a, unit.b, lanes=lanes)
            case FlushedDot():
                c = models.flushed_pairwise_dot(x, y, c, unit.a, unit.b, lanes=lanes)
            case FlooredDot():
                dot = models.truncate_round_dot if model.groups == 1 else models.grouped_truncate_round_dot
                c = dot(x, y, c, unit.a, unit.b, lanes=lanes, fraction_bits=model.fraction_bits)
    return canonical(c, "f32")


def one_output(unit: Unit, a: list[int], b: list[int], c: int | None, sa: list[int], sb: list[int]) -> int:
    """Code of one element of D from the codes of a row, a column, an accumulator and their scales."""
    model = unit.model
    match model:
        case IntegerDot():
            overflow = "clamp" if model.clamp else "wrap"
            a, b = ([x % (1 << int(kind[1:])) for x in codes] for codes, kind in ((a, unit.a), (b, unit.b)))
            return models.integer_dot(a, b, c or 0, unit.a, unit.b, lanes=unit.k, overflow=overflow)
        case BinaryDot():
            return models.binary_dot(a, b, c or 0, model.operation)
        case PairedHalves():
            half = unit.d == "f16"
            return models.two_pass_truncated_dot(padded(a, 32), padded(b, 32), c or 0, unit.a, unit.b, half=half)
        case Chain():
            return chain(unit, model, a, b, c, sa, sb)
        case ExactDot() | FlushedDot() | FlooredDot():
            return amd_chain(unit, model, padded(a, unit.k), padded(b, unit.k), c or 0)
    a, b = padded(a, unit.k), padded(b, unit.k)
    parameters: dict[str, Any] = {
        "lanes": min(model.products, unit.k),
        "fraction_bits": model.fraction_bits,
        "conversion": CONVERSION[model.output],
        "floor_exponent": model.floor_exponent,
    }
    if unit.scale is None:
        return models.truncated_dot(a, b, c or 0, unit.a, unit.b, unit.c, **parameters)
    missing = len(a) // unit.scale_block - len(sa)
    parameters |= {
        "a_scales": sa + [ONE[unit.scale]] * missing,
        "b_scales": sb + [ONE[unit.scale]] * missing,
        "scale_type": unit.scale,
        "scale_block": unit.scale_block,
    }
    if model.group:
        return models.grouped_scaled_truncated_dot(a, b, c or 0, unit.a, unit.b, group=model.group, **parameters)
    return models.scaled_truncated_dot(a, b, c or 0, unit.a, unit.b, unit.c, **parameters)


def codes_of(x: Array) -> Array:
    """View an array as the unsigned integers of its codes."""
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


@pytest.fixture(scope="session")
def expected() -> Callable[..., dict[tuple[int, int], int]]:
    """Codes of chosen elements (i, j) of the 2-D product, by the reference."""

    def expect(
        unit: Unit, a: Array, b: Array, c: Array | None = None, scale_a: Array | None = None, scale_b: Array | None = None,
        at: list[tuple[int, int]] | None = None,
    ) -> dict[tuple[int, int], int]:  # fmt: skip
        x, y = codes_of(a).tolist(), codes_of(b).T.tolist()
        z = None if c is None else codes_of(c).tolist()
        sx = [[]] * len(x) if scale_a is None else codes_of(scale_a).tolist()
        sy = [[]] * len(y) if scale_b is None else codes_of(scale_b).T.tolist()
        at = at if at is not None else [(i, j) for i in range(len(x)) for j in range(len(y))]
        return {(i, j): one_output(unit, x[i], y[j], None if z is None else z[i][j], sx[i], sy[j]) for i, j in at}

    return expect


# Ways to draw one row or column: what is multiplied decides which path of a kernel runs.
MODES = ("raw", "finite", "few", "sparse", "cancel", "tiny", "huge", "wide")


def draw_codes(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Rows of codes of an operand type, each in another of MODES."""
    dtype = operand_dtype(kind)
    if kind == "b1":
        return rng.random(shape) < rng.choice([0.1, 0.5, 0.9, 1.0], (shape[0], 1))
    if kind in INTEGERS:
        ends = ml_dtypes.iinfo(dtype)
        x = rng.integers(ends.min, ends.max + 1, shape)
        x[::3] = rng.choice([ends.min, ends.max, 0, -1 if ends.min else 1], x[::3].shape)
        return x.astype(dtype)
    layout = LAYOUTS[kind]
    word = np.dtype(f"u{dtype.itemsize}")
    rows = []
    for i in range(shape[0]):
        mode = MODES[i % len(MODES)]
        codes = rng.integers(0, 1 << layout.bits, shape[1], dtype=np.uint64)
        field = np.uint64(layout.mantissa_bits + layout.padding)
        ones = (1 << layout.exponent_bits) - 1
        exponent = (codes >> field) & np.uint64(ones)
        rest = codes & ~(np.uint64(ones) << field)
        special = layout.nan in ("ieee", "all_ones")
        if mode != "raw":
            exponent = np.minimum(exponent, np.uint64(ones - special))
        if mode in ("few", "cancel", "sparse"):
            spread = min(3, ones - special)
            exponent = np.uint64(max(layout.bias, 1) - spread // 2 if layout.bias < ones else 1) + rng.integers(
                0, spread + 1, shape[1], dtype=np.uint64
            )
            exponent = np.minimum(exponent, np.uint64(ones - special))
        if mode == "tiny":
            exponent = rng.integers(0, 2, shape[1], dtype=np.uint64)
        if mode == "huge":
            exponent = np.uint64(ones - special) - rng.integers(0, 2, shape[1], dtype=np.uint64)
        if mode == "wide":
            middle, reach = layout.bias, min(40, layout.bias, ones - special - layout.bias)
            exponent = np.uint64(middle) + rng.integers(-max(reach, 0), max(reach, 0) + 1, shape[1]).astype(np.uint64)
        codes = rest | exponent << field
        if mode == "sparse":
            codes[rng.random(shape[1]) < 0.7] = 0
        if mode == "cancel":
            half = shape[1] // 2
            codes[half : 2 * half] = codes[:half] ^ np.uint64(1 << layout.magnitude_bits + layout.padding)
        rows.append(codes)
    return np.array(rows).astype(word).view(dtype)


def draw_accumulator(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """An accumulator of ordinary numbers, raw bits, zeros of both signs, limits and specials."""
    dtype = operand_dtype(kind)
    if kind == "s32":
        c = rng.integers(-(2**31), 2**31, shape, dtype=np.int64)
        near = rng.integers(-40000, 40000, shape)
        c = np.where(rng.random(shape) < 0.3, np.where(near < 0, 2**31 + near, -(2**31) + near), c)
        return c.astype(np.int32)
    layout, word = LAYOUTS[kind], np.dtype(f"u{dtype.itemsize}")
    c = rng.integers(0, 1 << layout.bits, shape, dtype=np.uint64)
    plain = codes_of(rng.standard_normal(shape).astype(dtype)).astype(np.uint64)
    c = np.where(rng.random(shape) < 0.6, plain, c)
    special = [
        0,
        1 << layout.bits - 1,
        1,
        layout.largest,
        layout.largest + 1,
        layout.largest + 2,
        (1 << layout.bits - 1) + 1,
    ]
    c = np.where(rng.random(shape) < 0.15, rng.choice(np.array(special, np.uint64), shape), c)
    return c.astype(word).view(dtype)


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[Array, Array, Array, dict[str, Array]]]:
    """Operands, accumulator and scales of a unit, drawn so that every path of a kernel runs."""

    def operands(unit: Unit, m: int, n: int, k: int, seed: int = 0) -> tuple[Array, Array, Array, dict[str, Array]]:
        rng = np.random.default_rng([seed, m, n, k, *map(ord, unit.name)])
        a = draw_codes(unit.a, (m, k), rng)
        b = np.ascontiguousarray(draw_codes(unit.b, (n, k), rng).T)
        c = draw_accumulator(unit.c, (m, n), rng)
        if unit.scale is None:
            return a, b, c, {}
        count = -(-k // unit.scale_block)
        scales = [rng.integers(0, 256, (lines, count), dtype=np.uint8) for lines in (m, n)]
        for s in scales:
            near = rng.random(s.shape) < 0.7
            s[near] = np.clip(s[near] // 16 + (ONE[unit.scale] - 8), 0, 255)
        return a, b, c, {"scale_a": scales[0], "scale_b": np.ascontiguousarray(scales[1].T)}

    return operands
