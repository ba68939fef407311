"""The models of AMD's matrix cores: one kernel per model, straight from codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.split import rows
from chipmeter.matmul.operands import code_spec, raw_codes
from chipmeter.matmul.units import ExactDot, FlooredDot, FlushedDot, Unit


def lanes(
    a: AnyArray,
    b: AnyArray,
    c: AnyArray | None,
    d: AnyArray,
    unit: Unit,
    model: ExactDot | FlushedDot | FlooredDot,
    threads: int,
) -> None:
    """Multiply codes a (m, k) and b (k, n), K padded to whole instructions, into d, float32."""
    padded = -(-a.shape[1] // unit.k) * unit.k
    addend = None if c is None else np.ascontiguousarray(c, np.float32)
    result: NDArray[np.float32] = d if d.flags.c_contiguous else np.empty(d.shape, np.float32)
    name, bits, groups = "flushed", 0, 1
    if isinstance(model, ExactDot):
        name = "exact"
    elif isinstance(model, FlooredDot):
        name, bits, groups = "floored", model.fraction_bits, model.groups
    size = _kernels.lanes_workspace()

    def work(i: int, j: int) -> None:
        _kernels.lanes(
            name, raw_codes(a), code_spec(unit.a), raw_codes(b), code_spec(unit.b), addend, result, padded,
            min(model.products, unit.k), unit.k, bits, groups, i, j, np.empty(size, np.uint8),
        )  # fmt: skip

    rows(work, d.shape[0], d.shape[1], padded, threads)
    if result is not d:
        d[...] = result
