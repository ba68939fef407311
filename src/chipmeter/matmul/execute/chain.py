"""IEEE chains: operands decoded to binary32 or binary64, then one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.formats.codec import decode
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import panels_of, values
from chipmeter.matmul.units import Chain, Unit

_ORDERS = {"sequential": 0, "pairwise": 1, "f64": 2}


def chain(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> AnyArray:
    """Run one chain, or tiles of it, per output."""
    left, right = values(a, unit.a), values(b, unit.b)
    if unit.scale is not None:
        left = _dequantize(left, scales[0], unit)
        right = _dequantize(np.ascontiguousarray(right.T), scales[1], unit).T
    depth = (
        left.shape[1] if model.tile else -(-left.shape[1] // unit.k) * unit.k
    )  # zeros turn an accumulator of -0 to +0
    left = np.ascontiguousarray(np.pad(left, ((0, 0), (0, depth - left.shape[1]))))
    panels = panels_of(right, depth)
    addend = None if c is None else np.ascontiguousarray(c)
    d = np.empty((left.shape[0], b.shape[1]), left.dtype)
    kernel = _kernels.chain_f64 if left.dtype == np.float64 else _kernels.chain_f32

    def work(i: int, j: int) -> None:
        kernel(left, panels, addend, d, model.tile, _ORDERS[model.order], i, j)

    rows(work, len(left), d.shape[1], left.shape[1], threads)
    return d


def _dequantize(x: NDArray[np.float32], scales: AnyArray, unit: Unit) -> NDArray[np.float32]:
    """Multiply each block along the last axis by its scale, in float32."""
    kind = "float8_e8m0fnu" if unit.scale == "ue8m0" else "float8_ue4m3"  # which ignores the byte's top bit
    factors = np.repeat(decode(scales, kind), unit.scale_block, axis=1)[:, : x.shape[1]]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return np.asarray(x * factors, np.float32)
