"""IEEE chains: operands decoded to binary32 or binary64, then one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels, _recycle
from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.formats.records import FORMATS
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import panels_of, values
from chipmeter.matmul.units import OPERANDS, Chain, Unit

_EXACT = ("f32", "f64")
"""Operands that are multiplied as they are."""

_ORDERS = {"sequential": 0, "pairwise": 1, "f64": 2}


def chain(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> None:  # fmt: skip
    """Run one chain, or tiles of it, per output of d."""
    k = a.shape[1]
    depth = k if model.tile else -(-k // unit.k) * unit.k  # zeros turn an accumulator of -0 to +0
    left: AnyArray
    panels: AnyArray
    if unit.scale is not None:
        left = dequantize(values(a, unit.a), scales[0], unit)
        right = dequantize(np.ascontiguousarray(values(b, unit.b).T), scales[1], unit).T
        panels = panels_of(right, depth)
    else:
        left, panels = _decoded(a, b, unit, depth)
    if left.shape[1] != depth:
        left = np.pad(left, ((0, 0), (0, depth - left.shape[1])))
    addend = None if c is None else np.ascontiguousarray(c)
    result = d if d.flags.c_contiguous else np.empty(d.shape, d.dtype)
    kernel: Any = _kernels.chain_f64 if left.dtype == np.float64 else _kernels.chain_f32

    def work(i: int, j: int) -> None:
        kernel(left, panels, addend, result, model.tile, _ORDERS[model.order], i, j)

    rows(work, len(left), d.shape[1], left.shape[1], threads)
    if result is not d:
        d[...] = result


def _decoded(a: AnyArray, b: AnyArray, unit: Unit, depth: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Decode A and the panels of B into one block of memory, which large products hand from one to the next."""
    panels = panels_of(b, depth)
    kinds = (unit.a, unit.b)
    codes = [x.size if kind not in _EXACT else 0 for x, kind in zip((a, panels), kinds, strict=True)]
    scratch = _recycle.empty((sum(codes),), np.dtype(np.float32))
    left, right = (
        np.ascontiguousarray(x) if kind in _EXACT else decode(x, FORMATS[OPERANDS[kind]], out=room.reshape(x.shape))
        for x, kind, room in zip((a, panels), kinds, np.split(scratch, codes[:1]), strict=True)
    )
    return left, right


def dequantize(x: NDArray[np.float32], scales: AnyArray, unit: Unit) -> NDArray[np.float32]:
    """Multiply each block along the last axis by its scale, in float32."""
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"  # which ignores the byte's top bit
    factors = np.repeat(decode(scales, kind), unit.scale_block, axis=1)[:, : x.shape[1]]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.asarray(x * factors, np.float32)
