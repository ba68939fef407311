"""The truncated fused dot product: operands packed, then one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import pack_panels, pack_rows, panels_of, scale_terms
from chipmeter.matmul.units import FusedDot, Unit

_OUTPUTS = {"rz-f32": 0, "rz-e8m13": 1, "rne-f16": 2}


def fused(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    c: NDArray[np.float32] | None,
    unit: Unit,
    model: FusedDot,
    scales: tuple[Any, Any],
    threads: int,
) -> NDArray[np.float32]:
    """Pack a (m, k) and b (k, n), decoded to float32, and run the fused steps; results are held in float32."""
    (m, k), n = a.shape, b.shape[1]
    depth = -(-k // unit.k) * unit.k
    left, right = pack_rows(a, unit.a, depth), pack_panels(b, unit.b, depth)
    d = np.empty((m, n), np.float32)
    scale_a: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
    scale_b: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
    if unit.scale is not None:
        count = depth // unit.scale_block
        scale_a = scale_terms(scales[0], unit.scale, count)
        significand, exponent = scale_terms(scales[1], unit.scale, count)
        scale_b = panels_of(significand.T, count), panels_of(exponent.T, count)
    step = min(model.products, unit.k)

    def work(i: int, j: int) -> None:
        _kernels.fused(
            left.arrays, right.arrays, c, -14 if unit.c == "f16" else -126, d, left.mantissa_bits, right.mantissa_bits, step, model.fraction_bits,
            model.floor_exponent, _OUTPUTS[model.output], model.group, unit.scale_block, 3 if unit.scale == "ue4m3" else 0,
            scale_a, scale_b, i, j,
        )  # fmt: skip

    rows(work, m, n, depth, threads)
    return d
