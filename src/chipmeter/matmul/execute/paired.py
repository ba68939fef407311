"""FP8 as two fused f16 steps and one addition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.fused import fused
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import PairedHalves, Unit

_ORDER = np.argsort(np.arange(32) // 2 % 2, kind="stable")
"""The 32 products of an instruction, those of the first f16 step in front."""


ROWS = 256
"""Rows of the result whose halves are held at once."""


def paired(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: PairedHalves, threads: int
) -> None:
    """Two f16 steps per 32 products, from zero; then the accumulator is added with one rounding."""
    halves = replace(unit, a="f16", b="f16", k=32, model=model.step)
    d[...] = 0 if c is None else c
    for i in range(0, len(a), ROWS):
        total = d[i : i + ROWS]
        h = np.empty(total.shape, operand_dtype(unit.d))
        for k in range(0, a.shape[1], 32):
            left, right = _half(a[i : i + ROWS, k : k + 32], 1), _half(b[k : k + 32], 0)
            fused(left, right, None, h, halves, model.step, (None, None), threads)
            with np.errstate(all="ignore"):
                np.add(h, total, out=total)
            np.copyto(total, _canonical_nan(d.dtype), where=np.isnan(total))


def _half(x: AnyArray, axis: int) -> AnyArray:
    """Write up to 32 products' operands as f16, in the order of the steps: exact, but subnormals become normal numbers."""
    with np.errstate(all="ignore"):
        half = x.astype(np.float16)
    if x.shape[axis] < 32:
        missing = 32 - x.shape[axis]
        half = np.pad(half, ((0, 0), (0, missing)) if axis else ((0, missing), (0, 0)))
    return half.take(_ORDER, axis)


def _canonical_nan(dtype: np.dtype[Any]) -> Any:
    return np.uint16(0x7FFF).view(np.float16) if dtype == np.float16 else np.uint32(0x7FFFFFFF).view(np.float32)
