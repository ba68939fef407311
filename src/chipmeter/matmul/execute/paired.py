"""FP8 as two fused f16 steps and one addition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.fused import fused
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import PairedHalves, Unit


def paired(
    a: NDArray[np.float32], b: NDArray[np.float32], c: AnyArray | None, unit: Unit, model: PairedHalves, threads: int
) -> AnyArray:
    """Two f16 steps per 32 products, from zero; then the accumulator is added with one rounding."""
    half = Unit(f"{unit.name} (half)", "f16", "f16", unit.c, unit.d, 16, model.step, unit.evidence)
    k = np.arange(-(-a.shape[1] // 32) * 32).reshape(-1, 32)
    pad = k.size - a.shape[1]
    a, b = np.pad(a, ((0, 0), (0, pad))), np.pad(b, ((0, pad), (0, 0)))
    dtype = operand_dtype(unit.d)
    total = np.zeros((a.shape[0], b.shape[1]), dtype) if c is None else c
    for block in k:
        h: NDArray[np.float32] | None = None
        for parity in (0, 1):
            part = block[block // 2 % 2 == parity]
            h = fused(
                np.ascontiguousarray(a[:, part]),
                np.ascontiguousarray(b[part]),
                h,
                half,
                model.step,
                (None, None),
                threads,
            )
        assert h is not None
        with np.errstate(all="ignore"):
            total = h.astype(dtype) + total
        total[np.isnan(total)] = _canonical_nan(dtype)
    return total


def _canonical_nan(dtype: np.dtype[Any]) -> Any:
    return np.uint16(0x7FFF).view(np.float16) if dtype == np.float16 else np.uint32(0x7FFFFFFF).view(np.float32)
