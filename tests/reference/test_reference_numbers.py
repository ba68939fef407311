"""The reference formats mean what ml_dtypes and IEEE 754 say, code by code, and round by every mode and policy."""

from __future__ import annotations

import random
import struct
from fractions import Fraction
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest

from chipmeter.reference.layouts import BF16, E4M3, E5M2, F16, F32, LAYOUTS, TF32, UE4M3, UE8M0, layout_of
from chipmeter.reference.numbers import Layout, Value, decode, encode, fraction_of
from chipmeter.reference.rounding import round_quotient
from chipmeter.reference.tables import (
    NF4_CODES,
    IntegerLayout,
    decode_integer,
    encode_integer,
    encode_table,
)

NAN, INF, NEGATIVE_INF = Value("nan"), Value("inf"), Value("inf", True)

ML_DTYPES = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e4m3ieee": ml_dtypes.float8_e4m3,
    "e5m2": ml_dtypes.float8_e5m2,
    "e3m4": ml_dtypes.float8_e3m4,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e4m3b11fnuz": ml_dtypes.float8_e4m3b11fnuz,
    "ue8m0": ml_dtypes.float8_e8m0fnu,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
}


def meaning(value: Value) -> tuple[object, ...]:
    """What can be compared of a value: its class and sign, or its exact number and sign."""
    if value.kind == "nan":
        return ("nan",)
    return (value.kind, value.negative, fraction_of(value) if value.kind == "finite" else None)


def float32_meaning(number: np.float32) -> tuple[object, ...]:
    if np.isnan(number):
        return ("nan",)
    negative = bool(np.signbit(number))
    return ("inf", negative, None) if np.isinf(number) else ("finite", negative, Fraction(float(number)))


@pytest.mark.parametrize("name", ML_DTYPES)
def test_decode_every_code(name: str) -> None:
    layout = LAYOUTS[name]
    codes = np.arange(2**layout.bits, dtype=np.uint8)
    with np.errstate(all="ignore"):
        numbers = codes.view(ML_DTYPES[name]).astype(np.float32)
    assert [meaning(decode(int(c), layout)) for c in codes] == [float32_meaning(x) for x in numbers]


