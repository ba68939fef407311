"""The floored dot product with accumulators near, beside and far above or below the products is the reference's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.matmul import units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
NAMES = ["cdna3/mfma.f16.f16.f32.f32", "cdna3/mfma.bf16.bf16.f32.f32", "cdna3/mfma.e4m3fnuz.e4m3fnuz.f32.f32"]
M, N = 5, 33


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES), above=st.integers(-34, 72), spread=st.integers(0, 12), seed=st.integers(0, 2**32 - 1)
)
def test_accumulators_anywhere(
    name: str, above: int, spread: int, seed: int, expected: Callable[..., dict[tuple[int, int], int]]
) -> None:
    # products a power of two apart put single bits below the places where the sum is floored and rounded
    unit = units()[name]
    rng = np.random.default_rng(seed)
    k = 2 * unit.k + 1
    narrow = unit.a.startswith("e4m3")

    def operand(shape: tuple[int, int]) -> Array:
        exponents = -rng.integers(0, (min(spread, 6) if narrow else spread) + 1, shape)
        fraction = 1 + rng.choice([0, 0, 1, 3, 7], shape) / 8
        return (rng.choice([-1.0, 1.0], shape) * np.ldexp(fraction, exponents)).astype(operand_dtype(unit.a))

    a, b = operand((M, k)), operand((k, N))
    a[rng.random(a.shape) < 0.3] = 0
    fields = (127 + above + rng.integers(-2, 3, (M, N))).astype(np.uint32)
    low = rng.choice(np.uint32([0, 1, 0x7FFFFF, 0x7FFFFE, 0x400000, 0x3FFFFF, 0x2AAAAA]), (M, N))
    c = (rng.integers(0, 2, (M, N), np.uint32) << 31 | fields << 23 | low).view(np.float32)
    at = [(int(rng.integers(M)), int(rng.integers(N))) for _ in range(12)]
    for addend in (c, None):
        want = expected(unit, a, b, addend, at=at)
        before = cm.tier()
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = bits(cm.matmul(a, b, addend, unit=unit))
            assert {i: int(got[i]) for i in want} == want, tier
        cm.use_tier(before)


@pytest.mark.parametrize("name", NAMES)
def test_zeros_pass_any_accumulator(name: str, tier: str) -> None:
    unit = units()[name]
    zeros = np.zeros((40, 40), operand_dtype(unit.a))
    c = np.float32([0.0, -0.0, 1e-45, -1e-45, 2.0**-126, -(2.0**-100), 1.0, 3e38, np.inf, -np.inf])
    got = cm.matmul(zeros, zeros, np.tile(c, (40, 4)), unit=unit)
    np.testing.assert_array_equal(bits(got), bits(np.tile(c + np.float32(0), (40, 4))))


def test_memory_beside_the_operands() -> None:
    import tracemalloc

    n = 768
    x = np.random.default_rng(0).standard_normal((n, n)).astype(np.float16)
    cm.matmul(x, x, unit="mi300x/fp16")
    tracemalloc.start()
    cm.matmul(x, x, unit="mi300x/fp16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 3 * 2 * x.nbytes + 4 * n * n
