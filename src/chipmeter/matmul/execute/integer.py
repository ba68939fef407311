"""Exact integer products in a 32-bit accumulator."""

from __future__ import annotations

import numpy as np

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import raw_codes
from chipmeter.matmul.packed import as_bytes
from chipmeter.matmul.units import IntegerDot, Unit

_SIGNED = ("s8", "s4")


def integer(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, model: IntegerDot, threads: int
) -> None:
    """Multiply integers exactly into d."""
    left, right = raw_codes(as_bytes(a, unit.a, -1)), raw_codes(as_bytes(b, unit.b, -2))
    addend = None if c is None else np.ascontiguousarray(c)
    result = d if d.flags.c_contiguous else np.empty(d.shape, np.int32)
    size = _kernels.integer_workspace()

    def work(i: int, j: int) -> None:
        _kernels.integer(
            left, unit.a in _SIGNED, right, unit.b in _SIGNED, addend, result, unit.k if model.clamp else 0, i, j,
            np.empty(size, np.uint8),
        )  # fmt: skip

    rows(work, d.shape[0], d.shape[1], left.shape[1], threads)
    if result is not d:
        d[...] = result
