"""Block quantisation of the reference follows each library's rule at the places where the rules part."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from chipmeter.reference.ieee import add, divide, fused_multiply_add, multiply
from chipmeter.reference.layouts import E4M3, E5M2, F32, F64, LAYOUTS
from chipmeter.reference.numbers import decode, encode, fraction_of
from chipmeter.reference.quantize import (
    amax_of,
    dequantize_mx,
    float32,
    mx_scale,
    quantize_mx,
    quantize_nf4,
    quantize_nvfp4,
    quantize_scaled,
)
from chipmeter.reference.tables import IntegerLayout

S8 = IntegerLayout(8, True)
E2M1 = LAYOUTS["e2m1"]


@pytest.mark.parametrize(
    ("operation", "numpy_operation"), [(add, np.add), (multiply, np.multiply), (divide, np.divide)]
)
def test_operations_are_those_of_the_machine(operation: Callable[..., int], numpy_operation: np.ufunc) -> None:
    rng = random.Random(8)
    edges = [0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3F800001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000]
    codes = [edge | sign for edge in edges for sign in (0, 1 << 31)]
    pairs = [(x, y) for x in codes for y in codes]
    pairs += [(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(2000)]
    left, right = (np.array(side, dtype=np.uint32).view(np.float32) for side in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        results = numpy_operation(left, right)
    wanted = np.where(np.isnan(results), np.uint32(0x7FC00000), results.view(np.uint32)).tolist()
    assert [operation(x, y, F32) for x, y in pairs] == wanted


def test_fused_multiply_add_rounds_once() -> None:
    rng = random.Random(9)
    for _ in range(300):
        a, b, c = (rng.getrandbits(64) & 0xBFFFFFFFFFFFFFFF for _ in range(3))
        exact = fraction_of(decode(a, F64)) * fraction_of(decode(b, F64)) + fraction_of(decode(c, F64))
        assert fused_multiply_add(a, b, c, F64) == encode(exact, F64)


def test_amax() -> None:
    assert amax_of([]) == 0
    assert amax_of([float32(1), float32(-3)]) == float32(3)
    assert amax_of([0xFF800000, float32(1)]) == 0x7F800000
    assert amax_of([0xFFC00001, 0x7F800000]) == 0x7FC00000


@pytest.mark.parametrize(
    ("name", "threshold"),
    [("e2m1", 1.75), ("e4m3", 1.9375), ("e2m3", 1.9375), ("e5m2", 1.875), ("e3m2", 1.875)],
)
def test_even_rule_thresholds(name: str, threshold: float) -> None:
    at = float32(Fraction(threshold))
    emax = {"e2m1": 2, "e4m3": 8, "e2m3": 2, "e5m2": 15, "e3m2": 4}[name]
    assert mx_scale(at, LAYOUTS[name], "even") == 128 - emax
    assert mx_scale(at - 1, LAYOUTS[name], "even") == 127 - emax


@pytest.mark.parametrize(
    ("name", "largest"), [("e4m3", 448), ("e5m2", 57344), ("e2m3", Fraction(15, 2)), ("e3m2", 28), ("e2m1", 6)]
)
def test_round_up_is_the_smallest_scale_that_does_not_clamp(name: str, largest: Fraction | int) -> None:
    layout = LAYOUTS[name]
    rng = random.Random(2)
    at = float32(largest)
    for amax in [at, at + 1, at - 1, *(rng.randrange(0x10000000, 0x70000000) for _ in range(200))]:
        byte = mx_scale(amax, layout, "round-up")
        number = fraction_of(decode(amax, F32))
        assert number <= largest * Fraction(2) ** (byte - 127)
        assert number > largest * Fraction(2) ** (byte - 128)


@pytest.mark.parametrize("rule", ["floor", "ceil", "even", "round-up", "headroom"])
def test_scale_at_the_ends(rule: str) -> None:
    assert mx_scale(0, E4M3, rule) == 0  # type: ignore[arg-type]
    assert mx_scale(1, E4M3, rule) == 0  # type: ignore[arg-type]
    assert mx_scale(0x7F800000, E4M3, rule) == 255  # type: ignore[arg-type]
    assert mx_scale(0x7FC00000, E4M3, rule) == 255  # type: ignore[arg-type]
    top = {"floor": 246, "ceil": 247, "even": 255, "round-up": 247, "headroom": 247}
    assert mx_scale(0x7F7FFFFF, E4M3, rule) == top[rule]  # type: ignore[arg-type]


def test_mx_block() -> None:
    values = [float32(x) for x in (500, -1, Fraction(1, 4), 0)] + [0x80000000]
    assert quantize_mx(values, E4M3) == (127, [0x7E, 0xB8, 0x28, 0x00, 0x80])
    assert quantize_mx(values, E4M3, "round-up") == (128, [0x78, 0xB0, 0x20, 0x00, 0x80])
    assert quantize_mx([0x80000000, 0], E2M1) == (0, [8, 0])


def test_mx_block_with_a_nan_is_all_nan() -> None:
    byte, codes = quantize_mx([float32(1), 0x7FC00000], E4M3)
    assert (byte, codes) == (255, [0x7F, 0x7F])
    assert dequantize_mx(byte, codes, E4M3) == [0x7FC00000] * 2
    assert dequantize_mx(127, [0x7F], E4M3) == [0x7FC00000]


def test_mx_byte_zero_scales_by_two_to_the_127() -> None:
    # The block's numbers lie near 2^-120, so the scale is 2^-127 and the elements near 2^7.
    values = [float32(Fraction(n, 2**120)) for n in (1, 3)]
    byte, codes = quantize_mx(values, E4M3)
    assert byte == 0
    assert [fraction_of(decode(code, E4M3)) for code in codes] == [128, 384]
    assert dequantize_mx(byte, codes, E4M3) == values


def test_mx_dequantise_rounds_into_subnormals() -> None:
    assert dequantize_mx(0, [0x01], E5M2) == [float32(Fraction(1, 2 ** (127 + 16)))]


def test_nvfp4_two_level() -> None:
    block = [float32(x) for x in (6, 3, -1, Fraction(1, 4), 0)] + [0x80000000]
    tensor_scale, scale, codes = quantize_nvfp4(block, float32(2688))
    assert (tensor_scale, scale, codes) == (float32(1), 0x38, [7, 5, 10, 0, 0, 8])


def test_nvfp4_single_level_and_the_floor_of_torchao() -> None:
    assert quantize_nvfp4([float32(12)], None) == (float32(1), 0x40, [7])
    tensor_scale, scale, _ = quantize_nvfp4([float32(Fraction(1, 2**20))], float32(2688))
    assert (tensor_scale, scale) == (float32(1), 0x08)


def test_nvfp4_transformer_engine() -> None:
    block = [float32(x) for x in (6, -1, Fraction(-1, 16), 0)] + [0x80000000]
    tensor_scale, scale, codes = quantize_nvfp4(block, float32(2688), "transformer-engine")
    assert (tensor_scale, scale, codes) == (float32(1), 0x38, [7, 10, 8, 0, 0])
    assert quantize_nvfp4([0, 0], 0, "transformer-engine") == (float32(1), 0, [0, 0])
    _, scale, _ = quantize_nvfp4([float32(Fraction(1, 2**20))], float32(2688), "transformer-engine")
    assert scale == 0
    with pytest.raises(ValueError, match="needs the tensor's amax"):
        quantize_nvfp4(block, None, "transformer-engine")


def test_scaled_forms_round_in_different_places() -> None:
    # 3 / 448 rounded, then 1 over it, then the product: each form is another sequence of float32 roundings.
    values = [float32(3), float32(1)]
    scale = divide(float32(3), float32(448), F32)
    assert quantize_scaled(values, E4M3, 448) == (scale, [0x7E, encode(Fraction(448, 3), E4M3)])
    factor = divide(float32(448), float32(3), F32)
    returned, _ = quantize_scaled(values, E4M3, 448, "multiplier")
    assert returned == divide(float32(1), factor, F32)
    assert quantize_scaled(values, E4M3, 448, "reciprocal")[0] == scale


def test_division_and_reciprocal_part_at_a_tie() -> None:
    # 0x490F5F17 / scale is 4.5 exactly and goes to the even 4; times the rounded reciprocal it lies just above.
    values = [0x4B7CE42C, 0x490F5F17]
    scale = divide(values[0], float32(127), F32)
    assert divide(values[1], scale, F32) == float32(Fraction(9, 2))
    assert quantize_scaled(values, S8, 127, "divide") == (scale, [127, 4])
    assert quantize_scaled(values, S8, 127, "reciprocal") == (scale, [127, 5])


def test_power_of_two_scales_round_up() -> None:
    assert quantize_scaled([float32(448)], E4M3, 448, power_of_two=True)[0] == float32(1)
    assert quantize_scaled([float32(449)], E4M3, 448, power_of_two=True)[0] == float32(2)
    assert quantize_scaled([float32(449)], E4M3, 448, "multiplier", power_of_two=True) == (float32(2), [0x76])


def test_zero_blocks_and_floors() -> None:
    assert quantize_scaled([0, 0x80000000], S8, 127) == (float32(1), [0, 0])
    floor = float32(Fraction(1, 10**4))
    scale, codes = quantize_scaled([0], E4M3, 448, "reciprocal", smallest_amax=floor)
    assert (scale, codes) == (divide(floor, float32(448), F32), [0])


def test_multiplier_of_an_infinite_block_is_one() -> None:
    assert quantize_scaled([0x7F800000, float32(2)], E4M3, 448, "multiplier") == (float32(1), [0x7E, 0x40])


def test_nf4_block() -> None:
    amax, codes = quantize_nf4([float32(x) for x in (-2, 2, 0, 1)])
    assert (amax, codes) == (float32(2), [0, 15, 7, 12])
    assert quantize_nf4([0, 0]) == (0, [7, 7])


def test_unknown_rules_are_named() -> None:
    with pytest.raises(ValueError, match="unknown MX scale rule 'flor'; did you mean 'floor'"):
        mx_scale(0, E4M3, "flor")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown NVFP4 rule"):
        quantize_nvfp4([0], 0, "modelopt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown scale form"):
        quantize_scaled([0], E4M3, 448, "inverse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="non-negative float32, got 0xbf800000"):
        mx_scale(0xBF800000, E4M3)
