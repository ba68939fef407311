"""Bits that differ or are both set, counted in a 32-bit accumulator."""

from __future__ import annotations

import numpy as np

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.models import BinaryDot


def binary(a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, model: BinaryDot, threads: int) -> None:
    """Count over bytes of eight bits, a (m, K / 8) and b (K / 8, n), into d."""
    addend = None if c is None else np.ascontiguousarray(c)
    result = d if d.flags.c_contiguous else np.empty(d.shape, np.int32)
    size = _kernels.binary_workspace()

    def work(i: int, j: int) -> None:
        _kernels.binary(a, b, addend, result, model.operation == "and", i, j, np.empty(size, np.uint8))

    rows(work, d.shape[0], d.shape[1], a.shape[1], threads)
    if result is not d:
        d[...] = result
