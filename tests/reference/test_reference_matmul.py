"""The reference dot products give the outputs published for the units they model, and obey what their rules imply."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import partial

import pytest

from chipmeter.reference.layouts import E4M3, E5M2, F16, F32, LAYOUTS
from chipmeter.reference.matmul import (
    CONVERSIONS,
    Conversion,
    exact_dot,
    flushed_pairwise_dot,
    grouped_scaled_truncated_dot,
    grouped_truncate_round_dot,
    scaled_truncated_dot,
    truncate_round_dot,
    truncated_dot,
    two_pass_truncated_dot,
)
from chipmeter.reference.numbers import decode, encode, fraction_of

VOLTA = partial(truncated_dot, lanes=4, fraction_bits=23, floor_exponent=-131)
AMPERE = partial(truncated_dot, lanes=8, fraction_bits=24, floor_exponent=-132)
AMPERE_HALF = partial(truncated_dot, lanes=8, fraction_bits=24, conversion="RNE-FP16", floor_exponent=-20)
HOPPER = partial(truncated_dot, lanes=16, fraction_bits=25, floor_exponent=-133)
ADA_FP8 = partial(truncated_dot, lanes=16, fraction_bits=13, conversion="RZ-E8M13", floor_exponent=-132)


def f16(number: Fraction | float) -> int:
    return encode(Fraction(number), F16)


def f32(number: Fraction | float) -> int:
    return encode(Fraction(number), F32)


def power(name: str, exponent: int) -> int:
    return encode(Fraction(2) ** exponent, LAYOUTS[name])


# 2^23 + (-2^23 - 1/2 - 1/4 - 1/8): where each unit cuts.
STAIRS = [f16(2.0**12), f16(-0.5), f16(-0.25), f16(-0.125)], [f16(-(2.0**11)), f16(1), f16(1), f16(1)]


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        (VOLTA, 0.0),
        (AMPERE, -0.5),
        (HOPPER, -0.75),
        (partial(exact_dot, lanes=4), -0.875),
        (partial(flushed_pairwise_dot, lanes=4), 0.0),
        (partial(truncate_round_dot, lanes=8), -0.5),
    ],
)
def test_where_units_cut(unit: partial[int], wanted: float) -> None:
    assert unit(*STAIRS, f32(2.0**23), "f16", "f16") == f32(wanted)


def test_products_align_unnormalised() -> None:
    tiny = power("f16", -11), power("f16", -12)
    a, b = [f16(1.5), tiny[0], tiny[0]], [f16(1.5), tiny[1], tiny[1]]
    assert VOLTA(a, b, 0, "f16", "f16") == 0x40100001
    assert VOLTA([f16(1), *a[1:]], [f16(2.25), *b[1:]], 0, "f16", "f16") == 0x40100000


@pytest.mark.parametrize(("c", "wanted"), [(0x3F8003FF, 0x3F800000), (0x000007FF, 0x00000400)])
def test_thirteen_bits_cut_the_accumulator_too(c: int, wanted: int) -> None:
    assert ADA_FP8([0] * 16, [0] * 16, c, "e4m3", "e4m3") == wanted


def test_overflow_is_infinity_and_truncation_stops_short_of_it() -> None:
    assert AMPERE([power("bf16", 52)], [power("bf16", 52)], 0x7F7FFFFF, "bf16", "bf16") == 0x7F800000
    assert AMPERE([power("bf16", 51)], [power("bf16", 52)], 0x7F7FFFFF, "bf16", "bf16") == 0x7F7FFFFF


@pytest.mark.parametrize(
    ("product", "c", "wanted"),
    [
        (Fraction(1, 2**11), Fraction(1), 0x3C00),
        (Fraction(1, 2**11), 1 + Fraction(1, 2**10), 0x3C02),
        (Fraction(16), Fraction(65504), 0x7C00),
        (16 - Fraction(1, 128), Fraction(65504), 0x7BFF),
    ],
)
def test_half_accumulators_round_to_nearest_even(product: Fraction, c: Fraction, wanted: int) -> None:
    assert AMPERE_HALF([f16(product)], [f16(1)], f16(c), "f16", "f16", "f16") == wanted


def test_the_floor_exponent_cuts_tiny_products() -> None:
    a = [power("bf16", -76)] * 8
    assert HOPPER(a, a, 0, "bf16", "bf16") == 0x00000001
    b = [*a, power("bf16", -80)]
    a = [*a, power("bf16", -80) | 0x8000]
    assert HOPPER(a, b, 0, "bf16", "bf16") == 0x00000001
    assert HOPPER(a[-1:] * 16, b[-1:] * 16, 0, "bf16", "bf16") == 0x00000000


def test_nvidia_never_returns_minus_zero() -> None:
    tiny = power("bf16", -76)
    assert HOPPER([tiny], [tiny | 0x8000], 0x80000000, "bf16", "bf16") == 0x00000000


def test_tf32_masks_before_it_looks() -> None:
    one = f32(1)
    assert AMPERE([0x7F800001], [one], 0, "tf32", "tf32") == 0x7F800000


@pytest.mark.parametrize(
    ("a", "b", "c", "wanted"),
    [
        ([0x7E00], [0x0000], 0, 0x7FFFFFFF),
        ([0x7C00], [0x0000], 0, 0x7FFFFFFF),
        ([0x7C00, 0xFC00], [0x3C00, 0x3C00], 0, 0x7FFFFFFF),
        ([0x7C00], [0x3C00], 0xFF800000, 0x7FFFFFFF),
        ([0xFC00, 0x3C00], [0x3C00, 0x3C00], 0, 0xFF800000),
        ([0x3C00], [0x3C00], 0xFFC00000, 0x7FFFFFFF),
        ([0x8000], [0x3C00], 0x80000000, 0x00000000),
    ],
)
def test_special_values(a: list[int], b: list[int], c: int, wanted: int) -> None:
    assert AMPERE(a, b, c, "f16", "f16") == wanted


def test_blocks_chain_through_the_converted_result() -> None:
    half_ulp = [f16(1)] + [0] * 7 + [power("f16", -11)] + [0] * 7 + [power("f16", -11)]
    ones = [f16(1)] * len(half_ulp)
    assert AMPERE_HALF(half_ulp, ones, 0, "f16", "f16", "f16") == 0x3C00
    assert AMPERE_HALF([half_ulp[i] for i in (0, 8, 16)], ones[:3], 0, "f16", "f16", "f16") == 0x3C01


def test_an_accumulator_of_ones_own() -> None:
    bf16 = Conversion(LAYOUTS["bf16"], 7, "nearest-even", 0x7FC0)
    assert truncated_dot([f16(1)], [f16(1 + 3 / 512)], 0, "f16", "f16", "bf16", lanes=1, fraction_bits=24,
                         conversion=bf16, floor_exponent=-132) == 0x3F81  # fmt: skip


def test_block_scales_add_to_exponents() -> None:
    assert scaled_truncated_dot([0x3C], [0x3C], 0, "e4m3", "e4m3", a_scales=[0x00], b_scales=[0x7F]) == 0x00900000
    assert scaled_truncated_dot([0] * 32, [0] * 32, 0, "e4m3", "e2m1", a_scales=[0xFF], b_scales=[0x7F]) == 0x7FFFFFFF


NVFP4 = partial(grouped_scaled_truncated_dot, scale_type="ue4m3", scale_block=16)
MXFP4 = partial(grouped_scaled_truncated_dot, scale_type="ue8m0", scale_block=32)


def test_nvfp4_scales() -> None:
    one = [2] + [0] * 63
    for scale in (0x38, 0xB8):
        assert NVFP4(one, one, 0, a_scales=[scale, 0, 0, 0], b_scales=[0x38] * 4) == 0x3F800000
    assert NVFP4([0] * 64, [0] * 64, 0, a_scales=[0x7F] * 4, b_scales=[0x38] * 4) == 0x7FFFFFFF
    subnormal_scale = [0x01, 0, 0, 0]
    assert NVFP4(one, one, 0, a_scales=subnormal_scale, b_scales=[0x38] * 4) == f32(Fraction(1, 512))


def test_a_zero_scale_does_not_raise_the_exponent() -> None:
    one, c = [2] + [0] * 63, f32(2.0**-34)
    assert NVFP4(one, one, c, a_scales=[0, 0, 0, 0], b_scales=[0x7E] * 4) == c


def test_a_cancelled_group_raises_the_exponent_and_an_empty_one_does_not() -> None:
    scales = [127 + 40, 127]
    empty = [0] * 64
    assert MXFP4(empty, empty, 0x3F800000, a_scales=scales, b_scales=[127, 127]) == 0x3F800000
    cancelled = [2, 2] + [0] * 62, [2, 10] + [0] * 62
    assert MXFP4(*cancelled, 0x3F800000, a_scales=scales, b_scales=[127, 127]) == 0x00000000


def test_groups_are_of_sixteen_whatever_the_scale_block() -> None:
    # The second scale block cancels at exponent 34, so units are 2^-1. Two products of 1/4 make one of them if their
    # group adds them first, and are lost if each is cut alone, though both stand under one scale.
    for second_place, wanted in ((15, f32(0.5)), (16, 0)):
        a = [0] * 64
        a[0] = a[second_place] = 1
        b = list(a)
        a[32], a[48], b[32], b[48] = 2, 2, 2, 10
        assert MXFP4(a, b, 0, a_scales=[127, 127 + 34], b_scales=[127, 127]) == wanted


def test_two_passes_take_products_by_pairs() -> None:
    one, left, right = power("e5m2", 0), power("e5m2", -6), power("e5m2", -5)  # left * right is half an ulp of 1 in f16
    inside_first = [one, left, left] + [0] * 29, [one, right, right] + [0] * 29
    inside_second = [one, 0, left, left] + [0] * 28, [one, 0, right, right] + [0] * 28
    assert two_pass_truncated_dot(*inside_first, 0, "e5m2", "e5m2", half=True) == 0x3C00
    assert two_pass_truncated_dot(*inside_second, 0, "e5m2", "e5m2", half=True) == 0x3C01


def test_two_passes_add_the_accumulator_last() -> None:
    a, b = [power("e5m2", 0)] + [0] * 31, [power("e5m2", 0)] + [0] * 31
    assert two_pass_truncated_dot(a, b, f32(2.0**-24), "e5m2", "e5m2", half=False) == 0x3F800000
    assert two_pass_truncated_dot(a, b, f32(3 * 2.0**-25), "e5m2", "e5m2", half=False) == 0x3F800001
    assert two_pass_truncated_dot(a, b, 0xFFC00001, "e5m2", "e5m2", half=False) == 0x7FFFFFFF


@pytest.mark.parametrize("kind", ["e4m3", "e5m2"])
def test_two_passes_widen_subnormals_to_normal_halves(kind: str) -> None:
    smallest = 0x01
    exact = fraction_of(decode(smallest, LAYOUTS[kind])) ** 2
    a = [smallest] + [0] * 31
    assert two_pass_truncated_dot(a, a, 0, kind, kind, half=False) == f32(exact)


def test_cdna1_rounds_the_exact_sum_once() -> None:
    rng = random.Random(11)
    for _ in range(100):
        a, b = ([rng.getrandbits(16) & 0xBFFF for _ in range(4)] for _ in range(2))
        c = rng.getrandbits(32) & 0xBFFFFFFF
        total = fraction_of(decode(c, F32))
        total += sum(fraction_of(decode(x, F16)) * fraction_of(decode(y, F16)) for x, y in zip(a, b, strict=True))
        assert exact_dot(a, b, c, "f16", "f16", lanes=4) == f32(total)


def test_cdna2_flushes_inputs_and_results() -> None:
    unit = partial(flushed_pairwise_dot, lanes=4)
    assert unit([0x0001], [f16(1)], 0, "f16", "f16") == 0
    assert unit([0], [0], 0x80000001, "f16", "f16") == 0
    tiny = power("bf16", -64)
    assert unit([tiny], [tiny], 0, "bf16", "bf16") == 0
    assert unit([tiny], [power("bf16", -62)], 0, "bf16", "bf16") == 0x00800000


@pytest.mark.parametrize(
    ("unit", "kind", "c", "wanted"),
    [
        (partial(truncate_round_dot, lanes=8), "f16", -(2.0**-26), 0x3F7FFFFF),
        (grouped_truncate_round_dot, "e4m3fnuz", -(2.0**-26), 0x3F800000),
        (grouped_truncate_round_dot, "e4m3fnuz", -(2.0**-25), 0x3F7FFFFF),
    ],
)
def test_cdna3_floors(unit: partial[int], kind: str, c: float, wanted: int) -> None:
    assert unit([power(kind, 0)], [power(kind, 0)], f32(c), kind, kind) == wanted


@pytest.mark.parametrize(("c", "units", "wanted"), [(-1, -767, 0xBF800002), (1, -895, 0x3F7FFFFD)])
def test_cdna3_floors_twice(c: int, units: int, wanted: int) -> None:
    # Products that cancel at 2^-8 leave `units` * 2^-32 beside c. In -1 - 767 * 2^-32 the floor to 31 fraction bits makes
    # a tie of what lies below one. In 1 - 895 * 2^-32, half as large as its alignment, all 32 bits survive and break one.
    a = [power("f16", -4), power("f16", -4), f16(Fraction(units, 2**16))]
    b = [power("f16", -4), power("f16", -4) | 0x8000, f16(Fraction(1, 2**16))]
    assert truncate_round_dot(a, b, f32(c), "f16", "f16", lanes=8) == wanted


def test_cdna3_products_overflow_one_by_one() -> None:
    big, two = power("bf16", 127), power("bf16", 1)
    unit = partial(truncate_round_dot, lanes=8)
    assert unit([big], [two], 0, "bf16", "bf16") == 0x7F800000
    assert unit([big, big], [two, two | 0x8000], 0, "bf16", "bf16") == CONVERSIONS["RNE-FP32"].nan
    assert HOPPER([big, big], [two, two | 0x8000], 0, "bf16", "bf16") == 0


def test_cdna3_fp8_keeps_even_and_odd_products_apart() -> None:
    unit = grouped_truncate_round_dot
    big, small = encode(Fraction(240), LAYOUTS["e4m3fnuz"]), 0x01
    minus_big = big | 0x80
    # 240^2 - 240^2 + 2^-20: beside them the small product is cut at 2^-10, in the other group at the same place.
    together = [big, 0, big, 0, small], [big, 0, minus_big, 0, small]
    apart = [big, small, big], [big, small, minus_big]
    assert unit(*together, 0, "e4m3fnuz", "e4m3fnuz") == 0
    assert unit(*apart, 0, "e4m3fnuz", "e4m3fnuz") == 0
    # A negative rest shows the difference: cut toward zero inside a group, toward minus infinity between groups.
    minus_small = small | 0x80
    assert unit(together[0], [*together[1][:4], minus_small], 0, "e4m3fnuz", "e4m3fnuz") == 0
    assert unit(apart[0], [big, minus_small, minus_big], 0, "e4m3fnuz", "e4m3fnuz") == f32(-(2.0**-10))


@pytest.mark.parametrize("seed", range(3))
def test_with_bits_enough_truncation_is_exact(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        a = [rng.choice([c for c in range(256) if decode(c, E4M3).kind == "finite"]) for _ in range(16)]
        b = [rng.choice([c for c in range(256) if decode(c, E5M2).kind == "finite"]) for _ in range(16)]
        c = f32(Fraction(rng.randint(-(2**40), 2**40), 2**30))
        exact = fraction_of(decode(c, F32))
        exact += sum(fraction_of(decode(x, E4M3)) * fraction_of(decode(y, E5M2)) for x, y in zip(a, b, strict=True))
        cut = truncated_dot(a, b, c, "e4m3", "e5m2", lanes=16, fraction_bits=400, floor_exponent=-132)
        assert cut == encode(exact, F32, "toward-zero")
        assert exact_dot(a, b, c, "e4m3", "e5m2", lanes=16) == encode(exact, F32)


def test_order_inside_a_block_does_not_matter() -> None:
    rng = random.Random(3)
    for _ in range(30):
        pairs = [(rng.getrandbits(16), rng.getrandbits(16)) for _ in range(16)]
        c = rng.getrandbits(32)
        shuffled = rng.sample(pairs, 16)
        first = HOPPER([x for x, _ in pairs], [y for _, y in pairs], c, "bf16", "bf16")
        assert first == HOPPER([x for x, _ in shuffled], [y for _, y in shuffled], c, "bf16", "bf16")


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="same length, got 2 and 1"):
        AMPERE([0, 0], [0], 0, "f16", "f16")
    with pytest.raises(ValueError, match="unknown output conversion 'RZ-FP16'"):
        truncated_dot([0], [0], 0, "f16", "f16", lanes=8, fraction_bits=24, conversion="RZ-FP16", floor_exponent=-132)
    with pytest.raises(ValueError, match="at least one product, got 0"):
        exact_dot([0], [0], 0, "f16", "f16", lanes=0)
    with pytest.raises(ValueError, match="33 products in blocks of 32 need 2 scales a side"):
        scaled_truncated_dot([0] * 33, [0] * 33, 0, "e4m3", "e4m3", a_scales=[127], b_scales=[127])
    with pytest.raises(ValueError, match="one scale a side"):
        NVFP4([0] * 64, [0] * 64, 0, a_scales=[0x38], b_scales=[0x38] * 4)
    with pytest.raises(ValueError, match="lanes must be 2 or 4, got 3"):
        flushed_pairwise_dot([0], [0], 0, "f16", "f16", lanes=3)
