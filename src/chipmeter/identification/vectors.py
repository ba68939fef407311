"""Inputs on which units differ: every window of exponents, cancellation, ties, tiny and huge accumulators, specials.

The operands of one product are whole matrices, so that one call compares rows x columns dot products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.formats.records import FORMATS, FloatFormat, IntegerFormat
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import OPERANDS

LINES = 32
"""Rows of A and columns of B of a product."""

MODES = ("near", "middle", "wide", "low", "high", "powers", "cancel", "sparse", "special")


@dataclass(frozen=True)
class Batch:
    """The operands of one product."""

    name: str
    a: AnyArray
    b: AnyArray
    c: AnyArray | None
    scales: tuple[AnyArray, AnyArray] | None


@dataclass(frozen=True)
class Layout:
    """Fields of a floating-point code, from the top: sign, exponent, fraction, padding."""

    exponent_bits: int
    mantissa_bits: int
    padding: int
    bias: int
    finite: int

    @property
    def lowest(self) -> int:
        """Exponent of the smallest normal number."""
        return 1 - self.bias

    @property
    def highest(self) -> int:
        """Exponent of the largest number; codes at the very top of formats without infinity are left to "special"."""
        return self.finite - self.bias


def layout(kind: str) -> Layout | None:
    """Find the layout of an operand type; None for integers."""
    fmt = FORMATS.get(OPERANDS[kind])
    if isinstance(fmt, FloatFormat):
        top = fmt.max_code >> fmt.mantissa_bits
        full = fmt.max_code & ((1 << fmt.mantissa_bits) - 1) == (1 << fmt.mantissa_bits) - 1
        return Layout(fmt.exponent_bits, fmt.mantissa_bits, fmt.padding, fmt.bias, top if full else top - 1)
    if fmt is not None:
        return None
    dtype = operand_dtype(kind)
    if dtype.kind != "f":
        return None
    info = np.finfo(dtype)
    bits = dtype.itemsize * 8 - 1 - info.nmant
    return Layout(bits, info.nmant, 0, (1 << (bits - 1)) - 1, (1 << bits) - 2)


def decoded(x: AnyArray, kind: str) -> NDArray[np.float64]:
    """Return the values of an operand."""
    if OPERANDS[kind] in FORMATS and layout(kind) is not None:
        return decode(x, FORMATS[OPERANDS[kind]]).astype(np.float64)
    return x.astype(np.float64)


def _window(mode: str, kind: Layout, first: bool) -> tuple[int, int]:
    """Exponents of the operands' numbers, inclusive; below the lowest they are subnormal."""
    low, high = kind.lowest - 1, kind.highest
    wide_type = low < -64
    around = {"near": 1, "middle": 12, "powers": 14, "cancel": 10, "sparse": 20, "special": 16}
    if mode in around:
        return max(low, -around[mode]), min(high, around[mode])
    if mode == "wide":
        return low, high
    if mode == "low":  # products about the smallest subnormal of the result
        if wide_type:
            half = -75 if kind.bias == 127 else -537
            return (half, half + 15) if first else (half - 4, half + 8)
        return low, low + 2
    half = 64 if kind.bias == 127 else 512
    return (half - 2, half) if wide_type else (high - 1, high)


def draw(kind: str, lines: int, depth: int, mode: str, rng: np.random.Generator, *, first: bool) -> AnyArray:
    """Draw (lines, depth) codes of an operand type."""
    dtype, fields = operand_dtype(kind), layout(kind)
    if fields is None:
        return _draw_integers(kind, lines, depth, mode, rng)
    word = np.dtype(f"u{dtype.itemsize}")
    low, high = _window(mode, fields, first)
    exponent = rng.integers(low, high + 1, (lines, depth)) + fields.bias
    fraction = rng.integers(0, 1 << fields.mantissa_bits, (lines, depth))
    if mode == "powers":
        fraction = np.where(rng.random((lines, depth)) < 0.8, 0, fraction)
    negative = rng.integers(0, 2, (lines, depth))
    exponent = np.clip(exponent, 0, fields.finite)
    magnitude = (exponent << fields.mantissa_bits | fraction) << fields.padding
    if fields.padding:
        magnitude |= rng.integers(0, 1 << fields.padding, magnitude.shape)
    sign = fields.exponent_bits + fields.mantissa_bits + fields.padding
    # the code of -0 is NaN in some formats: a zero keeps its sign positive but for the special mode
    codes = magnitude | np.where(magnitude == 0, 0, negative) << sign
    if mode == "special":
        chosen = rng.random((lines, depth)) < 2 / depth
        top = [
            m << fields.padding
            for m in (0, 1, (fields.finite + 1) << fields.mantissa_bits, (1 << sign - fields.padding) - 1)
        ]
        raw = rng.choice(np.array(top), (lines, depth)) | negative << sign
        codes = np.where(chosen, raw, codes)
    if mode == "cancel":
        half = depth // 2
        flip = (1 << sign) if first else 0
        mirrored = codes[:, :half] ^ np.where(codes[:, :half] == 0, 0, flip)
        kept = rng.random((lines, half)) < (0.8 if first else 1.0)
        codes[:, half : 2 * half] = np.where(kept, mirrored, codes[:, half : 2 * half])
    if mode == "sparse":
        codes[rng.random((lines, depth)) < 0.7] = 0
    if first:  # short sums too: rows end after a few products
        ends = rng.choice([1, 2, 3, 4, 8, 16, depth, depth, depth, depth], lines)
        if mode != "cancel":
            codes[np.arange(depth)[None, :] >= ends[:, None]] = 0
    return np.ascontiguousarray(codes.astype(np.uint64).astype(word)).view(dtype)


