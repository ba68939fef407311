"""The models of AMD's matrix cores: operands packed with 16-bit exponents, then one kernel per model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.formats.records import FloatFormat, format_of
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import values
from chipmeter.matmul.units import OPERANDS, ExactDot, FlooredDot, FlushedDot, Unit

LANES = 32
"""Columns of B side by side in the packed order (CM_LANES in matmul.h)."""


def lanes(
    a: AnyArray,
    b: AnyArray,
    c: NDArray[np.float32] | None,
    unit: Unit,
    model: ExactDot | FlushedDot | FlooredDot,
    threads: int,
) -> NDArray[np.float32]:
    """Decode and pack codes a (m, k) and b (k, n), pad K to whole instructions and run the model's kernel."""
    (m, k), n = a.shape, b.shape[1]
    depth, panels = -(-k // unit.k) * unit.k, -(-n // LANES)
    one, two = format_of(OPERANDS[unit.a]), format_of(OPERANDS[unit.b])
    assert isinstance(one, FloatFormat)
    assert isinstance(two, FloatFormat)
    flush = isinstance(model, FlushedDot)
    left = np.empty((m, depth), np.float32), np.empty((m, depth), np.int32), np.empty((m, 2), np.int16)
    shape = (panels, depth, LANES)
    right = np.empty(shape, np.float32), np.empty(shape, np.int16), np.empty((panels * LANES, 2), np.int16)
    _kernels.lane_rows(values(a, unit.a), one.min_exponent, flush, *left)
    _kernels.lane_panels(values(b, unit.b), two.min_exponent, flush, *right)
    d = np.empty((m, n), np.float32)
    name, bits, groups = "flushed", 0, 1
    if isinstance(model, ExactDot):
        name, bits = "exact", one.mantissa_bits + two.mantissa_bits
    elif isinstance(model, FlooredDot):
        name, bits, groups = "floored", model.fraction_bits, model.groups
    products = min(model.products, unit.k)

    def work(i: int, j: int) -> None:
        _kernels.lanes(name, left, right, c, d, products, unit.k, bits, groups, i, j)

    rows(work, m, n, depth, threads)
    return d
