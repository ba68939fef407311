"""Stochastic rules with given bits: each element by exact fractions, for every rule; lanes of instructions; refusals."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.formats import FORMATS, FloatFormat
from chipmeter.formats.stochastic import StochasticRule, cast_stochastic, jitter_e2m1, ptx_random_bits
from chipmeter.reference.groups import stochastic_up


@given(
    st.sampled_from(["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "float6_e3m2fn", "bfloat16"]),
    st.sampled_from(get_args(StochasticRule)),
    st.lists(st.floats(-5, 5, width=32) | st.floats(-(2.0**-13), 2.0**-13, width=32), min_size=1, max_size=8),
    st.integers(1, 13),
    st.integers(0, 2**31),
)
def test_every_rule_equals_exact_fractions(
    name: str, rule: StochasticRule, numbers: list[float], n: int, seed: int
) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    x = np.array(numbers, np.float32)
    r = np.random.default_rng(seed).integers(0, 1 << n, x.size)
    got = cm.decode(cast_stochastic(x, fmt, r, n, rule=rule), fmt)
    for value, random, result in zip(x.tolist(), r.tolist(), got.tolist(), strict=True):
        magnitude = Fraction(abs(value))
        exponent = 1 - fmt.bias
        while Fraction(2) ** (exponent + 1) <= magnitude:
            exponent += 1
        unit = Fraction(2) ** (exponent - fmt.mantissa_bits)
        whole = magnitude // unit
        want = (whole + stochastic_up(magnitude / unit - whole, random, n, rule)) * unit
        assert abs(Fraction(result)) == want
        assert np.signbit(result) == np.signbit(value)


def test_the_truncated_rule_is_that_of_cast(rng: np.random.Generator) -> None:
    x, r = rng.standard_normal(500).astype(np.float32), rng.integers(0, 256, 500)
    x[:3] = np.inf, np.nan, 1e9
    want = cm.cast(x, "e4m3fn", rounding="stochastic", overflow="saturate", bits=r.astype(np.uint32), random_bits=8)
    assert cast_stochastic(x, "e4m3fn", r, 8).tobytes() == want.tobytes()


def test_lanes_of_instructions() -> None:
    words = np.uint32([0x12345678])
    assert ptx_random_bits(words, "bf16")[0].tolist() == [[0x1234, 0x5678]]
    assert ptx_random_bits(words, "fp16")[0].tolist() == [[0x1234, 0x1678]]
    assert ptx_random_bits(words, "e2m1")[0].tolist() == [[0x12, 0x56, 0x34, 0x78]]


def test_jitter_of_special_numbers() -> None:
    x = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 100.0, -0.4])
    assert jitter_e2m1(x, np.zeros(7, np.uint8)).tolist() == [6, 6, -6, 0, 0, 6, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cast_stochastic(np.float32([1]), "e8m0", [0], 1), ValueError, "with a significand"),
        (lambda: cast_stochastic(np.float32([1]), "int8", [0], 1), ValueError, "with a significand"),
        (lambda: cast_stochastic(np.float32([1]), "e5m2", [0], 1, rule="best"), ValueError, "stochastic rule 'best'"),  # type: ignore[arg-type]
        (lambda: cast_stochastic(np.float32([1]), "e5m2", [0], 0), ValueError, r"in 1\.\.31, got 0"),
        (lambda: cast_stochastic(np.float64([1]), "e5m2", [0], 1), TypeError, "float32 or narrower, got float64"),
        (lambda: cast_stochastic(np.float32([1]), "e5m2", [2], 1), ValueError, r"lie in 0\.\.1"),
        (lambda: cast_stochastic(np.float32([1]), "e5m2", [0, 1], 1), ValueError, "of x's shape"),
        (lambda: jitter_e2m1(np.float64([1]), [0]), TypeError, "must be float32"),
        (lambda: ptx_random_bits([1], "e4m3fn"), ValueError, "bit lanes are known for"),
        (lambda: ptx_random_bits([[1]], "bf16"), ValueError, "one-dimensional"),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
