"""Exact integer products in a 32-bit accumulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import panels_of
from chipmeter.matmul.units import IntegerDot, Unit


def integer(
    a: AnyArray, b: AnyArray, c: AnyArray | None, unit: Unit, model: IntegerDot, threads: int
) -> NDArray[np.int32]:
    """Multiply int8 or uint8 operands exactly."""
    left, panels = np.ascontiguousarray(a, np.int32), panels_of(b.astype(np.int32), b.shape[0])
    addend = None if c is None else np.ascontiguousarray(c)
    d = np.empty((a.shape[0], b.shape[1]), np.int32)

    def work(i: int, j: int) -> None:
        _kernels.integer(left, panels, addend, d, unit.k if model.clamp else 0, i, j)

    rows(work, len(left), d.shape[1], left.shape[1], threads)
    return d
