"""quantize cuts any axis of any layout alike; a QuantizedTensor dequantises, compares and measures what it says."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.quantize import RECIPES, Recipe, recipe_of

Array = np.ndarray[Any, Any]
NAMES = [n for n, r in RECIPES.items() if r.plain]


def raw(x: Array) -> Array:
    return np.asarray(x).view(f"u{x.dtype.itemsize}")


def same(q: cm.QuantizedTensor, codes: Array, scales: Array) -> None:
    np.testing.assert_array_equal(raw(q.codes), raw(codes))
    np.testing.assert_array_equal(raw(q.scales), raw(scales))


@pytest.mark.parametrize("name", NAMES)
def test_axes_are_alike(name: str, tier: str) -> None:
    x = np.random.default_rng(1).standard_normal((3, 40, 5, 7)).astype(np.float32)
    for axis in range(-4, 4):
        moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
        q, m = cm.quantize(x, name, axis=axis), cm.quantize(moved, name)
        assert q.axis == axis % 4
        assert q.codes.flags.c_contiguous
        assert q.shape == x.shape
        scales = m.scales if m.scales.ndim == 0 else np.moveaxis(m.scales, -1, axis)
        same(q, np.moveaxis(m.codes, -1, axis), scales)
        np.testing.assert_array_equal(raw(q.dequantize()), raw(np.moveaxis(m.dequantize(), -1, axis)))


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_alignment_do_not_matter(name: str, tier: str) -> None:
    big = np.random.default_rng(2).standard_normal((12, 80)).astype(np.float32)
    buffer = np.zeros(big.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(big.shape)
    buffer[:] = big
    for view in (
        big[::2],
        big[:, ::-1],
        big.T,
        buffer,
        big[3:4],
        np.broadcast_to(big[0], (3, 80)),
        np.asfortranarray(big),
    ):
        assert cm.quantize(view, name) == cm.quantize(view.copy(), name)


@pytest.mark.parametrize("name", NAMES)
def test_threads_do_not_matter(name: str, tier: str) -> None:
    x = np.random.default_rng(3).standard_normal((701, 512)).astype(np.float32)
    one = cm.quantize(x, name, threads=1)
    for threads in (2, 3):
        assert cm.quantize(x, name, threads=threads) == one


@pytest.mark.parametrize("source", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn])
def test_narrow_inputs_widen_exactly(source: type) -> None:
    x = np.random.default_rng(4).standard_normal((4, 64)).astype(source)
    for name in ("mxfp8", "nvfp4", "int8-row"):
        assert cm.quantize(x, name) == cm.quantize(x.astype(np.float32), name)


@pytest.mark.parametrize("name", NAMES)
def test_dequantize_is_code_times_scales(name: str) -> None:
    x = np.random.default_rng(5).standard_normal((6, 70)).astype(np.float32)
    q = cm.quantize(x, name)
    scales = q.scale_values()
    if q.recipe.granularity == "block":
        scales = np.repeat(scales, q.recipe.block, axis=1)[:, :70]
    want = q.codes.astype(np.float32) * scales
    if q.recipe.two_level:
        want = want * q.tensor_scale
    np.testing.assert_array_equal(raw(q.dequantize()), raw(want))
    again = cm.quantize(q.dequantize(), name)
    if q.recipe.rule in ("floor", "round-up") and not q.recipe.two_level:
        np.testing.assert_array_equal(again.dequantize(), q.dequantize())


def test_values_on_the_grid_come_back() -> None:
    for name, top in (("mxfp8", 448), ("mxfp6", 7.5), ("mxfp4", 6), ("mxfp8-e5m2", 57344), ("mxfp6-e3m2", 28)):
        fmt = RECIPES[name].element_format
        values = np.array([float(fmt.value(c)) for c in range(fmt.max_code + 1)], np.float32)
        x = np.zeros((len(values), 32), np.float32)
        x[:, 0], x[:, 1], x[:, 2] = top, values, -values
        np.testing.assert_array_equal(cm.quantize(x, name).dequantize(), x)


def test_equality_looks_at_bits() -> None:
    x = np.random.default_rng(6).standard_normal((4, 32)).astype(np.float32)
    q = cm.quantize(x, "mxfp8")
    assert q == cm.quantize(x, "mxfp8")
    assert q != cm.quantize(x, "mxfp8-roundup")
    assert q != cm.quantize(x[:2], "mxfp8")
    assert q != cm.quantize(x.reshape(2, 64), "mxfp8")
    other = x.copy()
    other[0, 0] += 1
    assert q != cm.quantize(other, "mxfp8")
    assert q != 3
    assert cm.quantize(np.float32([[0.0] * 32]), "mxfp8") != cm.quantize(np.float32([[-0.0] * 32]), "mxfp8")
    with pytest.raises(TypeError, match="unhashable"):
        hash(q)


def test_repr_says_what_it_is() -> None:
    q = cm.quantize(np.ones((2, 64), np.float32), "nvfp4")
    assert repr(q) == "QuantizedTensor(nvfp4, shape (2, 64), 4.5 bits, scales (2, 4))"
    assert repr(cm.quantize(np.ones((2, 64), np.float32), "fp8")) == "QuantizedTensor(fp8, shape (2, 64), 8 bits)"


def test_sqnr() -> None:
    x = np.random.default_rng(7).standard_normal((4, 64)).astype(np.float32)
    q = cm.quantize(x, "nvfp4")
    noise = np.float64(x) - np.float64(q.dequantize())
    want = 10 * np.log10((np.float64(x) ** 2).sum() / (noise**2).sum())
    assert abs(q.sqnr(x) - want) < 1e-9
    assert cm.sqnr(x, q.dequantize()) == q.sqnr(x)
    assert cm.sqnr(x, x) == np.inf
    assert cm.sqnr(0 * x, 0 * x) == np.inf
    assert np.isnan(cm.sqnr(0 * x, x))
    assert np.isnan(cm.sqnr([np.nan, 1], [np.nan, 1]))
    assert np.isnan(cm.sqnr([np.inf, 1], [np.inf, 1]))
    assert round(cm.sqnr([1e-200, 2e-200], [1e-200, 2.2e-200]), 6) == round(cm.sqnr([1, 2], [1, 2.2]), 6)
    assert round(cm.sqnr([1e200, 2e200], [1e200, 2.2e200]), 6) == round(cm.sqnr([1, 2], [1, 2.2]), 6)
    with pytest.raises(ValueError, match=r"shapes differ: \(2,\) and \(3,\)"):
        cm.sqnr([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"the original has shape \(64, 4\), this tensor \(4, 64\)"):
        q.sqnr(x.T)


@pytest.mark.parametrize(
    ("x", "keywords", "error", "message"),
    [
        (np.zeros((2, 3)), {}, TypeError, "float64 would be rounded twice"),
        ([[1.0, 2.0]], {}, TypeError, "float64 would be rounded twice"),
        (np.zeros((2, 3), int), {}, TypeError, "x must be an array of float32"),
        (np.zeros((0, 3), np.float32), {}, ValueError, r"at least one axis and one element, got shape \(0, 3\)"),
        (np.float32(1), {}, ValueError, r"at least one axis and one element, got shape \(\)"),
        (np.zeros((2, 3), np.float32), {"axis": 2}, ValueError, r"axis must lie in -2\.\.1 for shape \(2, 3\), got 2"),
        (np.zeros((2, 3), np.float32), {"axis": -3}, ValueError, "axis must lie in"),
        (np.zeros((2, 3), np.float32), {"recipe": "mxfp5"}, ValueError, "unknown recipe 'mxfp5'; did you mean"),
        (
            np.zeros((2, 3), np.float32),
            {"recipe": 5},
            TypeError,
            "a recipe is named by a string or given as a record, got int",
        ),
        (np.zeros((2, 3), np.float32), {"threads": -1}, ValueError, "threads must be a positive integer or None"),
    ],
)
def test_bad_arguments_are_named(x: Any, keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cm.quantize(x, **{"recipe": "mxfp8", **keywords})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            ("float8_e4m3fn", "block", 0, "float8_e8m0fnu", "floor"),
            "block must be positive exactly for granularity 'block'",
        ),
        (("float8_e4m3fn", "row", 32, "float32", "amax"), "block must be positive exactly for granularity 'block'"),
        (("float8_e4m3fn", "block", 32, "float8_e8m0fnu", "amax"), "the rule 'amax' does not give scales of"),
        (("float8_e4m3fn", "tensor", 0, "float32", "floor"), "the rule 'floor' does not give scales of float32"),
        (("float8_e4m3fn", "block", 32, "float16", "amax"), "scales are float32, float8_e8m0fnu or float8_e4m3fn"),
        (("float4_e2m1fn", "row", 0, "float8_e4m3fn", "amax"), "blocks take 8-bit scales"),
        (("nf4", "tensor", 0, "float32", "amax"), "element 'nf4' is a table"),
        (
            ("float8_e4m3fn", "column", 0, "float32", "amax"),
            "granularity must be one of tensor, row, block, got 'column'",
        ),
        (("float8_e4m3fn", "block", 32, "float8_e8m0fnu", "rounded"), "rule must be one of amax, .*, got 'rounded'"),
        (("bfloat16", "tensor", 0, "float32", "amax"), "elements .* at most 8 bits"),
        (("int8", "block", 16, "float8_e4m3fn", "amax"), "scale float8_e4m3fn stands over float4_e2m1fn"),
        (("float8_e8m0fnu", "tensor", 0, "float32", "amax"), "elements .* got 'float8_e8m0fnu'"),
    ],
)
def test_contradictory_recipes_are_refused(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe("mine", *fields, Evidence("assumed", "test"))


def test_names_and_aliases() -> None:
    for name, recipe in RECIPES.items():
        assert recipe_of(name) is recipe
        assert recipe_of(name.upper()) is recipe
        assert recipe_of(recipe) is recipe
        for alias in recipe.aliases:
            assert recipe_of(alias) is recipe
    assert RECIPES["nvfp4"].bits_per_element == 4.5
    assert RECIPES["fp8"].bits_per_element == 8


def test_block_length_one_and_odd_blocks() -> None:
    x = np.random.default_rng(8).standard_normal((3, 35)).astype(np.float32)
    for block in (1, 3, 7, 35, 64):
        recipe = Recipe("mine", "float8_e4m3fn", "block", block, "float8_e8m0fnu", "floor", Evidence("assumed", "test"))
        q = cm.quantize(x, recipe)
        assert q.scales.shape == (3, -(-35 // block))
        for i in range(q.scales.shape[1]):
            part = x[:, i * block : (i + 1) * block]
            np.testing.assert_array_equal(
                raw(cm.quantize(part, recipe).codes), raw(q.codes[:, i * block : (i + 1) * block])
            )


def test_parts_from_elsewhere_share_memory_both_ways() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(9).standard_normal((4, 64)).astype(np.float32)
    for name in ("mxfp8", "mxfp4", "nvfp4", "fp8-1x128", "int8-row"):
        q = cm.quantize(x, name)
        codes, scales = q.to_torch()
        back = cm.QuantizedTensor.from_parts(codes, scales, name, tensor_scale=float(q.tensor_scale))
        assert back == q
        assert np.shares_memory(back.codes, q.codes)
        assert np.shares_memory(back.scales, q.scales)
        assert codes.dtype == (torch.float8_e4m3fn if "fp8" in name else torch.int8 if "int8" in name else torch.uint8)
        raw = memoryview(q.codes.view(np.uint8))
        assert np.shares_memory(cm.QuantizedTensor.from_parts(raw, q.scales, name).codes, q.codes)


def test_parts_that_do_not_belong_together_are_named() -> None:
    q = cm.quantize(np.ones((130, 64), np.float32), "mxfp8")
    make = cm.QuantizedTensor.from_parts
    nan = q.scales.copy()
    nan.view(np.uint8)[3, 1] = 255
    with pytest.raises(ValueError, match=r"scales of mxfp8 must be numbers: 1 are NaN, the first at \(3, 1\)"):
        make(q.codes, nan, "mxfp8")
    with pytest.raises(ValueError, match=r"scales of the wrong shape: mxfp8 .* has \(130, 2\), got \(130, 1\)"):
        make(q.codes, q.scales[:, :1], "mxfp8")
    with pytest.raises(ValueError, match=r"fp8-128x128 of shape \(130, 64\) along axis 1 has \(2, 1\), got \(1, 1\)"):
        make(q.codes, np.ones((1, 1), np.float32), "fp8-128x128")
    with pytest.raises(TypeError, match="codes of mxfp8 have dtype float8_e4m3fn, or bytes of that width, got float32"):
        make(np.ones((130, 64), np.float32), q.scales, "mxfp8")
    with pytest.raises(ValueError, match="zero_points of mxfp8: none wanted"):
        make(q.codes, q.scales, "mxfp8", zero_points=np.zeros((130, 2), np.int32))
    with pytest.raises(ValueError, match="the tensor scale of nvfp4 is NaN"):
        make(np.zeros((2, 16), np.uint8), np.full((2, 1), 0x38, np.uint8), "nvfp4", tensor_scale=float("nan"))
    double = cm.quantize(np.ones((2, 64), np.float32), "nf4-double")
    with pytest.raises(ValueError, match=r"scale_factors of nf4-double: float32 of shape \(1,\) wanted, got None"):
        make(double.codes, double.scales, "nf4-double")
    with pytest.raises(
        TypeError, match="scales of gguf-q4_1 have dtype float16, or bytes of that width, got float8_e8m0fnu"
    ):
        make(q.codes, q.scales, "gguf-q4_1")


@pytest.mark.parametrize("name", RECIPES)
def test_parts_of_every_recipe_make_the_tensor_again(name: str) -> None:
    q = cm.quantize(np.random.default_rng(4).standard_normal((128, 256)).astype(np.float32), name)
    again = cm.QuantizedTensor.from_parts(
        q.codes, q.scales, name, tensor_scale=float(q.tensor_scale), zero_points=q.zero_points, minimums=q.minimums,
        scale_factors=q.scale_factors, scale_mean=float(q.scale_mean),
    )  # fmt: skip
    assert again == q
    assert again.dequantize().tobytes() == q.dequantize().tobytes()