@pytest.mark.parametrize(("name", "dtype"), [("f16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_decode_every_16_bit_code(name: str, dtype: type) -> None:
    codes = np.arange(2**16, dtype=np.uint16)
    with np.errstate(all="ignore"):
        numbers = codes.view(dtype).astype(np.float32)
    assert [meaning(decode(int(c), LAYOUTS[name])) for c in codes] == [float32_meaning(x) for x in numbers]


def interesting_float32() -> list[int]:
    """Every number of every small format, every midpoint, both float32 neighbours, and random patterns."""
    numbers: set[Fraction] = set()
    for name in ML_DTYPES:
        layout = LAYOUTS[name]
        found = [v for v in (decode(c, layout) for c in range(2**layout.bits)) if v.kind == "finite"]
        ordered = sorted({abs(fraction_of(v)) for v in found})
        numbers.update(ordered)
        numbers.update((low + high) / 2 for low, high in pairwise(ordered))
        numbers.add(ordered[-1] + (ordered[-1] - ordered[-2]) / 2)
    codes = {encode(number, F32, overflow="saturate") for number in numbers}
    codes |= {neighbour for code in codes for neighbour in (code - 1, code + 1) if 0 <= neighbour < 2**31}
    rng = random.Random(4)
    codes |= {rng.getrandbits(31) for _ in range(500)} | {0x7F800000, 0x7FC00000, 0x7F800001, 0x00000001}
    return [code | sign for code in sorted(codes) for sign in (0, 1 << 31)]


@pytest.mark.parametrize("name", ["bf16", *ML_DTYPES])
def test_encode_is_the_cast_of_ml_dtypes(name: str) -> None:
    dtype = ML_DTYPES.get(name, ml_dtypes.bfloat16)
    inputs = interesting_float32()
    with np.errstate(all="ignore"):
        cast = np.array(inputs, dtype=np.uint32).view(np.float32).astype(dtype)
    wanted = cast.view(np.uint16 if name == "bf16" else np.uint8)
    wrong = [
        (hex(x), hex(code), hex(want))
        for x, want in zip(inputs, wanted.tolist(), strict=True)
        if (code := encode(decode(x, F32), LAYOUTS[name])) != want
    ]
    assert wrong == []


def test_encode_float16_is_that_of_numpy() -> None:
    inputs = [x for x in interesting_float32() if decode(x, F32).kind != "nan"]
    with np.errstate(all="ignore"):
        wanted = np.array(inputs, dtype=np.uint32).view(np.float32).astype(np.float16).view(np.uint16).tolist()
    assert [encode(decode(x, F32), F16) for x in inputs] == wanted


def test_encode_float64_to_float32_is_that_of_struct() -> None:
    rng = random.Random(6)
    for _ in range(2000):
        x = rng.uniform(-1, 1) * 2.0 ** rng.randint(-150, 126)
        assert encode(Fraction(x), F32) == struct.unpack("<I", struct.pack("<f", x))[0]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_number_encodes_to_its_own_code(name: str) -> None:
    layout = LAYOUTS[name]
    step = max(1, 2**layout.bits // 4096) | 1
    for code in range(0, 2**layout.bits, step):
        value = decode(code, layout)
        if value.kind != "nan":
            used = code >> layout.padding << layout.padding
            assert encode(value, layout) == (used & 0x7F if name == "ue4m3" else used)


@pytest.mark.parametrize(
    ("name", "value", "ofp8", "saturate", "torch"),
    [
        ("e4m3", NAN, 0x7F, 0x7F, 0x7F),
        ("e4m3", Value("nan", True), 0xFF, 0xFF, 0xFF),
        ("e4m3", INF, 0x7F, 0x7E, 0x7E),
        ("e4m3", Fraction(464), 0x7E, 0x7E, 0x7E),
        ("e4m3", Fraction(-465), 0xFF, 0xFE, 0xFE),
        ("e5m2", NAN, 0x7E, 0x7F, 0x7F),
        ("e5m2", Value("nan", True), 0xFE, 0xFF, 0xFF),
        ("e5m2", NEGATIVE_INF, 0xFC, 0xFB, 0xFC),
        ("e5m2", Fraction(61439), 0x7B, 0x7B, 0x7B),
        ("e5m2", Fraction(61440), 0x7C, 0x7B, 0x7C),
        ("e4m3ieee", Fraction(248), 0x78, 0x77, 0x78),
        ("e4m3fnuz", Fraction(-1000), 0x80, 0xFF, 0x80),
        ("e4m3fnuz", Fraction(-1, 2**20), 0x00, 0x00, 0x00),
        ("e4m3fnuz", Value("finite", True), 0x00, 0x00, 0x00),
        ("e2m1", NAN, 0x8, 0x8, 0x8),
        ("e2m1", Value("nan", True), 0x0, 0x0, 0x0),
        ("e2m1", NEGATIVE_INF, 0xF, 0xF, 0xF),
        ("bf16", NAN, 0x7FC0, 0x7FC0, 0xFFFF),
        ("f16", Value("nan", True), 0xFE00, 0xFE00, 0xFE00),
        ("ue8m0", Fraction(0), 0xFF, 0x00, 0x00),
        ("ue8m0", INF, 0xFF, 0xFE, 0xFF),
        ("ue8m0", 3 * Fraction(2) ** 126, 0xFF, 0xFE, 0xFF),
        ("ue8m0", 3 * Fraction(2) ** 126 - 1, 0xFE, 0xFE, 0xFE),
    ],
)
def test_policies(name: str, value: Value | Fraction, ofp8: int, saturate: int, torch: int) -> None:
    layout = LAYOUTS[name]
    assert encode(value, layout, overflow="ofp8") == ofp8
    assert encode(value, layout, overflow="saturate") == saturate
    assert encode(value, layout, overflow="torch") == torch


def test_e2m1_midpoints_go_to_even() -> None:
    middles = [Fraction(n, 4) for n in (1, 3, 5, 7, 10, 14, 20)]
    assert [fraction_of(decode(encode(m, LAYOUTS["e2m1"]), LAYOUTS["e2m1"])) for m in middles] == [0, 1, 1, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("rounding", "wanted"),
    [  # of 1.25, -1.25, 1.75, -1.75, 1.125, -1.125 to multiples of 0.5, as codes of e2m1
        ("nearest-even", [2, 10, 4, 12, 2, 10]),
        ("nearest-away", [3, 11, 4, 12, 2, 10]),
        ("toward-zero", [2, 10, 3, 11, 2, 10]),
        ("up", [3, 10, 4, 11, 3, 10]),
        ("down", [2, 11, 3, 12, 2, 11]),
        ("odd", [3, 11, 3, 11, 3, 11]),
    ],
)
def test_roundings(rounding: str, wanted: list[int]) -> None:
    numbers = [Fraction(n, 8) for n in (10, -10, 14, -14, 9, -9)]
    assert [encode(n, LAYOUTS["e2m1"], rounding) for n in numbers] == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(("rounding", "positive", "negative"), [
    ("nearest-even", 0x7C, 0xFC), ("toward-zero", 0x7B, 0xFB), ("odd", 0x7B, 0xFB),
    ("up", 0x7C, 0xFB), ("down", 0x7B, 0xFC),
])  # fmt: skip
def test_directed_overflow_stays_finite(rounding: str, positive: int, negative: int) -> None:
    assert encode(Fraction(10**6), E5M2, rounding) == positive  # type: ignore[arg-type]
    assert encode(Fraction(-(10**6)), E5M2, rounding) == negative  # type: ignore[arg-type]
    assert encode(INF, E5M2, rounding) == 0x7C  # type: ignore[arg-type]


def test_up_keeps_the_sign_of_a_negative_underflow() -> None:
    assert encode(Fraction(-1, 2**30), E5M2, "up") == 0x80
    assert encode(Fraction(1, 2**30), E5M2, "up") == 0x01


@pytest.mark.parametrize("eighths", range(8))
def test_stochastic_goes_up_as_often_as_its_bits_can_say(eighths: int) -> None:
    number = 1 + Fraction(eighths, 8) * Fraction(1, 8)
    for n in (1, 2, 3, 5):
        ups = sum(encode(number, E4M3, "stochastic", random=r, random_bits=n) == 0x39 for r in range(2**n))
        assert ups == eighths * 2**n // 8


def test_stochastic_refuses_bits_out_of_range() -> None:
    with pytest.raises(ValueError, match="0 <= random < 2\\^random_bits, got 4 of 2 bits"):
        round_quotient(1, 2, "stochastic", random=4, random_bits=2)


@pytest.mark.parametrize(("numerator", "denominator", "ml", "even_code"), [
    (3, 2, 128, 128), (3, 1, 129, 128), (3, 4, 127, 126), (13, 8, 128, 128), (11, 8, 127, 127),
])  # fmt: skip
def test_e8m0_ties(numerator: int, denominator: int, ml: int, even_code: int) -> None:
    number = Fraction(numerator, denominator)
    assert encode(number, UE8M0) == ml
    assert encode(number, UE8M0, "nearest-even-code") == even_code


def test_e8m0_bottom_binade() -> None:
    smallest = Fraction(1, 2**127)
    assert [encode(smallest * Fraction(n, 8), UE8M0) for n in (1, 8, 9, 15, 16)] == [0, 0, 1, 1, 1]
    assert [encode(smallest * Fraction(n, 8), UE8M0, "nearest-even-code") for n in (8, 9, 12, 13)] == [0, 0, 0, 1]


def test_unsigned_formats_and_negative_numbers() -> None:
    minus_two = Fraction(-2)
    assert encode(minus_two, UE8M0) == 0xFF
    assert encode(minus_two, UE8M0, overflow="torch", negative="absolute") == 128
    assert [encode(minus_two, UE4M3, negative=n) for n in ("nan", "zero", "absolute")] == [0x7F, 0, 0x40]  # type: ignore[arg-type]
    assert encode(Value("finite", True), UE4M3) == 0
    assert decode(0xB8, UE4M3) == decode(0x38, UE4M3)


def test_tf32_ignores_and_clears_the_low_13_bits() -> None:
    assert decode(0x7F800001, TF32).kind == "inf"
    assert encode(decode(0x3F801000, F32), TF32) == 0x3F800000
    assert encode(decode(0x3F801000, F32), TF32, "nearest-away") == 0x3F802000
    assert encode(decode(0x3F803FFF, F32), TF32, "toward-zero") == 0x3F802000


def test_decoding_does_not_normalise() -> None:
    assert decode(0x01, E4M3) == Value("finite", False, 1, -9)
    assert decode(0x3C00, F16) == Value("finite", False, 1024, -10)
    assert decode(0x00, UE8M0) == Value("finite", False, 1, -127)


def test_a_format_of_ones_own() -> None:
    e2m5 = Layout(8, 2, 5, 1, infinity=False, nan="none", signed=True, negative_zero=True)
    assert fraction_of(decode(0x7F, e2m5)) == Fraction(63, 8)
    assert encode(Fraction(1, 64), e2m5) == 0
    assert encode(Fraction(3, 64), e2m5) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"bits": 7},
        {"nan": "some"},
        {"infinity": True},
        {"negative_zero": False},
        {"nan": "ieee", "infinity": True, "mantissa_bits": 0},
        {"nan": "negative_zero"},
        {"signed": False, "nan": "negative_zero", "negative_zero": False},
    ],
)
def test_contradictory_layouts_are_refused(fields: dict[str, object]) -> None:
    good: dict[str, object] = {
        "bits": 8, "exponent_bits": 4, "mantissa_bits": 3, "bias": 7,
        "infinity": False, "nan": "all_ones", "signed": True, "negative_zero": True,
    }  # fmt: skip
    Layout(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"layout|nan|format|infinity"):
        Layout(**{**good, **fields})  # type: ignore[arg-type]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 2\^8\), got 256"):
        decode(256, E4M3)
    with pytest.raises(ValueError, match="overflow must be one of ofp8, saturate, torch, got 'clip'"):
        encode(1, E4M3, overflow="clip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rounding must be one of nearest-even, .* got 'rne'"):
        encode(1, E4M3, "rne")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative must be one of nan, zero, absolute, got 'flip'"):
        encode(1, E4M3, negative="flip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown number format 'e4m9'"):
        layout_of("e4m9")


def test_integers_round_then_saturate() -> None:
    s8, u4 = IntegerLayout(8, True), IntegerLayout(4, False)
    numbers = [Fraction(n, 2) for n in (-1, 1, 3, -255, 255, 256, -300)]
    assert [decode_integer(encode_integer(n, s8), s8) for n in numbers] == [0, 0, 2, -128, 127, 127, -128]
    assert [encode_integer(n, u4, "toward-zero") for n in numbers] == [0, 0, 1, 0, 15, 15, 0]
    assert [encode_integer(v, s8) for v in (NAN, INF, NEGATIVE_INF)] == [0, 0x7F, 0x80]
    assert encode_integer(Fraction(-5, 4), s8, "down") == 0xFE
    assert [encode_integer(Fraction(5, 4), s8, "stochastic", random=r, random_bits=2) for r in range(4)] == [1, 1, 1, 2]


def test_nf4_ties_go_to_the_lower_code() -> None:
    entries = [fraction_of(decode(code, F32)) for code in NF4_CODES]
    assert [encode_table(entry) for entry in entries] == list(range(16))
    exact_middle = (entries[7] + entries[8]) / 2
    assert encode_table(exact_middle) == 7
    assert encode_table(exact_middle + Fraction(1, 2**60)) == 8
    assert [encode_table(v) for v in (INF, NEGATIVE_INF, NAN)] == [15, 0, 0]


def test_bfloat16_rounds_once() -> None:
    assert encode(1 + Fraction(1, 256) + Fraction(1, 2**40), BF16) == 0x3F81
