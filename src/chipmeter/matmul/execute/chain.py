"""IEEE chains: operands decoded to binary32 or binary64, then one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.formats.records import FORMATS
from chipmeter.matmul.canonical import canonical
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import PANEL, panels_of
from chipmeter.matmul.units import OPERANDS, Chain, Unit

_FLOAT32 = np.dtype(np.float32)
_EXACT = ("f32", "f64")
"""Operands that are multiplied as they are."""

ROWS = 96
"""Rows of A decoded at once: as many as the kernel multiplies with all of B (CHAIN_BLOCK_ROWS)."""

CODES = 1 << 17
"""Elements of B whose codes lie in panels at once, before they are decoded."""

_ORDERS = {"sequential": 0, "pairwise": 1, "f64": 2}
_ROUNDINGS = {"nearest-even": 0, "down": 1, "up": 1, "toward-zero": 2}


def chain(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> None:  # fmt: skip
    """Run one chain, or tiles of it, per output of d."""
    k = a.shape[1]
    depth = k if model.tile else -(-k // unit.k) * unit.k  # zeros turn an accumulator of -0 to +0
    panels = _panels(b, unit, depth, scales[1])
    addend = None if c is None else np.ascontiguousarray(c)
    upward = model.rounding == "up"  # the negative of -a @ b - c rounded down
    if upward:
        addend = -np.zeros(d.shape, d.dtype) if addend is None else -addend
    result = d if d.flags.c_contiguous else np.empty(d.shape, d.dtype)
    kernel: Any = _kernels.chain_f64 if panels.dtype == np.float64 else _kernels.chain_f32

    def work(begin: int, end: int) -> None:
        room = None if unit.a in _EXACT else _recycle.aligned((min(ROWS, end - begin), k), _FLOAT32)
        for i in range(begin, end, ROWS):
            some = slice(i, min(i + ROWS, end))
            left = _values(a[some], unit, scales[0] if scales[0] is None else scales[0][some], room)
            if k != depth:
                left = np.pad(left, ((0, 0), (0, depth - k)))
            if upward:
                left = -left
            start = None if addend is None else addend[some]
            order, rounding = _ORDERS[model.order], _ROUNDINGS[model.rounding]
            kernel(left, panels, start, result[some], model.tile, order, rounding, 0, len(left))
            if upward:
                np.negative(result[some], out=result[some])
                canonical(result[some])

    rows(work, len(a), d.shape[1], depth, threads)
    if result is not d:
        d[...] = result


def _values(a: AnyArray, unit: Unit, scales: AnyArray | None, room: NDArray[np.float32] | None) -> NDArray[Any]:
    """Decode some rows of A as they are needed, in the same memory: A is never widened whole."""
    if room is None:
        return np.ascontiguousarray(a)
    left = decode(a, FORMATS[OPERANDS[unit.a]], out=room[: len(a)])
    return left if scales is None else dequantize(left, scales, unit)


def _panels(b: AnyArray, unit: Unit, depth: int, scales: AnyArray | None) -> NDArray[Any]:
    """Lay B out in panels of binary32 or binary64, in memory that large products hand from one to the next."""
    if unit.b in _EXACT:
        return panels_of(b, depth)
    count = -(-b.shape[1] // PANEL)
    panels = _recycle.aligned((count, depth, PANEL), _FLOAT32)
    step = max(1, CODES // (depth * PANEL))
    codes = np.empty((min(step, count), depth, PANEL), b.dtype)
    for i in range(0, count, step):
        some = panels_of(b[:, i * PANEL : (i + step) * PANEL], depth, codes[: count - i])
        decode(some, FORMATS[OPERANDS[unit.b]], out=panels[i : i + step])
    if scales is not None:
        factors = panels_of(_scale_values(scales, unit).T, scales.shape[1])
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for panel, factor in zip(panels, factors, strict=True):
                panel *= np.repeat(factor, unit.scale_block, axis=0)[:depth]
    return panels


def dequantize(x: NDArray[np.float32], scales: AnyArray, unit: Unit) -> NDArray[np.float32]:
    """Multiply each block along the last axis by its scale, in float32."""
    factors = np.repeat(_scale_values(scales, unit), unit.scale_block, axis=1)[:, : x.shape[1]]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.asarray(x * factors, np.float32)


def _scale_values(scales: AnyArray, unit: Unit) -> NDArray[np.float32]:
    return decode(scales, "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3")  # which ignores the top bit
