"""Exact products as unevaluated sums of two float64 (double-double), by float64 GEMMs that make no error.

Operands are cut into slices of so few bits that no float64 sum of their products rounds (Ozaki, Ogita, Oishi and Rump,
"Error-free transformations of matrix multiplication", Numerical Algorithms 2012); the slices' products are then added
with two-sum (Knuth), so that what is left out is below 2^-100 of the largest partial sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.formats.records import FORMATS, FloatFormat
from chipmeter.matmul.units import OPERANDS, BinaryDot, Unit

Float64 = NDArray[np.float64]
Pair = tuple[Float64, Float64]
"""High and low part: the number is their sum."""


def values(x: AnyArray, kind: str, scales: AnyArray | None, unit: Unit, *, rows: bool) -> Float64:
    """Return an operand as float64, exactly, its block scales multiplied in."""
    fmt = FORMATS.get(OPERANDS[kind])
    y = decode(x, fmt).astype(np.float64) if isinstance(fmt, FloatFormat) else x.astype(np.float64)
    if scales is None:
        return y
    axis = 1 if rows else 0
    return y * np.repeat(scale_values(scales, unit), unit.scale_block, axis=axis)[: y.shape[0], : y.shape[1]]


def factors(a: AnyArray, b: AnyArray, scales: tuple[AnyArray, AnyArray] | None, unit: Unit) -> tuple[Float64, Float64]:
    """Return matrices in float64 whose exact product is what a unit's result approaches."""
    left, right = (None, None) if scales is None else scales
    x, y = values(a, unit.a, left, unit, rows=True), values(b, unit.b, right, unit, rows=False)
    if unit.model == BinaryDot("xor"):  # bits differ where one is set and the other is not
        return np.hstack([x, 1 - x]), np.vstack([1 - y, y])
    return x, y


def scale_values(scales: AnyArray, unit: Unit) -> Float64:
    """Decode block scales; the top bit of a ue4m3 byte is ignored."""
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"
    return decode(scales.view(np.uint8), kind).astype(np.float64)


def two_sum(a: Float64, b: Float64) -> Pair:
    """Add without loss: sum and error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def plus(x: Pair, y: Float64) -> Pair:
    """Add a float64 to a double-double."""
    high, low = two_sum(x[0], y)
    return two_sum(high, low + x[1])


def _slices(x: Float64, bits: int, axis: int) -> list[Float64]:
    """Cut each row (axis 1) or column (axis 0) into parts of `bits` bits, the largest first; their sum is x."""
    parts: list[Float64] = []
    while x.any():
        top = np.frexp(np.abs(x).max(axis=axis, keepdims=True))[1]
        part = np.ldexp(np.trunc(np.ldexp(x, bits - top)), top - bits)
        parts.append(part)
        x = x - part
    return parts


def exact_product(a: Float64, b: Float64, c: Float64 | None = None) -> Pair:
    """Compute c + a @ b as double-double.

    Parameters
    ----------
    a : ndarray (M, K) of float64, finite
    b : ndarray (K, N) of float64, finite
    c : ndarray (M, N) of float64, optional

    Returns
    -------
    (high, low) : ndarray (M, N) of float64
        Their sum is the exact value but for 2^-100 of the largest partial sum, as long as no product of slices leaves
        float64's range.

    Examples
    --------
    >>> high, low = exact_product(np.array([[1e20, 1.0, -1e20]]), np.array([[1.0], [1.0], [1.0]]))
    >>> float(high[0, 0]), float(low[0, 0])
    (1.0, 0.0)
    """
    bits = (53 - int(a.shape[1]).bit_length()) // 2
    total: Pair = np.zeros((a.shape[0], b.shape[1])), np.zeros((a.shape[0], b.shape[1]))
    right = _slices(b, bits, 0)
    for left in _slices(a, bits, 1):
        for part in right:
            total = plus(total, left @ part)
    return total if c is None else plus(total, c)
