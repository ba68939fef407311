"""IEEE chains: operands decoded to binary32 or binary64, then one kernel."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.formats.policies import decode_spec
from chipmeter.matmul.canonical import canonical
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import PANEL, layout_of, panels_of, raw_codes, values
from chipmeter.matmul.units import Chain, Unit

_FLOAT32 = np.dtype(np.float32)
_EXACT = ("f32", "f64")
"""Operands that are multiplied as they are."""

ROWS = 96
"""Rows of A decoded at once: as many as the kernel multiplies with all of B (CM_CHAIN_ROWS)."""

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
    single = panels.dtype == np.float32
    how = model.tile, _ORDERS[model.order], _ROUNDINGS[model.rounding]
    code = _code(unit.a)

    def as_they_are(begin: int, end: int) -> None:
        room = None if code is None else _recycle.aligned((min(ROWS, end - begin), k), _FLOAT32)
        if single:
            _kernels.chain_f32(left, code, room, panels, addend, result, *how, begin, end)
        else:
            _kernels.chain_f64(left, panels, addend, result, *how, begin, end)

    def by_blocks(begin: int, end: int) -> None:
        for i in range(begin, end, ROWS):
            some = slice(i, min(i + ROWS, end))
            block = _values(a[some], unit, scales[0] if scales[0] is None else scales[0][some])
            if k != depth:
                block = np.pad(block, ((0, 0), (0, depth - k)))
            if upward:
                block = -block
            start = None if addend is None else addend[some]
            if single:
                _kernels.chain_f32(block, None, None, panels, start, result[some], *how, 0, len(block))
            else:
                _kernels.chain_f64(block, panels, start, result[some], *how, 0, len(block))
            if upward:
                np.negative(result[some], out=result[some])
                canonical(result[some])

    direct = (code is not None or unit.a in _EXACT) and scales[0] is None and k == depth and not upward
    left = np.ascontiguousarray(a if code is None else raw_codes(a)) if direct else a
    rows(as_they_are if direct else by_blocks, len(a), d.shape[1], depth, threads)
    if result is not d:
        d[...] = result


@cache
def _code(kind: str) -> _kernels.DecodeSpec | None:
    """Describe codes that kernels decode themselves: of a byte or two."""
    if kind in _EXACT:
        return None
    fmt = layout_of(kind)
    return None if fmt.padding or fmt.bits > 16 else decode_spec(fmt)


def _values(a: AnyArray, unit: Unit, scales: AnyArray | None) -> NDArray[Any]:
    """Decode some rows of A as they are needed: A is never widened whole."""
    left = values(a, unit.a)
    return left if scales is None else dequantize(left, scales, unit)


def _panels(b: AnyArray, unit: Unit, depth: int, scales: AnyArray | None) -> NDArray[Any]:
    """Lay B out in panels of binary32 or binary64, in memory that large products hand from one to the next."""
    code = _code(unit.b)
    if code is None:
        return panels_of(values(b, unit.b), depth)
    panels = _recycle.aligned((-(-b.shape[1] // PANEL), depth, PANEL), _FLOAT32)
    _kernels.code_panels(raw_codes(b), code, panels)
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
