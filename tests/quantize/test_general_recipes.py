"""Recipes beyond the kernels equal the slow reference block by block, on random numbers; contradictions are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import chipmeter as cm
from chipmeter.quantize import RECIPES, Recipe, recipe_of
from chipmeter.quantize.hadamard import hadamard, inverse_hadamard
from chipmeter.quantize.nvfp4 import second_level
from chipmeter.quantize.tiles import from_tiles, to_tiles
from chipmeter.reference import groups
from chipmeter.reference import quantize as slow
from chipmeter.reference.layouts import LAYOUTS

GENERAL = [n for n, r in RECIPES.items() if not r.plain and not r.special]
LAYOUT = {"float6_e2m3fn": "e2m3", "float6_e3m2fn": "e3m2"} | {
    "float8_e4m3fn": "e4m3",
    "float8_e5m2": "e5m2",
    "float4_e2m1fn": "e2m1",
}
SPECIAL = np.float32([0.0, -0.0, 1.0, 0.75, 2.5, -5.0, 448.0, 2.0**-149, 3.4e38])


def numbers(seed: int, rows: int, columns: int) -> NDArray[np.float32]:
    """Numbers of one of many scales, with zeros, ties, the smallest and the largest among them."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, columns)) * 2.0 ** rng.integers(-130, 120)).astype(np.float32)
    special = rng.random(x.shape) < rng.choice([0.0, 0.1, 0.9])
    return np.where(special, rng.choice(SPECIAL[: rng.integers(6, 10)], x.shape), x)


def expected(rule: Recipe, block: list[int], amax: int) -> tuple[int | tuple[int, int], list[int]]:
    """Scale (and zero point) and codes of one block by the reference."""
    layout = LAYOUTS[LAYOUT[rule.element]] if rule.element in LAYOUT else None
    if rule.mapping is not None:
        element: Any = rule.element_format
        scale, zero, codes = groups.quantize_integers(block, rule.mapping, element.min, element.max)
        return (scale, zero), [c & 0xFF for c in codes]
    if rule.element == "nf4":
        return slow.quantize_nf4(block)
    if rule.element == "int8":
        byte, codes = groups.quantize_mxint(block)
        return byte, [c & 0xFF for c in codes]
    assert layout is not None
    if rule.scale == "float8_e8m0fnu":
        return slow.quantize_mx(block, layout, rule.rule)  # type: ignore[arg-type]
    if rule.scale == "float32":
        return slow.quantize_scaled(
            block, layout, int(rule.element_format.max), rule.form,  # type: ignore[union-attr]
            smallest_amax=int(np.float32(rule.smallest).view(np.uint32)), power_of_two=rule.power_of_two,
        )  # fmt: skip
    if rule.flavour in ("modelopt", "compressed-tensors"):
        return groups.quantize_nvfp4_as(block, amax, rule.flavour)  # type: ignore[arg-type]
    second = amax if rule.two_level else None
    return slow.quantize_nvfp4(block, second, rule.flavour)[1:]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", [n for n in GENERAL if RECIPES[n].adaptive == "none" and n not in ("fp4-deepgemm", "nvfp4-te-rht")]
)
@settings(max_examples=12)
@given(st.integers(0, 2**32))
def test_blocks_equal_the_reference(name: str, seed: int) -> None:
    rule = replace(RECIPES[name], block=16, rows=min(RECIPES[name].rows, 2))
    x = numbers(seed, 2, 21)
    q = cm.quantize(x, rule)
    amax = slow.amax_of(np.abs(x).view(np.uint32).ravel().tolist())
    codes, scales = q.codes.view(np.uint8), q.scales.view(f"u{q.scales.dtype.itemsize}")
    for i in range(0, 2, rule.rows):
        for j in range(0, 21, 16):
            cut = np.s_[i : i + rule.rows, j : j + 16]
            padded = np.zeros((rule.rows, 16), np.float32)
            padded[:, : x[cut].shape[1]] = x[cut]
            block = padded.view(np.uint32).ravel().tolist()
            if rule.mapping is None and not any(v & 0x7FFFFFFF for v in block) and rule.scale == "float32":
                continue  # the scale of nothing but zeros is 1, or the least there is, by its own rule
            scale, want = expected(rule, block, amax)
            at = (i // rule.rows, j // 16)
            if q.zero_points is not None:
                assert (scales[at], q.zero_points[at]) == scale
            else:
                assert scales[at] == scale
            got = codes[cut]
            mask = np.uint8((1 << rule.element_format.bits) - 1)  # int4 lies in a byte with its sign extended
            assert (got & mask == np.uint8(want).reshape(rule.rows, 16)[:, : got.shape[1]] & mask).all()


@pytest.mark.parametrize("name", GENERAL)
def test_axes_and_tails(rng: np.random.Generator, name: str) -> None:
    rule = RECIPES[name]
    x = rng.standard_normal((48, 48)).astype(np.float32)
    along, across = cm.quantize(x, rule, axis=-1), cm.quantize(np.ascontiguousarray(x.T), rule, axis=0)
    assert along.codes.tobytes() == np.ascontiguousarray(across.codes.T).tobytes()
    assert along.scales.tobytes() == np.ascontiguousarray(across.scales.T).tobytes()
    assert along.dequantize().tobytes() == np.ascontiguousarray(across.dequantize().T).tobytes()
    assert along.sqnr(x) > 17
    assert along == cm.quantize(x, name)
    assert along != cm.quantize(-2 * x, name)
    if rule.signs is None and rule.rows == 1:
        padded = np.zeros((48, rule.block), np.float32)
        padded[:, :5] = x[:, :5]
        short, whole = cm.quantize(x[:, :5], replace(rule, two_level=rule.two_level)), cm.quantize(padded, rule)
        assert short.codes.tobytes() == np.ascontiguousarray(whole.codes[:, :5]).tobytes()
    with pytest.raises(ValueError, match="takes whole blocks of"):
        cm.quantize(x[:, :5], replace(rule, tail="refuse"))


@given(st.integers(0, 2**32))
def test_ties_go_toward_zero_by_exact_thresholds(seed: int) -> None:
    x = numbers(seed, 1, 32)
    q = cm.quantize(x, "fp4-deepgemm")
    y = np.abs(x * (np.float32(1) / q.scales))
    thresholds = np.float32([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5])
    magnitude = (y[..., None] > thresholds).sum(axis=-1)
    assert (q.codes.view(np.uint8) & 7 == magnitude).all()
    assert not (q.codes.view(np.uint8) == 8).any()


def test_the_better_of_two_scales_is_never_worse(rng: np.random.Generator) -> None:
    x = rng.standard_normal((64, 64)).astype(np.float32)
    plain = cm.quantize(x, "nvfp4-te").dequantize() - x
    for name, power in (("nvfp4-4over6", 1), ("nvfp4-4over6-mse", 2)):
        q = cm.quantize(x, name)
        error = (np.abs(q.dequantize() - x) ** power).reshape(-1, 16).sum(axis=1)
        assert (error <= (np.abs(plain) ** power).reshape(-1, 16).sum(axis=1) * 1.0001).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.sampled_from([1, 16]), adaptive=st.sampled_from(["mae", "mse"]))
