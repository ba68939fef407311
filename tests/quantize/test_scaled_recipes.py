"""Recipes with float32 scales per tensor or row follow amax / maximum and x / scale, one float32 rounding each."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.quantize import RECIPES
from chipmeter.reference.layouts import LAYOUTS
from chipmeter.reference.quantize import quantize_scaled
from chipmeter.reference.tables import IntegerLayout

Array = np.ndarray[Any, Any]
TARGETS: dict[str, tuple[Any, int]] = {
    "float8_e4m3fn": (LAYOUTS["e4m3"], 448), "float8_e5m2": (LAYOUTS["e5m2"], 57344),
    "float8_e4m3": (LAYOUTS["e4m3ieee"], 240), "int8": (IntegerLayout(8, True), 127),
    "float4_e2m1fn": (LAYOUTS["e2m1"], 6),
}  # fmt: skip
SCALED = [n for n, r in RECIPES.items() if r.granularity != "block"]


def raw(x: Array) -> Array:
    return np.asarray(x).view(f"u{x.dtype.itemsize}")


def by_reference(line: Array, name: str) -> tuple[int, list[int]]:
    target, limit = TARGETS[RECIPES[name].element]
    return quantize_scaled(raw(line).ravel().tolist(), target, Fraction(limit))


@settings(max_examples=40)
@given(exponent=st.integers(-120, 120), seed=st.integers(0, 2**32), length=st.sampled_from([1, 5, 16, 33]))
@pytest.mark.parametrize("name", SCALED)
def test_finite_numbers(name: str, exponent: int, seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.clip(np.ldexp(rng.standard_normal((3, length)), exponent), -3e38, 3e38).astype(np.float32)
    before = cm.tier()
    for tier in cm.tiers():
        cm.use_tier(tier)
        q = cm.quantize(x, name)
        if RECIPES[name].granularity == "tensor":
            scale, codes = by_reference(x, name)
            assert int(raw(q.scales)) == scale
            assert raw(q.codes).ravel().tolist() == codes
        else:
            for i, line in enumerate(x):
                scale, codes = by_reference(line, name)
                assert int(raw(q.scales)[i, 0]) == scale
                assert raw(q.codes)[i].tolist() == codes
    cm.use_tier(before)


@pytest.mark.parametrize("name", SCALED)
def test_lines_of_zeros_take_the_scale_one(name: str, tier: str) -> None:
    x = np.float32([[0, -0.0, 0, 0]])
    q = cm.quantize(x, name)
    assert (q.scales == 1).all()
    assert (q.dequantize() == 0).all()
    if "fp8" in name:
        assert np.signbit(q.dequantize()).tolist() == [[False, True, False, False]]


@pytest.mark.parametrize("name", SCALED)
def test_scales_that_would_vanish_stay_positive(name: str, tier: str) -> None:
    x = np.float32([[1e-45, 0, -1e-45, 3e-45]])
    q = cm.quantize(x, name)
    assert (q.scales > 0).all()
    assert np.isfinite(q.dequantize()).all()
    assert np.sign(q.dequantize()).tolist() == [[1, 0, -1, 1]]


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", SCALED)
def test_specials_reach_the_scale_they_share_and_no_other(name: str, special: float, tier: str) -> None:
    x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    x[1, 2] = special
    q = cm.quantize(x, name)
    if RECIPES[name].granularity == "tensor":
        assert not np.isfinite(q.scales)
    else:
        assert np.isfinite(q.scales).ravel().tolist() == [True, False, True]
        clean = np.delete(x, 1, axis=0)
        np.testing.assert_array_equal(raw(np.delete(q.codes, 1, axis=0)), raw(cm.quantize(clean, name).codes))


@pytest.mark.parametrize("name", ["int8", "int8-row"])
def test_integers_are_symmetric(name: str, tier: str) -> None:
    x = np.float32([[-3, 3, 1.5, -1.5, 0.01]])
    q = cm.quantize(x, name)
    assert q.codes.dtype == np.int8
    assert q.codes.min() == -127
    np.testing.assert_array_equal(cm.quantize(-x, name).codes, -q.codes)


def test_integer_ties_go_to_even(tier: str) -> None:
    x = np.float32([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]])
    assert cm.quantize(x, "int8").codes.ravel().tolist() == [127, 0, 2, 2, 0, -2, -2, 126]


def test_division_is_not_multiplication_by_the_reciprocal(tier: str) -> None:
    # beside the ties, elements fall to one side when divided and to the other with 1 / scale rounded first
    amax = np.random.default_rng(0).uniform(1, 2, (2000, 1)).astype(np.float32)
    scale = amax / np.float32(127)
    x = np.concatenate([amax, (np.arange(126, dtype=np.float32) + np.float32(0.5)) * scale], axis=1)
    divided, multiplied = np.rint(x / scale), np.rint(x * (np.float32(1) / scale))
    assert (divided != multiplied).any()
    np.testing.assert_array_equal(cm.quantize(x, "int8-row").codes, divided.astype(np.int8))
