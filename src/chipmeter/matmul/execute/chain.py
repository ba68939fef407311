"""IEEE chains: operands decoded to binary32 or binary64, then one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.policies import dequantize, policy
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import panels_of, values
from chipmeter.matmul.units import Chain, Unit

_ORDERS = {"sequential": 0, "pairwise": 1, "f64": 2}


def chain(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: Chain, scales: tuple[Any, Any], threads: int
) -> AnyArray:
    """Run one chain, or tiles of it, per output."""
    left, right = values(a, unit.a), values(b, unit.b)
    if model.order not in _ORDERS:
        return policy(left, right, c, unit, model, scales, threads)
    if unit.scale is not None:
        left = dequantize(left, scales[0], unit)
        right = dequantize(np.ascontiguousarray(right.T), scales[1], unit).T
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
