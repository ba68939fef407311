"""Long arrays, which the encoder takes a vector at a time, get the codes of single elements, by every rule and on every tier."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.formats import FORMATS, FloatFormat
from chipmeter.formats.stochastic import StochasticRule, cast_stochastic

NAMES = [
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float4_e2m1fn",
    "float6_e3m2fn",
    "bfloat16",
    "float16",
    "tf32",
]
LONG = 1024 + 5
"""One chunk of vectors and a few elements beyond it, which go one by one."""


def numbers(fmt: FloatFormat, seed: int) -> np.ndarray[Any, Any]:
    """Numbers around everything the format distinguishes, float32 subnormals, infinities and zeros."""
    rng = np.random.default_rng(seed)
    low, high = max(-149, fmt.min_exponent - fmt.mantissa_bits - 36), min(127, fmt.max_exponent + 2)
    with np.errstate(over="ignore"):
        x = np.ldexp(
            rng.choice([1.0, 1.5, 1 + 2.0**-20], LONG) + rng.random(LONG) * 2.0**-22, rng.integers(low, high, LONG)
        )
    x = x * rng.choice([-1, 1], LONG)
    x[rng.integers(0, LONG, 12)] = [
        0,
        -0.0,
        np.inf,
        -np.inf,
        fmt.max,
        -fmt.max,
        2.0**-149,
        -(2.0**-127),
        1,
        -1,
        3e38,
        1.25,
    ]
    single: np.ndarray[Any, Any] = x.astype(np.float32)
    return single


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 31), rule=st.sampled_from(get_args(StochasticRule)))
@pytest.mark.parametrize("name", NAMES)
def test_vectors_equal_elements(name: str, seed: int, n: int, rule: StochasticRule) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    x = numbers(fmt, seed)
    r = np.random.default_rng(seed + 1).integers(0, 1 << n, LONG)
    r[::7] = np.random.default_rng(seed).choice([0, (1 << n) - 1, 1 << n - 1], r[::7].size)
    before = cm.tier()
    cm.use_tier(cm.tiers()[-1])
    parts = [
        cast_stochastic(x[i : i + 500], fmt, r[i : i + 500], n, rule=rule, overflow="ofp8") for i in range(0, LONG, 500)
    ]
    for tier in cm.tiers():
        cm.use_tier(tier)
        whole = cast_stochastic(x, fmt, r, n, rule=rule, overflow="ofp8")
        assert whole.tobytes() == np.concatenate(parts).tobytes(), tier
    cm.use_tier(before)


@pytest.mark.parametrize("name", NAMES)
def test_nans_among_vectors_change_nothing_else(name: str, tier: str) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    x = numbers(fmt, 5)
    clean = cm.cast(x, name, rounding="stochastic", seed=9)
    x[700] = np.nan
    spoilt = cm.cast(x, name, rounding="stochastic", seed=9)
    assert np.delete(spoilt, 700).tobytes() == np.delete(clean, 700).tobytes()
    assert spoilt[700:701].tobytes() == cm.cast(x[700:701], name).tobytes()
