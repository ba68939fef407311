"""Bits that differ or are both set, counted in a 32-bit accumulator."""

from __future__ import annotations

import numpy as np

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.models import BinaryDot
from chipmeter.matmul.packed import as_bytes


def binary(a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, model: BinaryDot, threads: int) -> None:
    """Count over bits a (m, K) and b (K, n), or bytes of eight of them, into d."""
    left, right = as_bytes(a, "b1", -1), as_bytes(b, "b1", -2)
    addend = None if c is None else np.ascontiguousarray(c)
    result = d if d.flags.c_contiguous else np.empty(d.shape, np.int32)
    size = _kernels.binary_workspace()

    def work(i: int, j: int) -> None:
        _kernels.binary(left, right, addend, result, model.operation == "and", i, j, np.empty(size, np.uint8))

    rows(work, d.shape[0], d.shape[1], left.shape[1], threads)
    if result is not d:
        d[...] = result