def test_four_over_six_is_the_statement_of_its_float32_operations(seed: int, rows: int, adaptive: str) -> None:
    x = numbers(seed, 17, 300)  # a short tile in both directions
    rule = replace(RECIPES["nvfp4-4over6"], adaptive=adaptive, rows=rows)
    found = cm.quantize(x, rule)
    tiles = to_tiles(x, rows, 16)
    with np.errstate(all="ignore"):
        amax = np.abs(x).max()
        up = second_level(amax, "transformer-engine").factor
        base = np.abs(tiles).max(axis=1) / np.float32(6) * up
        tries = []
        for stretch in (np.float32(1.5), np.float32(1)):
            scale = cm.cast(np.minimum(base * stretch, np.finfo(np.float32).max), "float8_e4m3fn", overflow="saturate")
            value = cm.decode(scale)
            factor = np.minimum(1 / (value * (1 / up)), np.finfo(np.float32).max)
            codes = cm.cast(tiles * factor[:, None] + np.float32(0), "float4_e2m1fn", overflow="saturate")
            d = cm.decode(codes) * value[:, None] * amax / np.float32(6 * 448) - tiles
            d = np.abs(d) if adaptive == "mae" else d * d
            total = np.zeros((len(tiles), rows), np.float32)
            for i in range(16):
                total += d.reshape(len(tiles), rows, 16)[..., i]
            tries.append((total.sum(axis=1, dtype=np.float32), scale.view(np.uint8), codes.view(np.uint8)))
    four = tries[0][0] < tries[1][0]
    assert np.array_equal(found.scales.view(np.uint8).ravel(), np.where(four, tries[0][1], tries[1][1]))
    want = from_tiles(np.where(four[:, None], tries[0][2], tries[1][2]), x.shape, rows, 16)
    assert np.array_equal(found.codes.view(np.uint8) & 7, want & 7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), signs=st.integers(0, 65535))