def _draw_integers(kind: str, lines: int, depth: int, mode: str, rng: np.random.Generator) -> AnyArray:
    fmt = FORMATS.get(OPERANDS[kind])
    low, high = (fmt.min, fmt.max) if isinstance(fmt, IntegerFormat) else (0, 1)
    if mode in ("high", "special"):
        return rng.choice([low, high], (lines, depth)).astype(operand_dtype(kind))
    if mode in ("near", "low"):
        low, high = max(low, -1), min(high, 1)
    return rng.integers(low, high + 1, (lines, depth)).astype(operand_dtype(kind))


def _accumulator(
    kind: str, a: NDArray[np.float64], b: NDArray[np.float64], mode: str, rng: np.random.Generator
) -> AnyArray:
    """Accumulators from far below the products to just above them; zeros of both signs, subnormals, specials."""
    shape, dtype = (a.shape[0], b.shape[1]), operand_dtype(kind)
    if dtype.kind in "iu":
        near = rng.integers(-40000, 40000, shape)
        limit = np.where(near < 0, 2**31 + near, -(2**31) + near)
        return np.where(rng.random(shape) < 0.5, limit, near).astype(dtype)
    with np.errstate(all="ignore"):
        size = np.nan_to_num(np.abs(a) @ np.abs(b), nan=1.0, posinf=1.0)
        size = np.where(size > 0, size, 1.0)
        exponent = rng.integers(-36, 8, shape)
        c = np.ldexp(size * rng.uniform(0.5, 1.0, shape), exponent) * rng.choice([-1.0, 1.0], shape)
        c = np.where(rng.random(shape) < 0.2, np.ldexp(1.0, np.frexp(size)[1] + exponent) * np.sign(c), c)
        c = np.where(rng.random(shape) < 0.25, rng.choice([0.0, 0.0, 0.0, -0.0], shape), c)
        fields = layout(kind)
        assert fields is not None
        least = np.ldexp(1.0, fields.lowest - fields.mantissa_bits)
        tiny = least * rng.integers(1, 1 << min(fields.mantissa_bits, 40), shape) * np.sign(c)
        c = np.where(rng.random(shape) < (0.4 if mode == "low" else 0.05), tiny, c)
        if mode == "special":
            c = np.where(rng.random(shape) < 0.05, rng.choice([np.inf, -np.inf, np.nan], shape), c)
        return np.ascontiguousarray(c.astype(dtype))


def _scale(kind: str, lines: int, count: int, mode: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    one = {"ue8m0": 0x7F, "ue4m3": 0x38}[kind]
    reach = {"near": 1, "wide": 30, "special": 40, "cancel": 0}.get(mode, 8)
    codes = np.clip(one + rng.integers(-reach, reach + 1, (lines, count)), 0, 0x7E if kind == "ue4m3" else 0xFE)
    if mode in ("low", "high"):
        codes = np.clip(codes + (-64 if mode == "low" else 60), 0, 0x7E if kind == "ue4m3" else 0xFE)
    if mode == "special":
        codes = np.where(rng.random(codes.shape) < 0.1, rng.choice([0, 0xFF, 0x7F, 0xB8], codes.shape), codes)
    return codes.astype(np.uint8)


def batches(
    types: tuple[str, str, str, str], addend: bool, scale: str | None, block: int, step: int, seed: int = 0
) -> Iterator[Batch]:
    """Every product to compare: each mode with and without an accumulator at a short, a middle and a long K.

    Parameters
    ----------
    step : int
        What K must be a multiple of.
    seed : int
        Another seed draws other operands of the same kinds.
    """
    plan = [(mode, depth) for mode in MODES for depth in (32, 128)]
    plan += [(mode, 1024) for mode in ("near", "middle", "wide", "sparse")]
    if layout(types[0]) is None:
        plan = [(mode, depth) for mode in ("near", "middle", "high") for depth in (32, 128, 1024)]
    for number, (mode, depth) in enumerate(plan):
        for with_c in ((True, False) if depth < 1024 else (True,)) if addend else (False,):
            k = -(-depth // step) * step
            rng = np.random.default_rng([number, with_c, depth, *([seed] if seed else [])])
            a = draw(types[0], LINES, depth, mode, rng, first=True)
            b = draw(types[1], LINES, depth, mode, rng, first=False)
            a, b = (
                np.pad(x.view(np.uint8).reshape(LINES, -1), ((0, 0), (0, (k - depth) * x.itemsize))).view(x.dtype)
                for x in (a, b)
            )
            b = np.ascontiguousarray(b.T)
            scales: tuple[Any, Any] | None = None
            if scale is not None:
                count = -(-k // block)
                left = _scale(scale, LINES, count, mode, rng)
                scales = left, np.ascontiguousarray(_scale(scale, LINES, count, mode, rng).T)
            c = _accumulator(types[2], decoded(a, types[0]), decoded(b, types[1]), mode, rng) if with_c else None
            yield Batch(f"{mode}, K = {k}{', c' if with_c else ''}", a, b, c, scales)
