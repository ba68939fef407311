"""The cast to integer formats: round by the mode, then saturate; NaN becomes 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, dtype_of
from chipmeter.formats.policies import Rounding
from chipmeter.formats.records import IntegerFormat


def cast_integer(
    x: AnyArray,
    fmt: IntegerFormat,
    rounding: Rounding,
    words: NDArray[np.uint32] | None,
    seed: int,
    offset: int,
    random_bits: int,
) -> AnyArray:
    """Round to integers; arguments as those of `chipmeter.cast`, already checked.

    >>> from chipmeter.formats.records import FORMATS
    >>> cast_integer(np.float32([2.5, -200, np.nan]), FORMATS["int8"], "nearest-even", None, 0, 0, 32)
    array([   2, -128,    0], dtype=int8)
    """
    with np.errstate(invalid="ignore"):  # a signalling NaN is no reason to warn
        wide = _normal(x).astype(np.float64)
    # values this far out saturate whatever the mode; what remains has an exact integer part and fraction
    value = np.clip(np.nan_to_num(wide, nan=0.0, posinf=1e6, neginf=-1e6), -1e6, 1e6)
    magnitude, negative = np.abs(value), value < 0
    whole = np.floor(magnitude)
    fraction = magnitude - whole
    rounded = whole + _carry(fraction, whole, negative, rounding, words, seed, offset, random_bits)
    return (
        np.clip(np.where(negative, -rounded, rounded), fmt.min, fmt.max)
        .astype(np.int8 if fmt.signed else np.uint8)
        .astype(dtype_of(fmt.dtype))
    )


def _normal(x: AnyArray) -> AnyArray:
    """Replace subnormals by the smallest normal number of their sign, which rounds as they do.

    NumPy would take them for zero where another library has told the processor to.
    """
    word, sign = np.dtype(f"u{x.dtype.itemsize}"), 1 << (8 * x.dtype.itemsize - 1)
    least = int(np.finfo(x.dtype).tiny.view(word))
    raw = np.ascontiguousarray(x).view(word)
    magnitude = raw & word.type(sign - 1)
    subnormal = (magnitude > 0) & (magnitude < least)
    return np.where(subnormal, raw & word.type(sign) | word.type(least), raw).view(x.dtype).reshape(x.shape)


def _carry(
    fraction: NDArray[np.float64],
    whole: NDArray[np.float64],
    negative: NDArray[np.bool_],
    rounding: Rounding,
    words: NDArray[np.uint32] | None,
    seed: int,
    offset: int,
    random_bits: int,
) -> NDArray[np.bool_]:
    odd = whole % 2 == 1
    match rounding:
        case "nearest-even" | "nearest-even-code":
            return np.asarray((fraction > 0.5) | ((fraction == 0.5) & odd))
        case "nearest-away":
            return np.asarray(fraction >= 0.5)
        case "up":
            return np.asarray((fraction > 0) & ~negative)
        case "down":
            return np.asarray((fraction > 0) & negative)
        case "odd":
            return np.asarray((fraction > 0) & ~odd)
        case "stochastic":
            if words is None:
                words = np.empty(fraction.size, np.uint32)
                _kernels.philox(words, seed, offset)
            low = words.astype(np.uint64) & np.uint64((1 << random_bits) - 1)
            kept = np.floor(fraction.reshape(-1) * 2.0**random_bits).astype(np.uint64)
            return np.asarray((kept + low) >> np.uint64(random_bits) > 0).reshape(fraction.shape)
        case _:
            return np.zeros(fraction.shape, bool)
