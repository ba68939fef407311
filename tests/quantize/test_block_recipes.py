"""Block recipes give the scale bytes and codes of the reference: every MX rule and element type, NVFP4, all tiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.quantize import RECIPES, Recipe
from chipmeter.reference.layouts import LAYOUTS
from chipmeter.reference.quantize import amax_of, dequantize_mx, quantize_mx, quantize_nvfp4

Array = np.ndarray[Any, Any]
MINE = Evidence("assumed", "test")
ELEMENTS = {
    "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2", "float8_e4m3": "e4m3ieee", "float8_e3m4": "e3m4",
    "float8_e4m3fnuz": "e4m3fnuz", "float8_e5m2fnuz": "e5m2fnuz", "float6_e2m3fn": "e2m3", "float6_e3m2fn": "e3m2",
    "float4_e2m1fn": "e2m1",
}  # fmt: skip
RULES = ("floor", "ceil", "even", "round-up", "headroom", "three-quarters")


def mx(element: str, rule: str, block: int = 32) -> Recipe:
    return Recipe(f"mine-{element}-{rule}-{block}", element, "block", block, "float8_e8m0fnu", rule, MINE)


def blocks_of_every_kind(block: int, count: int = 60) -> Array:
    """Random blocks over all of float32's range, few significant bits or many, and the special ones."""
    rng = np.random.default_rng(8)
    words = rng.integers(0, 2**32, (count, block), dtype=np.uint32)
    words &= ~np.uint32(0x7F800000)
    exponents = rng.integers(0, 255, (count, 1)) - rng.integers(0, 24, (count, block))
    words |= np.clip(exponents, 0, 254).astype(np.uint32) << np.uint32(23)
    few = np.uint32(0xFFFFFFFF) << rng.integers(0, 23, (count, 1)).astype(np.uint32)
    x = (words & few).view(np.float32)
    special = np.zeros((10, block), np.float32)
    special[1] = -0.0
    special[2, 3] = 1e-45
    special[3] = np.float32(np.finfo(np.float32).max)
    special[4] = 2.0**-126 * rng.random(block)
    special[5, ::2], special[5, 1::2] = 448, -449
    special[6], special[6, 5] = x[0], np.nan
    special[7], special[7, 5] = x[1], np.inf
    special[8], special[8, 5] = x[2], -np.inf
    special[9], special[9, 2], special[9, 7] = x[3], np.inf, np.nan
    return np.concatenate([x, special])


def raw(x: Array) -> Array:
    return np.asarray(x).view(f"u{x.dtype.itemsize}")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("element", ELEMENTS)
def test_mx_blocks(element: str, rule: str) -> None:
    x, layout = blocks_of_every_kind(32), LAYOUTS[ELEMENTS[element]]
    want = [quantize_mx(row, layout, rule) for row in raw(x).tolist()]
    before = cm.tier()
    for tier in cm.tiers():
        cm.use_tier(tier)
        q = cm.quantize(x, mx(element, rule))
        assert raw(q.scales).ravel().tolist() == [scale for scale, _ in want]
        for i, (scale, codes) in enumerate(want):
            # under a NaN scale, formats without NaN have no defined codes
            if scale != 255 or layout.nan != "none":
                got = raw(q.codes[i]).tolist()
                assert got == codes or scale == 255, f"{tier} block {i}: {x[i]}"
            if scale == 255 and layout.nan != "none":
                assert np.isnan(q.codes[i].astype(np.float32)).all()
    cm.use_tier(before)


@pytest.mark.parametrize("element", ["float8_e4m3fn", "float6_e2m3fn", "float4_e2m1fn", "float8_e5m2"])
def test_mx_dequantises_exactly(element: str, tier: str) -> None:
    x, layout = blocks_of_every_kind(32), LAYOUTS[ELEMENTS[element]]
    q = cm.quantize(x, mx(element, "floor"))
    y = q.dequantize()
    for i in range(len(x)):
        want = dequantize_mx(int(raw(q.scales)[i, 0]), raw(q.codes[i]).tolist(), layout)
        got = raw(y[i]).tolist()
        for g, w in zip(got, want, strict=True):
            assert g == w or (np.isnan(np.uint32(g).view(np.float32)) and np.isnan(np.uint32(w).view(np.float32)))


@settings(max_examples=60)
@given(
    words=st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4),
    element=st.sampled_from(list(ELEMENTS)),
    rule=st.sampled_from(RULES),
)
def test_mx_of_any_bits(words: list[int], element: str, rule: str) -> None:
    x, layout = np.array(words, np.uint32).view(np.float32), LAYOUTS[ELEMENTS[element]]
    scale, codes = quantize_mx(words, layout, rule)
    q = cm.quantize(x, mx(element, rule, 4))
    assert raw(q.scales).tolist() == [scale]
    if scale != 255:
        assert raw(q.codes).tolist() == codes


