"""AMD's dot products of numbers far apart, cancelling, or beside NaN and infinity are the reference's; blocks leave no seam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.matmul import ExactDot, Unit, units
from chipmeter.matmul.operands import layout_of, operand_dtype

Array = np.ndarray[Any, Any]
MINE = Evidence("assumed", "a test")
UNITS = [
    units()["cdna1/mfma.f16.f16.f32.f32"],
    units()["cdna1/mfma.bf16.bf16.f32.f32"],
    units()["cdna2/mfma-1k.bf16.bf16.f32.f32"],
    units()["cdna3/mfma.bf16.bf16.f32.f32"],
    units()["cdna3/mfma.tf32.tf32.f32.f32"],
    Unit("mine/three", "f16", "bf16", "f32", "f32", 3, ExactDot(3), MINE),
    Unit("mine/many", "bf16", "bf16", "f32", "f32", 5, ExactDot(5), MINE),
]


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    unit=st.sampled_from(UNITS),
    centre=st.floats(-1, 1),
    spread=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    special=st.sampled_from([0.0, 0.02]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_exponents(
    unit: Unit,
    centre: float,
    spread: float,
    special: float,
    seed: int,
    expected: Callable[..., dict[tuple[int, int], int]],
) -> None:
    rng = np.random.default_rng(seed)
    m, n, k = 4, 34, 2 * unit.k + 1

    def operand(kind: str, shape: tuple[int, int]) -> Array:
        low = layout_of(kind).min_exponent
        middle, reach = centre * -low, spread * -low
        exponents = np.clip(rng.uniform(middle - reach, middle + reach, shape).astype(int), low - 3, -low)
        x = np.ldexp(1 + rng.choice([0, 1, 3, 64, 127], shape) / 128, exponents) * rng.choice([-1.0, 1.0], shape)
        x[rng.random(shape) < 0.1] = 0
        x[rng.random(shape) < special] = rng.choice([np.inf, -np.inf, np.nan], p=[0.45, 0.45, 0.1])
        return x.astype(operand_dtype(kind))

    a, b = operand(unit.a, (m, k)), operand(unit.b, (k, n))
    a[:, 1::2], b[1::2] = -a[:, :-1:2], b[:-1:2]  # products in pairs that cancel, but for those changed again
    changed = rng.random(k) < 0.4
    a[:, changed] = operand(unit.a, (m, k))[:, changed]
    with np.errstate(over="ignore", under="ignore"):
        c = np.ldexp(rng.standard_normal((m, n)), rng.integers(-150, 127, (m, n))).astype(np.float32)
    c[rng.random((m, n)) < 0.3] = 0
    at = [(i, (7 * i + 5 * j + seed) % n) for i in range(m) for j in range(3)]
    want = expected(unit, a, b, c, at=at)
    before = cm.tier()
    for tier in cm.tiers():
        cm.use_tier(tier)
        got = bits(cm.matmul(a, b, c, unit=unit))
        assert {i: int(got[i]) for i in at} == want, tier
    cm.use_tier(before)


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_blocks_of_depth_and_columns(unit: Unit, tier: str) -> None:
    rng = np.random.default_rng(11)
    k = 160 * unit.k // 5
    a, b = (rng.standard_normal(s).astype(operand_dtype(t)) for s, t in (((3, k + 9), unit.a), ((k + 9, 530), unit.b)))
    a[1, k + 2], b[3, 518] = np.nan, np.inf
    whole = cm.matmul(a, b, unit=unit)
    parts = cm.matmul(a[:, k:], b[k:], cm.matmul(a[:, :k], b[:k], unit=unit), unit=unit)
    np.testing.assert_array_equal(bits(whole), bits(parts))
    np.testing.assert_array_equal(bits(whole[:, 500:]), bits(cm.matmul(a, b[:, 500:], unit=unit)))
    np.testing.assert_array_equal(bits(whole), bits(cm.matmul(np.asfortranarray(a), np.asfortranarray(b), unit=unit)))
