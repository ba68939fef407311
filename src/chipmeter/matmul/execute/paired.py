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


def paired(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: PairedHalves, threads: int
) -> None:
    """Two f16 steps per 32 products, from zero; then the accumulator is added with one rounding."""
    halves = replace(unit, a="f16", b="f16", k=32, model=model.step)
    with np.errstate(all="ignore"):
        x, y = a.astype(np.float16), b.astype(np.float16)  # exact, but subnormals become normal numbers
    h = np.empty(d.shape, operand_dtype(unit.d))
    d[...] = 0 if c is None else c
    for k in range(0, a.shape[1], 32):
        part_a, part_b = np.zeros((len(x), 32), x.dtype), np.zeros((32, y.shape[1]), y.dtype)
        width = min(32, a.shape[1] - k)
        part_a[:, :width], part_b[:width] = x[:, k : k + width], y[k : k + width]
        fused(part_a[:, _ORDER], part_b[_ORDER], None, h, halves, model.step, (None, None), threads)
        with np.errstate(all="ignore"):
            np.add(h, d, out=d)
        np.copyto(d, _canonical_nan(d.dtype), where=np.isnan(d))


def _canonical_nan(dtype: np.dtype[Any]) -> Any:
    return np.uint16(0x7FFF).view(np.float16) if dtype == np.float16 else np.uint32(0x7FFFFFFF).view(np.float32)
