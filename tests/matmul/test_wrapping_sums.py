"""Sums of 16 products at the edge of int32 are the reference's: all of one sign and as large as they come, accumulators at either end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter import _kernels
from chipmeter.matmul import units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
NAMES = ["hopper/wgmma.f16.f16.f32.f32", "hopper/wgmma.bf16.bf16.f32.f32", "hopper/wgmma.f16.f16.f16.f16"]
M, N = 3, 19


@pytest.fixture(autouse=True)
def _every_step_in_int32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernels, "integer_products", lambda: 16)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES), below=st.sampled_from([0, 0, 1, 2, 9]), lone=st.sampled_from(["none", "sign", "zero"]),
    above=st.integers(-1, 3), width=st.sampled_from([7, N]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_sums_that_wrap(
    name: str, below: int, lone: str, above: int, width: int, seed: int,
    expected: Callable[..., dict[tuple[int, int], int]],
) -> None:  # fmt: skip
    # significands of all ones, less `below` units: 16 products reach 2^31 grid steps where they have one sign
    unit = units()[name]
    rng = np.random.default_rng(seed)
    digits = 8 if unit.a == "bf16" else 11

    def operand(shape: tuple[int, int]) -> Array:
        return 2 - (1 + rng.integers(0, below + 1, shape)) * 2.0 ** (1 - digits)

    a, b = operand((M, 32)) * rng.choice([-1, 1], (M, 1)), operand((32, N)) * rng.choice([-1, 1], (1, N))
    if lone != "none":
        a[rng.integers(M), rng.integers(32)] *= -1 if lone == "sign" else 0
    a, b = a.astype(operand_dtype(unit.a)), b[:, :width].astype(operand_dtype(unit.b))
    kept = (rng.choice([-1.0, 0.0, 1.0], (M, width)) * np.ldexp(2 - 2.0**-10, above)).astype(np.float32)
    c = kept.astype(operand_dtype(unit.c))
    at = [(int(rng.integers(M)), int(rng.integers(width))) for _ in range(12)]
    for addend in (c, None):
        want = expected(unit, a, b, addend, at=at)
        before = cm.tier()
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = cm.matmul(a, b, addend, unit=unit)
            codes = np.ascontiguousarray(got).view(f"u{got.dtype.itemsize}")
            assert {i: int(codes[i]) for i in want} == want, tier
        cm.use_tier(before)


@pytest.mark.parametrize("name", NAMES)
def test_wrapped_beside_outside_the_window(
    name: str, tier: str, expected: Callable[..., dict[tuple[int, int], int]]
) -> None:
    # one tile holds sums that wrap, accumulators that no int32 grid takes, infinity and zero
    unit = units()[name]
    a = np.full((4, 16), 1.9990234375 if unit.a == "f16" else 1.9921875).astype(operand_dtype(unit.a))
    b = np.tile(a[:1].T, (1, 40))
    a[1] *= -1
    huge = [65504.0, 2.0**-24] if unit.c == "f16" else [2.0**120, 2.0**-130]
    c = np.resize(np.array([0.0, 1.5, *huge, np.inf, -1.5, 3.9]), (4, 40)).astype(operand_dtype(unit.c))
    got = cm.matmul(a, b, c, unit=unit)
    codes = np.ascontiguousarray(got).view(f"u{got.dtype.itemsize}")
    want = expected(unit, a, b, c, at=[(i, j) for i in (0, 1) for j in range(8)])
    assert {i: int(codes[i]) for i in want} == want