def test_hadamard_adds_in_the_order_of_its_stages(seed: int, signs: int) -> None:
    x = numbers(seed, 5, 48)
    flip = np.where(signs >> np.arange(16) & 1, np.float32(-1), np.float32(1))
    for transform, first, last in ((hadamard, flip, np.float32(1)), (inverse_hadamard, np.float32(1), flip)):
        y = x.reshape(-1, 16) * first
        with np.errstate(all="ignore"):
            for distance in (1, 2, 4, 8):
                low, high = np.moveaxis(y.reshape(len(y), -1, 2, distance), 2, 0)
                y = np.stack([low + high, low - high], axis=2).reshape(len(y), 16)
        want = (y * np.float32(0.25) * last).reshape(x.shape)
        found = transform(x, signs, threads=2)
        assert np.array_equal(np.isnan(found), np.isnan(want))
        assert np.array_equal(found.view(np.uint32)[~np.isnan(want)], want.view(np.uint32)[~np.isnan(want)])


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.granularity == "block"])
def test_a_transposed_matrix_has_the_bits_of_its_copy(name: str) -> None:
    x = numbers(3, 256, 384)
    for axis in (0, -1):
        assert cm.quantize(x.T, name, axis=axis) == cm.quantize(np.ascontiguousarray(x.T), name, axis=axis)


def test_hadamard_is_the_sylvester_matrix_with_signs() -> None:
    signs = RECIPES["nvfp4-te-rht"].signs
    assert signs is not None
    matrix = hadamard(np.eye(16, dtype=np.float32), signs) * 4
    sylvester = np.ones((1, 1))
    for _ in range(4):
        sylvester = np.kron(sylvester, [[1, 1], [1, -1]])
    vector = [-1 if signs >> i & 1 else 1 for i in range(16)]
    assert (matrix == np.diag(vector) @ sylvester).all()
    assert [i for i, v in enumerate(vector) if v < 0] == [3, 5, 6, 7, 8, 9, 10, 12, 14, 15]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("mxfp8", {"form": "reciprocal"}, "form 'reciprocal' goes with float32 scales of blocks only"),
        ("mxfp8", {"limit": 3.0}, "limit 3.0 goes with"),
        ("mxfp8", {"smallest": 1e-4}, "smallest 0.0001 goes with"),
        ("fp8", {"power_of_two": True}, "power_of_two True goes with"),
        ("fp8", {"rows": 2}, "rows must be 1, or more for granularity 'block', got 2"),
        ("mxfp4", {"two_level": True}, "two_level: e4m3 block scales"),
        ("mxfp4", {"flavour": "modelopt"}, "flavour 'modelopt' goes with recipes of two levels"),
        ("nvfp4", {"adaptive": "mae"}, "adaptive 'mae' goes with flavour 'transformer-engine'"),
        ("nvfp4-4over6", {"rows": 8}, "adaptive 'mae' goes with flavour 'transformer-engine' in tiles of 1 or 16 rows"),
        ("nvfp4", {"rounding": "toward-zero"}, "rounding 'toward-zero' goes with"),
        ("nvfp4", {"signs": 1 << 16}, "signs must be 16 bits"),
        ("mxfp8", {"mapping": "affine"}, "mapping is of integers"),
        ("int4-group32", {"mapping": "best"}, "mapping must be one of symmetric"),
        ("uint4-group32", {"mapping": "symmetric"}, "elements are of a signed"),
        ("fp8-1x128", {"limit": 0.0}, "limit positive, got"),
        ("fp8-1x128", {"smallest": -1.0}, "smallest must not be negative"),
        ("nf4", {"rows": 2}, "element 'nf4' is a table"),
        ("mxfp8", {"tail": "cut"}, "tail must be one of short, refuse, got 'cut'"),
        ("nvfp4", {"element": "float8_e5m2"}, "scale float8_e4m3fn stands over"),
    ],
)
def test_contradictions_name_the_field(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(recipe_of(name), **fields)


def test_inputs_that_tiles_and_transforms_cannot_take() -> None:
    with pytest.raises(ValueError, match="x needs two axes"):
        cm.quantize(np.ones(128, np.float32), "fp8-128x128")
    with pytest.raises(ValueError, match="16 numbers at a time: the axis has 20"):
        cm.quantize(np.ones(20, np.float32), "nvfp4-te-rht")


@pytest.mark.parametrize("name", ["mxfp8-32x32", "uint4-group32", "nvfp4-te-rht"])
def test_products_refuse_what_no_unit_multiplies(name: str) -> None:
    q = cm.quantize(np.ones((32, 32), np.float32), name)
    with pytest.raises(ValueError, match="dequantize it first"):
        cm.matmul(q, q, unit="b200/mxfp8")
