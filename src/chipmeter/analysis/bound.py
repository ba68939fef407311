"""Forward error bounds: how far a unit's result can be from the exact one, from its operands alone.

A step that ends in the accumulator d_s = d_(s-1) + T_s adds at most (cut of its terms) + (conversion of its sum). With
B_s = |c| + sum of |a_k b_k| up to step s, which bounds every exact partial sum, u the relative error of a conversion and
eta its absolute error among subnormals, the errors obey E_s <= (1 + g) E_(s-1) + g B_s + h, hence
E <= (1 + g)^n (g sum_s B_s + n h): the running form of Higham, "Accuracy and Stability of Numerical Algorithms", section
3.3, and of Blanchard, Higham, Lopez, Mary and Pranesh, "Mixed precision block fused multiply-add" (SISC 2020), with the
cut of an aligned term, 2^(X-F) for the largest exponent X, in place of a rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.analysis.exact import scale_values, values
from chipmeter.formats.records import FORMATS, FloatFormat
from chipmeter.matmul.units import (
    OPERANDS,
    BinaryDot,
    Chain,
    ExactDot,
    FlooredDot,
    FlushedDot,
    FusedDot,
    IntegerDot,
    PairedHalves,
    Unit,
)

Float64 = NDArray[np.float64]

CONVERSIONS = {"rz-f32": (2.0**-23, 2.0**-149), "rz-e8m13": (2.0**-13, 2.0**-139), "rne-f16": (2.0**-11, 2.0**-25)}
_NEAREST = {"f32": (2.0**-24, 2.0**-150), "f64": (2.0**-53, 2.0**-1074), "f16": (2.0**-11, 2.0**-25)}


def bound(
    a: AnyArray,
    b: AnyArray,
    c: AnyArray | None,
    unit: Unit,
    scales: tuple[AnyArray, AnyArray] | None = None,
) -> Float64 | None:
    """Bound `abs(d - (c + a @ b))` for every output of a unit.

    Parameters
    ----------
    a, b, c : ndarray (M, K), (K, N), (M, N)
        Finite operands in the unit's dtypes.
    unit : Unit
    scales : pair of ndarray, optional

    Returns
    -------
    ndarray (M, N) of float64, or None
        None for a model without a bound here. It holds where neither the result nor a partial sum overflows.

    Examples
    --------
    >>> from chipmeter.matmul import unit
    >>> one = np.ones((1, 4), np.float16)
    >>> bool(bound(one, one.T, None, unit("a100/fp16"))[0, 0] < 1e-5)
    True
    """
    x, y = (
        np.abs(values(v, kind, None if scales is None else scales[i], unit, rows=i == 0))
        for i, (v, kind) in enumerate(((a, unit.a), (b, unit.b)))
    )
    start = np.zeros((x.shape[0], y.shape[1])) if c is None else np.abs(c.astype(np.float64))
    match unit.model:
        case FusedDot() as model:
            tops = _tops(a, b, x, y, unit, model, scales)
            step = min(model.products, unit.k)
            terms = step // model.group if model.group else step
            u, eta = CONVERSIONS[model.output]
            return _steps(x, y, start, tops, step, _cut(model, terms, unit.c), u, eta)
        case PairedHalves(step=model):
            u, eta = CONVERSIONS[model.output]
            tops = _exponents(x, unit.a) @ _exponents(y, unit.b)
            products, blocks = x @ y, -(-x.shape[1] // unit.k)
            # both halves see sums of at most this block's products; then one rounded addition per block
            cut, low = _cut(model, 16, unit.c)
            halves = (1 + u + cut) ** 2 * (cut * (tops + products) + 2 * u * products + 2 * blocks * (eta + low))
            u, eta = _NEAREST[unit.d]
            after = _steps(x, y, start + halves, None, unit.k, (0.0, 0.0), u, eta)
            return np.asarray(halves * (1 + u) ** blocks + after)
        case Chain() as model:
            return _chain(x, y, start, model, unit)
        case IntegerDot() | BinaryDot():
            return np.zeros_like(start)
        case ExactDot() as model:
            return _steps(x, y, start, None, min(model.products, unit.k), (0.0, 0.0), *_NEAREST["f32"])
        case FlushedDot() as model:
            return _flushed(x, y, start, model, unit)
        case FlooredDot() as model:
            # the cut of every product, of two groups and of c (or its being dropped), and of their sum at 32 bits
            step = min(model.products, unit.k)
            cut = (step + 4) * 2.0**-model.fraction_bits
            u, eta = _NEAREST["f32"]
            tops = np.asarray(_exponents(x, unit.a) @ _exponents(y, unit.b))
            return _steps(x, y, start, tops, step, (cut, cut * 2.0**-126), u + 2.0**-30, 2 * eta)
        case _:
            return None


def _cut(model: FusedDot, terms: int, c: str) -> tuple[float, float]:
    """Bound what aligning `terms` products and c loses: relative to 2^exponents, and with the floor alone."""
    relative = (terms + 1) * 2.0**-model.fraction_bits
    lowest = -14 if c == "f16" else -126  # a subnormal accumulator aligns at its type's lowest exponent
    return relative, relative * (2.0**model.floor_exponent + 2.0**lowest)


def _exponents(x: Float64, kind: str) -> Float64:
    """2^e of each non-zero operand, e that of its un-normalised significand: at least the format's lowest."""
    fmt = FORMATS.get(OPERANDS[kind])
    lowest = fmt.min_exponent if isinstance(fmt, FloatFormat) else -126
    power = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - 1, lowest))
    return np.where(x == 0, 0.0, power)


