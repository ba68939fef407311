"""The floored dot product of CDNA3: the fast kernel straight from codes, the general one for what it leaves."""

from __future__ import annotations

import numpy as np

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.fused import within_window
from chipmeter.matmul.execute.lanes import lanes
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import code_spec, raw_codes
from chipmeter.matmul.units import FlooredDot, Unit

_WAYS = {1: 3, 2: 4}
"""enum cm_fused_way by groups aligned apart."""


def floored(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: FlooredDot, threads: int
) -> None:
    """Multiply codes a (m, k) and b (k, n) into d, float32."""
    addend = None if c is None else np.ascontiguousarray(c, np.float32)
    products = min(model.products, unit.k)
    if model.fraction_bits != 24 or products > 8 * model.groups or not (
        within_window(a, unit.a) and within_window(b, unit.b)
    ):  # fmt: skip
        lanes(a, b, addend, d, unit, model, threads)
        return
    (m, n), padded = d.shape, -(-a.shape[1] // unit.k) * unit.k
    result = d if d.flags.c_contiguous else np.empty(d.shape, np.float32)
    left, left_rows = np.zeros((m, n), np.uint8), np.zeros(m, np.uint8)
    product = _kernels.FusedCodes(
        raw_codes(a), code_spec(unit.a), raw_codes(b), code_spec(unit.b), addend, -126, result, padded, products, 24, -126, 0,
        _WAYS[model.groups], 0, None, None, left, left_rows,
    )  # fmt: skip
    size = product.workspace()
    rows(lambda i, j: product.run(i, j, np.empty(size, np.uint8)), m, n, padded, threads)
    if left_rows.any():
        i = np.flatnonzero(left_rows)
        j = np.flatnonzero(left[i].any(axis=0))
        some = np.ix_(i, j)
        exact = np.empty((i.size, j.size), np.float32)
        lanes(a[i], b[:, j], None if addend is None else addend[some], exact, unit, model, threads)
        result[some] = np.where(left[some], exact, result[some])
    if result is not d:
        d[...] = result
