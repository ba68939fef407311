"""Infinities anywhere beside zeros, finite numbers and each other decide an output as the reference says, on every tier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.matmul import units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
NAMES = [
    "hopper/wgmma.f16.f16.f32.f32", "hopper/wgmma.f16.f16.f16.f16", "ampere/mma.bf16.bf16.f32.f32",
    "ampere/mma.tf32.tf32.f32.f32", "volta/mma.f16.f16.f16.f16", "hopper/wgmma.e5m2.e5m2.f32.f32",
    "hopper/wgmma.e5m2.e5m2.f16.f16", "blackwell/tcgen05-mx.e5m2.e5m2.f32.f32", "cdna3/mfma.f16.f16.f32.f32",
]  # fmt: skip


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


@settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES),
    rate=st.sampled_from([0.02, 0.1, 1.0]),
    zeros=st.sampled_from([0.0, 0.02, 0.5]),
    size=st.sampled_from([1.0, 150.0, 4.0e-5]),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_infinite_outputs(
    name: str, rate: float, zeros: float, size: float, signed: bool, seed: int,
    expected: Callable[..., dict[tuple[int, int], int]],
) -> None:  # fmt: skip
    unit = units()[name]
    rng = np.random.default_rng(seed)
    m, n, k = 5, 35, 2 * unit.k + 1

    def operand(shape: tuple[int, int]) -> Array:
        x = rng.standard_normal(shape) * size
        x[rng.random(shape) < zeros] = 0
        x[rng.random(shape) < rate] = np.inf
        if signed:
            x *= rng.choice([-1.0, 1.0], shape)
        else:
            x = np.abs(x)
        return x.astype(operand_dtype(unit.a))

    a, b = operand((m, k)), operand((k, n))
    c = (rng.standard_normal((m, n)) * size).astype(operand_dtype(unit.c))
    c[rng.random(c.shape) < 0.2] = rng.choice([np.inf, -np.inf])
    scales = {}
    if unit.scale:
        count = -(-k // unit.scale_block)
        scales = {
            f"scale_{s}": rng.integers(120, 134, at, np.uint8) for s, at in (("a", (m, count)), ("b", (count, n)))
        }
    at = [(int(rng.integers(m)), int(rng.integers(n))) for _ in range(12)]
    for addend in (c, None):
        want = expected(unit, a, b, addend, at=at, **scales)
        before = cm.tier()
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = bits(cm.matmul(a, b, addend, unit=unit, **scales))
            assert {i: int(got[i]) for i in want} == want, tier
        cm.use_tier(before)
