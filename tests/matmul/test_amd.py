"""AMD's models: known answers, contradicting records refused, every pair of 8-bit codes, NaN beside zeros, any record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.matmul import ExactDot, FlooredDot, FlushedDot, Unit, units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
FLOATS = sorted({u.name for u in units().values() if isinstance(u.model, ExactDot | FlushedDot | FlooredDot)})


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


@pytest.mark.parametrize(
    ("name", "value"),
    [("cdna1/mfma.f16.f16.f32.f32", -0.875), ("cdna2/mfma.f16.f16.f32.f32", 0.0), ("cdna3/mfma.f16.f16.f32.f32", -0.5)],
)
def test_small_products_beside_a_cancelling_accumulator(name: str, value: float, tier: str) -> None:
    a, b = np.float16([[-4096, -0.5, -0.25, -0.125]]), np.float16([[2048], [1], [1], [1]])
    got = cm.matmul(a, b, np.float32([[2.0**23]]), unit=units()[name])
    assert bits(got)[0, 0] == bits(np.float32([value]))[0]


@pytest.mark.parametrize(
    ("name", "exponent", "expected"),
    [
        ("cdna3/mfma.f16.f16.f32.f32", -26, 0x3F7FFFFF),
        ("cdna3/mfma.e4m3fnuz.e4m3fnuz.f32.f32", -26, 0x3F800000),
        ("cdna3/mfma.e4m3fnuz.e4m3fnuz.f32.f32", -25, 0x3F7FFFFF),
    ],
)
def test_a_tiny_negative_accumulator_pulls_the_floor_down(name: str, exponent: int, expected: int, tier: str) -> None:
    unit = units()[name]
    one = np.ones((1, 1), operand_dtype(unit.a))
    assert bits(cm.matmul(one, one, np.float32([[-(2.0**exponent)]]), unit=unit))[0, 0] == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExactDot(0), "1..16 products, got 0"),
        (lambda: ExactDot(17), "1..16 products, got 17"),
        (lambda: FlushedDot(3), "2 or 4 products, got 3"),
        (lambda: FlooredDot(17), "1..16 products"),
        (lambda: FlooredDot(8, 9), "10..24 fraction bits, got 8 and 9"),
        (lambda: FlooredDot(8, 25), "10..24 fraction bits, got 8 and 25"),
        (lambda: FlooredDot(7, groups=2), "2 with an even number of products"),
        (lambda: FlooredDot(8, groups=3), "groups must be 1"),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("a", ["e4m3fnuz", "e5m2fnuz"])
@pytest.mark.parametrize("b", ["e4m3fnuz", "e5m2fnuz"])
def test_every_pair_of_codes(a: str, b: str, tier: str) -> None:
    # one product, or twice the same, fits binary32: the exact value, +0, or NaN
    unit = units()[f"cdna3/mfma.{a}.{b}.f32.f32"]
    codes = np.arange(256, dtype=np.uint8)
    x, y = codes.view(operand_dtype(a)), codes.view(operand_dtype(b))
    product = np.multiply.outer(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    product[product == 0] = 0
    product[np.isnan(product)] = np.uint32(0x7FFFFFFF).view(np.float32)
    np.testing.assert_array_equal(bits(cm.matmul(x[:, None], y[None, :], unit=unit)), bits(product))
    twice = cm.matmul(np.stack([x, x], 1), np.stack([y, y], 0), unit=unit)
    np.testing.assert_array_equal(bits(twice), bits(np.where(np.isnan(product), product, 2 * product)))


@pytest.mark.parametrize("name", FLOATS)
def test_nan_meets_only_zeros(name: str, tier: str) -> None:
    unit = units()[name]
    a, b = np.ones((6, 40), operand_dtype(unit.a)), np.zeros((40, 35), operand_dtype(unit.b))
    a[2, 7] = np.nan
    got = bits(cm.matmul(a, b, unit=unit))
    assert (got[2] == 0x7FFFFFFF).all()
    assert not np.delete(got, 2, 0).any()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=st.sampled_from(["f16", "bf16", "tf32", "e4m3", "e5m2", "e4m3fnuz", "e5m2fnuz"]),
    b=st.sampled_from(["f16", "bf16", "e4m3", "e5m2", "e4m3fnuz"]),
    model=st.one_of(
        st.builds(ExactDot, st.integers(1, 16)),
        st.builds(FlushedDot, st.sampled_from([2, 4])),
        st.builds(FlooredDot, st.integers(1, 16), st.integers(10, 24)),
        st.builds(FlooredDot, st.integers(1, 8).map(lambda n: 2 * n), st.integers(10, 24), st.just(2)),
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_record(
    a: str, b: str, model: ExactDot | FlushedDot | FlooredDot, seed: int,
    draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]], expected: Callable[..., dict[tuple[int, int], int]],
) -> None:  # fmt: skip
    unit = Unit("mine/any", a, b, "f32", "f32", model.products, model, Evidence("assumed", "a test"))
    x, y, c, _ = draw(unit, 8, 9, 2 * model.products + 1, seed)
    for addend in (c, None):
        want = expected(unit, x, y, addend, at=[(i, (i + seed) % 9) for i in range(8)])
        before = cm.tier()
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = bits(cm.matmul(x, y, addend, unit=unit))
            assert {at: int(got[at]) for at in want} == want, tier
        cm.use_tier(before)
