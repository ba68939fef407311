"""Errors are those against exact rational arithmetic; the step that loses most is the one the unit is known for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.analysis import error_analysis, exact_product
from chipmeter.matmul import unit


def rational(a: Any, b: Any, i: int, j: int) -> Fraction:
    return sum((Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a[i], b[:, j], strict=True)), Fraction(0))


@pytest.mark.parametrize("reach", [0, 4, 40, 120])
def test_the_exact_product_is_exact(reach: int, rng: np.random.Generator) -> None:
    a = np.ldexp(rng.standard_normal((4, 100)), rng.integers(-reach, reach + 1, (4, 100)))
    b = np.ldexp(rng.standard_normal((100, 3)), rng.integers(-reach, reach + 1, (100, 3)))
    a[:, 50:] = -a[:, :50]
    b[50:] = b[:50]
    b[99] += 2.0**-40
    high, low = exact_product(a, b)
    for i in range(4):
        for j in range(3):
            want = rational(a, b, i, j)
            size = sum(abs(Fraction(float(x)) * Fraction(float(y))) for x, y in zip(a[i], b[:, j], strict=True))
            assert abs(Fraction(float(high[i, j])) + Fraction(float(low[i, j])) - want) <= size / 2**100


def test_the_exact_product_of_16_bit_floats_rounds_once(rng: np.random.Generator) -> None:
    a = rng.standard_normal((5, 70)).astype(np.float16).astype(np.float64)
    b = rng.standard_normal((70, 5)).astype(np.float16).astype(np.float64)
    high, low = exact_product(a, b)
    for i in range(5):
        for j in range(5):
            assert Fraction(float(high[i, j])) + Fraction(float(low[i, j])) == rational(a, b, i, j)


def gaussian(kind: str, m: int = 32, n: int = 32, k: int = 512) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    return (a, b) if kind == "f32" else (cm.cast(a, kind), cm.cast(b, kind))


@pytest.mark.parametrize(
    ("name", "kind", "step"),
    [
        ("h100/fp8", "fp8", "truncation"),
        ("a100/fp16", "fp16", "truncation"),
        ("volta/mma.f16.f16.f16.f16", "fp16", "accumulation"),
        ("cpu/fp32", "f32", "accumulation"),
        ("trn2/bf16", "bf16", "rounding in tiles"),
    ],
)
def test_the_step_that_loses_most(name: str, kind: str, step: str) -> None:
    found = error_analysis(*gaussian(kind), unit=name)
    assert found.largest_loss == step
    assert sum(loss.share for loss in found.losses) == pytest.approx(1)
    assert found.sampled == 1024
    assert found.overflowed == 0
    assert found.bound_used is not None
    assert 0 < found.bound_used < 1
    assert step in str(found)


def test_figures_are_those_of_the_definition() -> None:
    a, b = gaussian("fp16", 4, 4, 64)
    found = error_analysis(a, b, unit="a100/fp16")
    d = cm.matmul(a, b, unit="a100/fp16").astype(np.float64)
    errors = [[Fraction(float(d[i, j])) - rational(a, b, i, j) for j in range(4)] for i in range(4)]
    assert found.max_error == float(max(abs(e) for row in errors for e in row))
    i, j = found.worst
    exact = rational(a, b, i, j)
    assert found.worst_exact == float(exact)
    assert found.worst_value == d[i, j]
    ulp = 2.0 ** (np.frexp(float(exact))[1] - 1 - 23)
    assert found.max_ulp == pytest.approx(float(abs(errors[i][j])) / ulp, rel=1e-12)


def test_block_scales_enter_the_exact_product() -> None:
    rng = np.random.default_rng(1)
    a = cm.quantize(rng.standard_normal((16, 128)).astype(np.float32), "mxfp8")
    b = cm.quantize(rng.standard_normal((128, 16)).astype(np.float32), "mxfp8", axis=0)
    found = error_analysis(a.codes, b.codes, unit="b200/mxfp8", scale_a=a.scales, scale_b=b.scales)
    assert found.sqnr > 100
    assert found.bound_used is not None
    assert found.bound_used < 1


def test_overflow_is_counted_and_named() -> None:
    a = np.full((2, 16), 300, np.float16)
    a[1] = 1
    found = error_analysis(a, np.full((16, 2), 300, np.float16), unit="ampere/mma.f16.f16.f16.f16")
    assert found.overflowed == 2
    assert found.largest_loss == "overflow"
    assert found.worst_exact == 4800.0


def test_integers_are_exact_until_they_overflow() -> None:
    a, b = np.full((1, 64), 127, np.int8), np.full((64, 2), 127, np.int8)
    c = np.array([[0, 2**31 - 1]], np.int32)
    for name in ("a100/int8", "ampere/mma-satfinite.s8.s8.s32.s32"):
        found = error_analysis(a, b, c, unit=name)
        assert (found.overflowed, found.max_error, found.losses) == (1, 0.0, ())
    assert error_analysis(a, b, unit="a100/int8").largest_loss is None


def test_an_exact_product_has_no_losses() -> None:
    found = error_analysis(np.eye(8, dtype=np.float16), np.eye(8, dtype=np.float16), unit="a100/fp16")
    assert (found.max_error, found.sqnr, found.largest_loss) == (0.0, float("inf"), None)


@pytest.mark.parametrize(
    ("a", "b", "c", "message"),
    [
        ([[1.0]], np.ones((1, 1), np.float16), None, "a must be a matrix, got list"),
        (np.ones((2, 1, 1), np.float16), np.ones((1, 1), np.float16), None, r"a must be a matrix, got shape \(2, 1, 1\)"),
        (np.full((1, 1), np.inf, np.float16), np.ones((1, 1), np.float16), None, "a must be finite"),
        (np.ones((1, 1), np.float16), np.full((1, 1), np.nan, np.float16), None, "b must be finite"),
        (np.ones((1, 1), np.float16), np.ones((1, 1), np.float16), np.full((1, 1), np.inf, np.float32), "c must be finite"),
    ],
)  # fmt: skip
def test_bad_operands_are_refused(a: Any, b: Any, c: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        error_analysis(a, b, c, unit="a100/fp16")


def test_the_order_of_a_policy_is_analysed() -> None:
    a, b = gaussian("bf16")
    one, other = (error_analysis(a, b, unit=unit("trn2/bf16"), order=o) for o in ("sequential", "pairwise"))  # type: ignore[arg-type]
    assert one.sqnr < other.sqnr
