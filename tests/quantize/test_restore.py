"""dequantize is (code - zero) * scale * tensor scale in float32, for every recipe, axis, packing, thread count and tier."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter._packing import pack_codes
from chipmeter.evidence import Evidence
from chipmeter.formats import FloatFormat
from chipmeter.quantize import RECIPES, Recipe
from chipmeter.quantize.choose import fits
from chipmeter.quantize.hadamard import inverse_hadamard
from chipmeter.quantize.restore import dequantize
from chipmeter.reference.layouts import LAYOUTS
from chipmeter.reference.quantize import dequantize_mx

Array = np.ndarray[Any, Any]
SHAPES = [(70,), (33, 70), (3, 40, 5, 17), (2, 160, 48), (1, 2100)]
MX = {"mxfp8": "e4m3", "mxfp8-e5m2": "e5m2", "mxfp6": "e2m3", "mxfp6-e3m2": "e3m2", "mxfp4": "e2m1"}


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(np.uint32)


def by_definition(q: cm.QuantizedTensor) -> Array:
    """One NumPy operation for each of the definition's."""
    recipe, axis = q.recipe, q.axis
    values = cm.decode(q.codes, recipe.element_format) * np.float32(recipe.element_unit)

    def spread(grid: Array) -> Array:
        if recipe.granularity != "block":
            return grid
        wide = np.repeat(np.moveaxis(grid, axis, -1), recipe.block, axis=-1)[..., : q.shape[axis]]
        if recipe.rows > 1:
            across = q.shape[-1] if axis != len(q.shape) - 1 else q.shape[-2]
            wide = np.repeat(wide, recipe.rows, axis=-2)[..., :across, :]
        return np.moveaxis(wide, -1, axis)

    with np.errstate(all="ignore"):
        if q.zero_points is not None:
            values = values - spread(q.zero_points).astype(np.float32)
        values = values * spread(q.scale_values())
        values = values * q.tensor_scale if recipe.two_level else values
        values = values if q.minimums is None else values + spread(q.minimums).astype(np.float32)
    if recipe.signs is None:
        return values
    return np.moveaxis(inverse_hadamard(np.ascontiguousarray(np.moveaxis(values, axis, -1)), recipe.signs), -1, axis)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_along_every_axis(name: str, tier: str) -> None:
    recipe, rng = RECIPES[name], np.random.default_rng(1)
    for shape in SHAPES:
        x = rng.standard_normal(shape).astype(np.float32) ** 5
        for axis in range(len(shape)):
            if not fits(recipe, shape, axis):
                continue
            q = cm.quantize(x, name, axis=axis)
            want = bits(by_definition(q))
            np.testing.assert_array_equal(bits(q.dequantize(threads=2)), want)
            width = recipe.element_format.bits
            if width in (4, 6):
                packed = pack_codes(q.codes, width)
                got = dequantize(packed, q.scales if q.scale_factors is None else q.scale_values(), recipe, axis=axis, shape=shape, tensor_scale=float(q.tensor_scale),
                                 zero_points=q.zero_points, minimums=q.minimums)  # fmt: skip
                np.testing.assert_array_equal(bits(got), want)


@settings(max_examples=30)
@given(data=st.data(), name=st.sampled_from(sorted(MX)), block=st.integers(1, 70), length=st.integers(1, 80))
def test_any_codes_and_scales_against_the_reference(data: st.DataObject, name: str, block: int, length: int) -> None:
    """All codes and scale bytes, not only those that quantising makes: NaN, infinities, both ends of the scales."""
    layout, element = LAYOUTS[MX[name]], RECIPES[name].element_format
    seed = data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << element.bits, (2, length)).astype(np.uint8)
    near = data.draw(st.sampled_from([0, 1, 100, 127, 250, 255]))
    scales = np.clip(rng.integers(near - 3, near + 4, (2, -(-length // block))), 0, 255).astype(np.uint8)
    recipe = Recipe("mine", element.name, "block", block, "float8_e8m0fnu", "floor", Evidence("assumed", "test"))
    named = codes.view(element.dtype if hasattr(np, element.dtype) else cm.formats.codec.code_dtype(element))
    before = cm.tier()
    for tier in cm.tiers():
        cm.use_tier(tier)
        found = bits(dequantize(named, scales.view(cm.formats.codec.code_dtype(cm.formats.format_of("e8m0"))), recipe))
        for row in range(2):
            for i in range(length):
                want = dequantize_mx(int(scales[row, i // block]), [int(codes[row, i])], layout)[0]
                both = int(found[row, i])
                nan = (both & 0x7FFFFFFF) > 0x7F800000
                assert nan == ((want & 0x7FFFFFFF) > 0x7F800000)
                assert nan or both == want, (tier, codes[row, i], scales[row, i // block])
    cm.use_tier(before)


def test_one_nan_on_every_tier(tier: str) -> None:
    """The sign of a NaN code is kept; what an invalid product makes is the positive quiet NaN."""
    recipe = Recipe("mine", "float8_e5m2", "block", 2, "float32", "amax", Evidence("assumed", "test"))
    codes = np.uint8([0x7E, 0xFE, 0x7C, 0xFC, 0x00, 0x3C, 0xFE, 0x7C]).view(
        cm.formats.codec.code_dtype(recipe.element_format)
    )
    scales = np.float32([1, 0, np.inf, np.nan])
    want = [0x7FC00000, 0xFFC00000, 0x7FC00000, 0x7FC00000, 0x7FC00000, 0x7F800000, 0xFFC00000, 0x7FC00000]
    assert bits(dequantize(codes, scales, recipe)).tolist() == want


@pytest.mark.parametrize("fields", [(5, 2, 15, "none"), (4, 3, 8, "negative_zero"), (3, 4, 3, "ieee"), (2, 3, 127, "none"),
                                    (6, 1, 31, "ieee"), (1, 6, 1, "all_ones")])  # fmt: skip
def test_formats_of_a_users_own(fields: tuple[Any, ...], tier: str) -> None:
    element = FloatFormat("mine", *fields)
    codes = np.arange(1 << element.bits, dtype=np.uint8)
    recipe = RECIPES["fp8"]
    from chipmeter import _kernels
    from chipmeter.quantize.restore import value_spec

    out = np.empty(codes.size, np.float32)
    grid = _kernels.Grid(codes.size, codes.size, 1, 1, 1)
    spec = value_spec(element, recipe.element_unit, False, False, 1.0)
    _kernels.dequantize(codes, np.float32([1]), None, out, 0, 1, grid, spec)
    np.testing.assert_array_equal(bits(out), bits(cm.decode(codes, element)))
    finite = out[np.isfinite(out)]
    assert all(
        Fraction(float(v)) in {s * element.value(c) for c in range(element.max_code + 1) for s in (1, -1)}
        for v in finite
    )


def test_bad_parts_are_named() -> None:
    q = cm.quantize(np.ones((2, 32), np.float32), "mxfp4")
    with pytest.raises(ValueError, match="64 of float4_e2m1fn fill 32 bytes, got 31"):
        dequantize(pack_codes(q.codes, 4)[:-1], q.scales, q.recipe, shape=(2, 32))
    with pytest.raises(ValueError, match="packed codes have 4 or 6 bits"):
        dequantize(np.zeros(4, np.uint8), np.float32(1), RECIPES["fp8"], shape=(4,))
    with pytest.raises(ValueError, match="scales and blocks differ in number"):
        dequantize(q.codes, q.scales[:1], q.recipe)
    with pytest.raises(ValueError, match=r"axis must lie in -2\.\.1"):
        dequantize(q.codes, q.scales, q.recipe, axis=2)
