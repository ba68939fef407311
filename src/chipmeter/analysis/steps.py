"""A product taken apart: the unit run step by step beside exact sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.analysis.exact import Float64, Pair, exact_product, plus, values
from chipmeter.matmul import Unit, matmul

_FRACTION = {"f64": 52, "f32": 23, "f16": 10}
_LOWEST = {"f64": -1022, "f32": -126, "f16": -14}

Index = NDArray[np.int64]


def ablate(
    a: AnyArray,
    b: AnyArray,
    c: AnyArray | None,
    scales: tuple[AnyArray, AnyArray] | None,
    unit: Unit,
    rows: Index,
    columns: Index,
    d: AnyArray,
) -> list[tuple[str, Float64]] | None:
    """Find the errors of chosen outputs as steps are made exact in turn.

    Returns
    -------
    list of (step, errors (rows, columns))
        The first errors are the unit's; each next ones those with the step before made exact. None if the unit is no
        chain of its steps (a run step by step gives other bits), or an integer one.
    """
    if unit.d not in _FRACTION:
        return None
    left, right = a[rows], b[:, columns]
    addend = None if c is None else np.ascontiguousarray(c[np.ix_(rows, columns)])
    pair = None if scales is None else (scales[0][rows], scales[1][:, columns])
    want = d[np.ix_(rows, columns)]
    for step in dict.fromkeys((_products(unit), unit.k)):
        if unit.scale is not None and step % unit.scale_block:
            continue
        last, clean, exact = _run(left, right, addend, pair, unit, step)
        if last is not None and np.array_equal(last, want, equal_nan=True):
            once = _convert(exact, unit)
            results = ((_inside(unit), last.astype(np.float64)), ("accumulation", clean), ("output", once))
            with np.errstate(invalid="ignore"):
                return [(name, plus((-exact[0], -exact[1]), r)[0]) for name, r in results]
    return None


def _inside(unit: Unit) -> str:
    """Name what is lost inside a step: an IEEE chain rounds there, other models cut."""
    return "truncation" if not hasattr(unit.model, "tile") else "rounding in tiles"


def _products(unit: Unit) -> int:
    """Products that a unit adds before it writes the accumulator."""
    fused = getattr(unit.model, "products", None)
    if fused is not None:
        return min(int(fused), unit.k)
    tile = getattr(unit.model, "tile", None)
    return unit.k if tile is None else int(tile) or 1


def _run(
    a: AnyArray, b: AnyArray, c: AnyArray | None, scales: tuple[AnyArray, AnyArray] | None, unit: Unit, step: int
) -> tuple[AnyArray | None, Float64, Pair]:
    """Run a chain of steps: on the unit; with exact sums rounded to nearest after each step; and with exact sums alone."""
    depth = a.shape[1]
    accumulator = c
    clean = np.zeros((a.shape[0], b.shape[1])) if c is None else c.astype(np.float64)
    exact: Pair = clean, np.zeros_like(clean)
    for begin in range(0, depth, step):
        part = slice(begin, min(begin + step, depth))
        x, y = np.ascontiguousarray(a[:, part]), np.ascontiguousarray(b[part])
        one: tuple[AnyArray | None, AnyArray | None] = (None, None)
        if scales is not None:
            blocks = slice(begin // unit.scale_block, -(-part.stop // unit.scale_block))
            one = np.ascontiguousarray(scales[0][:, blocks]), np.ascontiguousarray(scales[1][blocks])
        if unit.c != unit.d and begin > 0:  # the result is no accumulator input
            return None, clean, exact
        accumulator = matmul(x, y, accumulator, unit=unit, scale_a=one[0], scale_b=one[1])
        left = values(x, unit.a, one[0], unit, rows=True)
        with np.errstate(all="ignore"):
            high, low = exact_product(left, values(y, unit.b, one[1], unit, rows=False))
            clean = _convert(plus((high, low), clean), unit)
            exact = plus(plus(exact, high), low)
    return accumulator, clean, exact


def _convert(exact: Pair, unit: Unit) -> Float64:
    """Round exact sums to nearest even in the accumulator's format: what a step cannot avoid to lose."""
    if unit.d == "f64":
        return exact[0]
    high, low = exact
    fraction = 13 if getattr(unit.model, "output", "") == "rz-e8m13" else _FRACTION[unit.d]
    ulp = np.ldexp(1.0, np.maximum(np.frexp(high)[1] - 1, _LOWEST[unit.d]) - fraction)
    scaled, rest = high / ulp, low / ulp
    broken = np.where(rest > 0, np.ceil(scaled), np.floor(scaled))  # a tie that the low part decides
    tie = (np.abs(scaled - np.trunc(scaled)) == 0.5) & (rest != 0)
    return np.asarray(np.where(tie, broken, np.rint(scaled)) * ulp)