def _tops(
    a: AnyArray, b: AnyArray, x: Float64, y: Float64, unit: Unit, model: FusedDot, scales: tuple[AnyArray, AnyArray] | None
) -> Float64:  # fmt: skip
    """Sum over k of 2^(exponents): at least the sum over steps of 2^X."""
    if scales is None:
        return np.asarray(_exponents(x, unit.a) @ _exponents(y, unit.b))
    left, right = (scale_values(s, unit) for s in scales)
    floor = 2.0**-6 if unit.scale == "ue4m3" else 0.0
    left, right = (np.where(s == 0, 0.0, np.ldexp(1.0, np.frexp(np.maximum(s, floor))[1] - 1)) for s in (left, right))
    if model.group:
        count = unit.scale_block // model.group
        left, right = np.repeat(left, count, axis=1), np.repeat(right, count, axis=0)
        return np.asarray(left @ right)
    bare = [np.abs(values(v, kind, None, unit, rows=True)) for v, kind in ((a, unit.a), (b, unit.b))]
    wide_a = np.repeat(left, unit.scale_block, axis=1)[:, : a.shape[1]]
    wide_b = np.repeat(right, unit.scale_block, axis=0)[: b.shape[0]]
    return np.asarray((_exponents(bare[0], unit.a) * wide_a) @ (_exponents(bare[1], unit.b) * wide_b))


def _steps(
    x: Float64, y: Float64, start: Float64, tops: Float64 | None, step: int, cut: tuple[float, float], u: float, eta: float
) -> Float64:  # fmt: skip
    """Bound a chain of steps of `step` products."""
    depth = x.shape[1]
    count = -(-depth // step)
    later = count - np.arange(depth) // step  # how many partial sums hold product k, the step's own included
    sums = count * start + (x * later) @ y
    relative, floor = cut
    growth = (1 + u + relative) ** count
    aligned = relative * (sums + (0.0 if tops is None else tops)) if relative else 0.0
    return np.asarray(growth * (u * sums + aligned + count * (eta + floor)))


def _flushed(x: Float64, y: Float64, start: Float64, model: FlushedDot, unit: Unit) -> Float64:
    """Bound sums of rounded products in pairs: what flushing takes is lost whole, be it operand or result."""
    u, eta = _NEAREST["f32"]
    tiny = 2.0**-126 + eta
    left, right = (_normal(v, kind) for v, kind in ((x, unit.a), (y, unit.b)))
    lost = (x - left) @ y + left @ (y - right)
    inside = ((1 + u) ** 3 - 1) * (left @ right) + 2 * (1 + u) ** 3 * x.shape[1] * tiny + tiny
    tiles = -(-x.shape[1] // model.products)
    after = _steps(left, right, start + inside, None, model.products, (0.0, 0.0), u, tiny)
    return np.asarray(lost + (1 + u) ** tiles * inside + after)


def _normal(x: Float64, kind: str) -> Float64:
    fmt = FORMATS.get(OPERANDS[kind])
    lowest = fmt.min_exponent if isinstance(fmt, FloatFormat) else -126
    return np.where(x < 2.0**lowest, 0.0, x)


def _chain(x: Float64, y: Float64, start: Float64, model: Chain, unit: Unit) -> Float64 | None:
    u, eta = _NEAREST[unit.d]
    if model.rounding != "nearest-even":
        u, eta = 2 * u, 2 * eta
    if model.tile == 0:
        return _steps(x, y, start, None, 1, (0.0, 0.0), u, eta)
    products, depth = x @ y, x.shape[1]
    if model.order == "sequential":
        tile = min(model.tile, depth)
        inside = (1 + u) ** tile * (u * tile * products + depth * eta)
    elif model.order == "pairwise":
        levels = 1 + int(np.ceil(np.log2(min(model.tile, depth) + 1)))
        inside = ((1 + u) ** levels - 1) * products + 2 * (1 + u) ** levels * depth * eta
    elif model.order == "f64":
        inside = (u + (depth + 2) * 2.0**-52) * products + depth * eta
    else:
        return None
    scaled = 2 * depth * (u * products + eta) if unit.scale is not None else 0.0
    tiles = -(-depth // model.tile)
    inside = inside + scaled
    return np.asarray((1 + u) ** tiles * inside + _steps(x, y, start + inside, None, model.tile, (0.0, 0.0), u, eta))
