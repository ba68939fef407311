"""Rules of libraries that only move codes: packed integers, scale layouts."""

from __future__ import annotations

import numpy as np

from chipmeter._arrays import AnyArray
from chipmeter.quantize.layouts import pack_bits, swizzle_128x4
from chipmeter.verify.case import Case
from chipmeter.verify.compare import Emulated
from chipmeter.verify.elementwise import words


def packed_int32(case: Case) -> Emulated:
    """Emulate compressed-tensors `pack_to_int32`."""
    bits = case.number("num_bits", 1, 8)
    if case.number("packed_dim", 0, 8) != 1:
        raise ValueError("params.packed_dim must be 1")
    values = case.read(f"{case.key.rpartition('/')[0]}/x")
    return Emulated(words(pack_bits(values, bits)), f"pack_bits to {bits} bits")


def blocked_scales(case: Case) -> Emulated:
    """Emulate torchao `to_blocked` of the numbers 1, 2, ..."""
    rows, columns = case.number("rows", 1, 1 << 14), case.number("cols", 1, 1 << 14)
    numbers: AnyArray = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    return Emulated(words(swizzle_128x4(numbers)), "swizzle_128x4")
