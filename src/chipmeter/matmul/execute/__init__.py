"""From a unit's model to the kernel that executes it: one file per model."""

from __future__ import annotations

from typing import Any, assert_never

from chipmeter._arrays import AnyArray
from chipmeter.matmul.execute.binary import binary
from chipmeter.matmul.execute.chain import chain
from chipmeter.matmul.execute.floored import floored
from chipmeter.matmul.execute.fused import fused
from chipmeter.matmul.execute.integer import integer
from chipmeter.matmul.execute.lanes import lanes
from chipmeter.matmul.execute.paired import paired
from chipmeter.matmul.execute.policies import POLICIES, policy
from chipmeter.matmul.units import (
    BinaryDot,
    Chain,
    ExactDot,
    FlooredDot,
    FlushedDot,
    FusedDot,
    IntegerDot,
    PairedHalves,
    Unit,
)


def execute(
    a: AnyArray, b: AnyArray, c: AnyArray | None, d: AnyArray, unit: Unit, scales: tuple[Any, Any], threads: int
) -> None:
    """Multiply one pair of matrices into d."""
    match unit.model:
        case FusedDot():
            fused(a, b, c, d, unit, unit.model, scales, threads)
        case PairedHalves():
            paired(a, b, c, d, unit, unit.model, threads)
        case Chain() if unit.model.order in POLICIES:
            d[...] = policy(a, b, c, unit, unit.model, scales, threads, execute)
        case Chain():
            chain(a, b, c, d, unit, unit.model, scales, threads)
        case BinaryDot():
            binary(a, b, c, d, unit.model, threads)
        case IntegerDot():
            integer(a, b, c, d, unit, unit.model, threads)
        case FlooredDot():
            floored(a, b, c, d, unit, unit.model, threads)
        case ExactDot() | FlushedDot():
            lanes(a, b, c, d, unit, unit.model, threads)
        case _:
            assert_never(unit.model)
