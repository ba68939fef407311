"""IEEE chains and integer sums of the reference follow their stated order and round exactly where they say."""

from __future__ import annotations

from fractions import Fraction

import pytest

from chipmeter.reference.layouts import F32, LAYOUTS
from chipmeter.reference.matmul import integer_dot, pairwise_dot, sequential_dot, wide_sequential_dot
from chipmeter.reference.numbers import encode


def f32(number: Fraction | float) -> int:
    return encode(Fraction(number), F32)


def power(name: str, exponent: int) -> int:
    return encode(Fraction(2) ** exponent, LAYOUTS[name])


def test_fused_and_rounded_products_differ() -> None:
    x = 0x3F800001  # 1 + 2^-23
    minus_one = 0xBF800000
    assert sequential_dot([x], [x], minus_one, "f32", "f32") == f32(2.0**-22 + 2.0**-46)
    assert sequential_dot([x], [x], minus_one, "f32", "f32", product_rounding=True) == f32(2.0**-22)


def test_ieee_chain_keeps_signed_zeros_subnormals_and_specials() -> None:
    one, minus_zero = f32(1), 0x80000000
    assert sequential_dot([minus_zero], [one], minus_zero, "f32", "f32") == minus_zero
    assert sequential_dot([minus_zero], [one], 0, "f32", "f32") == 0
    assert sequential_dot([one], [one], 0xBF800000, "f32", "f32") == 0
    assert sequential_dot([0x00000001], [one], 0, "f32", "f32") == 0x00000001
    assert sequential_dot([0x7F800000], [0], 0, "f32", "f32") == 0x7FC00000
    assert sequential_dot([], [], 0xFFFFFFFF, "f32", "f32") == 0x7FC00000
    assert (
        sequential_dot([0x3FF0000000000001], [0x3FF0000000000001], 0xBFF0000000000002, "f64", "f64", "f64")
        == 0x3970000000000000
    )


def test_order_policies_differ_where_they_should() -> None:
    half_ulp = f32(2.0**-24)
    a, ones = [f32(1), half_ulp, half_ulp, half_ulp], [f32(1)] * 4
    assert sequential_dot(a, ones, 0, "f32", "f32") == 0x3F800000
    assert pairwise_dot(a, ones, 0, "f32", "f32") == 0x3F800001
    assert wide_sequential_dot(a, ones, 0, "f32", "f32") == 0x3F800002


def test_pairwise_of_an_odd_number_and_of_none() -> None:
    half_ulp = f32(2.0**-24)
    # ((p0 + p1) + p2) + c, the third product going up alone.
    assert pairwise_dot([half_ulp, half_ulp, f32(1)], [f32(1)] * 3, 0, "f32", "f32") == 0x3F800001
    assert pairwise_dot([], [], 0x40000000, "f32", "f32") == 0x40000000


def test_bf16_accumulation_rounds_every_step() -> None:
    small = [power("bf16", 0), power("bf16", -8), power("bf16", -8)]
    assert sequential_dot(small, [power("bf16", 0)] * 3, 0, "bf16", "bf16", "bf16") == 0x3F80
    assert sequential_dot(small, [power("bf16", 0)] * 3, 0, "bf16", "bf16") == f32(1 + 2.0**-7)


def test_integer_accumulators_wrap_or_clamp() -> None:
    top, ones = 0x7FFFFFFF, [1] * 2
    assert integer_dot([0x7F, 0x7F], ones, top, lanes=32) == (top + 254) % 2**32
    assert integer_dot([0x7F, 0x7F], ones, top, lanes=32, overflow="clamp") == top
    assert integer_dot([0x80], [0xFF], 0, "s8", "u8", lanes=32) == -128 * 255 % 2**32
    assert integer_dot([0x8], [0xF], 0x80000000, "s4", "u4", lanes=32, overflow="clamp") == 0x80000000
    # Clamping after each product loses what clamping once keeps.
    assert integer_dot([2, 0xFE], ones, top, lanes=1, overflow="clamp") == top - 2
    assert integer_dot([2, 0xFE], ones, top, lanes=2, overflow="clamp") == top


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 2\^8\), got 256"):
        integer_dot([256], [0], 0, lanes=1)
    with pytest.raises(ValueError, match="unknown integer overflow 'saturate'"):
        integer_dot([0], [0], 0, lanes=1, overflow="saturate")  # type: ignore[arg-type]