def test_every_mantissa_near_a_threshold_of_the_scale_rules(tier: str) -> None:
    # amax just below, at and above the places where the rules change their mind, in many binades
    for element in ELEMENTS:
        layout = LAYOUTS[ELEMENTS[element]]
        tops = {
            0,
            0x7FFFFF,
            (1 << 23) - (1 << 22 - layout.mantissa_bits),
            (layout.largest & (1 << layout.mantissa_bits) - 1) << 23 - layout.mantissa_bits,
        }
        mantissas = sorted({min(max(t + d, 0), 0x7FFFFF) for t in tops for d in (-1, 0, 1)})
        amax = [e << 23 | m for e in (0, 1, 2, 8, 9, 100, 127, 128, 252, 253, 254) for m in mantissas]
        x = np.array(amax, np.uint32).view(np.float32)[:, None]
        for rule in RULES:
            want = [quantize_mx([a], layout, rule) for a in amax]
            q = cm.quantize(x, mx(element, rule, 1))
            assert raw(q.scales).ravel().tolist() == [s for s, _ in want]
            assert raw(q.codes).ravel().tolist() == [
                c[0] if s != 255 else int(raw(q.codes)[i, 0]) for i, (s, c) in enumerate(want)
            ]


def nvfp4_tensors() -> list[Array]:
    rng = np.random.default_rng(10)
    wide = (rng.standard_normal((40, 16)) * np.exp(rng.standard_normal((40, 1)) * 4)).astype(np.float32)
    grid = np.float32(rng.integers(-24, 25, (40, 16))) / 4  # ties of e2m1 under a scale of one
    grid[0, 0] = 2688
    zero_block = wide.copy()
    zero_block[3] = 0
    zero_block[4] = -0.0
    tiny_blocks = wide * np.float32(1e-30)
    one_big = wide.copy()
    one_big[0, 0] = 3e38
    subnormal = (wide * np.float32(1e-30) * np.float32(1e-9)).astype(np.float32)
    return [wide, grid, zero_block, tiny_blocks, one_big, subnormal, np.full((1, 16), 6, np.float32)]


@pytest.mark.parametrize("which", range(7))
def test_nvfp4(which: int, tier: str) -> None:
    x = nvfp4_tensors()[which]
    amax = amax_of(raw(x).ravel().tolist())
    want = [quantize_nvfp4(row, amax) for row in raw(x).tolist()]
    q = cm.quantize(x, "nvfp4")
    assert int(raw(q.tensor_scale)) == want[0][0]
    assert raw(q.scales).ravel().tolist() == [scale for _, scale, _ in want]
    assert raw(q.codes).tolist() == [codes for _, _, codes in want]


@settings(max_examples=80)
@given(exponent=st.integers(-100, 120), seed=st.integers(0, 2**32), spread=st.floats(0, 6))
def test_nvfp4_of_any_scale(exponent: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.ldexp(rng.standard_normal((3, 16)) * np.exp(rng.standard_normal((3, 1)) * spread), exponent)
    x = np.clip(x, -3e38, 3e38).astype(np.float32)
    amax = amax_of(raw(x).ravel().tolist())
    want = [quantize_nvfp4(row, amax) for row in raw(x).tolist()]
    q = cm.quantize(x, "nvfp4")
    assert int(raw(q.tensor_scale)) == want[0][0]
    assert raw(q.scales).ravel().tolist() == [scale for _, scale, _ in want]
    assert raw(q.codes).tolist() == [codes for _, _, codes in want]


def test_nvfp4_of_zeros_is_zero(tier: str) -> None:
    q = cm.quantize(np.zeros((2, 32), np.float32), "nvfp4")
    assert q.tensor_scale == 1
    assert (q.dequantize() == 0).all()


@pytest.mark.parametrize("number", [1e-45, 2e-42, 1e-40])
def test_nvfp4_of_numbers_whose_tensor_scale_vanishes_stays_finite(number: float) -> None:
    x = np.zeros((2, 16), np.float32)
    x[0, 3] = number
    q = cm.quantize(x, "nvfp4")
    y = q.dequantize()
    assert np.isfinite(y).all()
    assert (y[x == 0] == 0).all()


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.granularity == "block" and r.plain])
def test_specials_stay_in_their_block_of_mx_and_reach_the_tensor_of_nvfp4(name: str, special: float, tier: str) -> None:
    x = np.random.default_rng(3).standard_normal((3, 96)).astype(np.float32)
    x[1, 40] = special
    block = RECIPES[name].block
    y = cm.quantize(x, name).dequantize()
    inside = np.zeros(x.shape, bool)
    inside[1, 40 // block * block : (40 // block + 1) * block] = True
    if RECIPES[name].two_level:
        assert not np.isfinite(y[1, 40])
    else:
        assert np.isnan(y[inside]).all()
        clean = x.copy()
        clean[1, 40] = 0
        np.testing.assert_array_equal(y[~inside], cm.quantize(clean, name).dequantize()[~inside])


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.granularity == "block" and r.plain])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100])
def test_a_short_last_block_is_one_padded_with_zeros(name: str, length: int, tier: str) -> None:
    x = np.random.default_rng(length).standard_normal((3, length)).astype(np.float32)
    block = RECIPES[name].block
    padded = np.zeros((3, -(-length // block) * block), np.float32)
    padded[:, :length] = x
    q, p = cm.quantize(x, name), cm.quantize(padded, name)
    np.testing.assert_array_equal(raw(q.scales), raw(p.scales))
    np.testing.assert_array_equal(raw(q.codes), raw(p.codes)[:, :length])
    np.testing.assert_array_equal(raw(q.dequantize()), raw(p.dequantize())[:, :length])
    assert q.tensor_scale == p.tensor_scale
    assert q.scales.shape == (3, -(-length // block))
