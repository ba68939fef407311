"""Wider products from narrower units: float32 from bfloat16 terms, float64 from int8 slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.formats import cast, decode
from chipmeter.matmul.orders import Bf16Terms, Ozaki

Product = Callable[..., AnyArray]


def terms(x: NDArray[np.float32], order: Bf16Terms) -> list[AnyArray]:
    """Cut float32 into bfloat16 terms, largest first."""
    found = []
    for i in range(order.parts):
        last = i == order.parts - 1
        term = cast(x, "bfloat16", rounding="nearest-even" if last else order.split, nan=0x7FFF)
        found.append(term)
        with np.errstate(all="ignore"):
            x = x - decode(term)
    return found


def bf16_terms(order: Bf16Terms, product: Product, a: AnyArray, b: AnyArray) -> AnyArray:
    """Accumulate the products of terms."""
    left, right = terms(np.asarray(a), order), terms(np.asarray(b), order)
    total: AnyArray | None = None
    for at, (i, j) in enumerate(order.products):
        if order.clear_nan and at == len(order.products) - 1 and total is not None:
            total[np.isnan(total)] = 0
        if total is None or order.combine == "chain":
            total = product(left[i], right[j], total)
        else:
            part = product(left[i], right[j])
            with np.errstate(all="ignore"):
                total = total + part
    assert total is not None
    return total


def ozaki(order: Ozaki, product: Product, a: AnyArray, b: AnyArray) -> NDArray[np.float64]:
    """Accumulate the products of int8 slices in float64."""
    for name, x in (("a", a), ("b", b)):
        if not np.isfinite(x).all():
            raise ValueError(f"the Ozaki scheme takes finite numbers, {name} holds NaN or infinity")
    bits = order.digit_bits(a.shape[-1])
    left_exponent, right_exponent = _exponents(a, -1), _exponents(b, -2)
    count = order.slices
    if count is None:
        depth = max(_depth(a, left_exponent), _depth(b, right_exponent))
        count = min(max(-(-depth // bits), 1), 128 // bits)
    left, right = _digits(a, left_exponent, bits, count), _digits(b, right_exponent, bits, count)
    total: NDArray[np.float64] | None = None
    for s in range(2, count + 2):
        for j in range(1, s):
            part = np.ldexp(product(left[j - 1], right[s - j - 1]).astype(np.float64), -bits * s)
            total = part if total is None else total + part
    assert total is not None
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(np.ldexp(total, left_exponent), right_exponent), np.float64)


def _exponents(x: AnyArray, axis: int) -> NDArray[np.int32]:
    """Exponent of the power of two above the largest magnitude of each row or column."""
    return np.asarray(np.frexp(np.abs(x).max(axis, keepdims=True))[1], np.int32)


def _depth(x: AnyArray, exponent: NDArray[np.int32]) -> int:
    """Count the bits below that power which hold every number entirely."""
    fraction, own = np.frexp(x)
    significand = np.ldexp(np.abs(fraction), 53).astype(np.int64)
    lowest = significand & -significand  # a power of two, exact in float64
    trailing = np.frexp(lowest.astype(np.float64))[1] - 1
    needed = np.where(significand == 0, 0, exponent - (own - 53 + trailing))
    return int(needed.max())


def _digits(x: AnyArray, exponent: NDArray[np.int32], bits: int, count: int) -> list[NDArray[np.int8]]:
    rest = np.ldexp(np.abs(x), -exponent)
    negative = np.signbit(x)
    slices = []
    for _ in range(count):
        rest = np.ldexp(rest, bits)
        digit = np.floor(rest)
        rest -= digit
        slices.append(np.where(negative, -digit, digit).astype(np.int8))
    return slices
