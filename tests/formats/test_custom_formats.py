"""Formats of a user's own cast and decode by the same rules as the named ones, and contradictory records are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.formats import FORMATS, FloatFormat, IntegerFormat, TableFormat, code_dtype, format_of
from chipmeter.reference.numbers import Layout, fraction_of
from chipmeter.reference.numbers import decode as meaning

Array = np.ndarray[Any, Any]
ROUNDINGS = ["nearest-even", "nearest-away", "toward-zero", "up", "down", "odd"]


@st.composite
def formats(draw: st.DrawFn) -> FloatFormat:
    """Any record that its own checks accept."""
    fields = {
        "exponent_bits": draw(st.integers(1, 8)),
        "mantissa_bits": draw(st.integers(0, 10)),
        "nan": draw(st.sampled_from(["ieee", "all_ones", "negative_zero", "none"])),
        "signed": draw(st.booleans()),
    }
    usual = 2 ** (fields["exponent_bits"] - 1) - 1
    fields["bias"] = draw(st.one_of(st.just(usual), st.integers(-64, 127)))
    try:
        return FloatFormat("mine", **fields)
    except ValueError:
        assume(False)
        raise


def layout_of(fmt: FloatFormat) -> Layout:
    return Layout(
        fmt.bits, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias, fmt.nan == "ieee", fmt.nan, fmt.signed,
        fmt.signed and fmt.nan != "negative_zero",
    )  # fmt: skip


@settings(max_examples=150)
@given(
    fmt=formats(),
    rounding=st.sampled_from(ROUNDINGS),
    overflow=st.sampled_from(["ofp8", "saturate"]),
    seed=st.integers(0, 2**32),
)
def test_cast(fmt: FloatFormat, rounding: str, overflow: str, seed: int, expected_codes: Callable[..., Array]) -> None:
    assume(not fmt.powers_only)
    rng = np.random.default_rng(seed)
    exponents = rng.integers(fmt.min_exponent - fmt.mantissa_bits - 3, fmt.max_exponent + 3, 60)
    # few significand bits make ties, values and subnormals common
    significands = 1 + np.floor(rng.random(60) * 2.0 ** rng.integers(0, 16, 60)) * 2.0**-15
    with np.errstate(over="ignore", under="ignore"):
        x = np.ldexp(significands * rng.choice([-1, 1], 60), exponents)
        x = np.concatenate([x, [0.0, -0.0, np.inf, -np.inf, fmt.max, -fmt.max, fmt.smallest, fmt.smallest / 2]])
        sources = x, x.astype(np.float32)
    for source in sources:
        want = expected_codes(source, fmt, rounding, overflow)
        long = np.resize(np.arange(source.size), 1024)
        for picked in (np.arange(source.size), long):
            got = cm.cast(source[picked], fmt, rounding=rounding, overflow=overflow)
            np.testing.assert_array_equal(got, want[picked], err_msg=f"{fmt} {rounding} {overflow}")


@settings(max_examples=150)
@given(fmt=formats())
def test_decode(fmt: FloatFormat) -> None:
    layout, words = layout_of(fmt), np.uint8 if fmt.bits <= 8 else np.uint16 if fmt.bits <= 16 else np.uint32
    count = 1 << fmt.bits
    codes = np.unique(
        np.concatenate(
            [np.arange(min(count, 40)), np.arange(count // 2 - 3, count // 2 + 9), np.arange(count - 20, count)]
        )
    )
    codes = codes[(codes >= 0) & (codes < count)].astype(words)
    for code, number in zip(codes.tolist(), cm.decode(codes, fmt).tolist(), strict=True):
        value = meaning(code, layout)
        if value.kind == "finite":
            assert number == fraction_of(value)
            assert np.signbit(number) == value.negative
        elif value.kind == "inf":
            assert number == (-np.inf if value.negative else np.inf)
        else:
            assert np.isnan(number)


@settings(max_examples=100)
@given(fmt=formats())
def test_properties_of_a_record(fmt: FloatFormat) -> None:
    layout = layout_of(fmt)
    assert fmt.max_code == layout.largest
    assert fmt.max == fraction_of(meaning(layout.largest, layout))
    assert 2.0**fmt.max_exponent <= fmt.max < 2.0 ** (fmt.max_exponent + 1)
    assert fmt.smallest == fraction_of(meaning(0 if fmt.powers_only else 1, layout))
    assert code_dtype(fmt).itemsize * 8 >= fmt.bits


@pytest.mark.parametrize(
    ("bits", "mantissa_bits", "padding"), [(8, 2, 1), (8, 1, 3), (16, 7, 2), (16, 3, 5), (32, 7, 16)]
)
def test_padding_lies_below_the_fraction(bits: int, mantissa_bits: int, padding: int, tier: str) -> None:
    exponent_bits = bits - 1 - mantissa_bits - padding
    bias = 2 ** (exponent_bits - 1) - 1
    padded = FloatFormat("padded", exponent_bits, mantissa_bits, bias, padding=padding)
    bare = FloatFormat("bare", exponent_bits, mantissa_bits, bias)
    x = np.float32(np.random.default_rng(1).standard_normal(3000) * 3)
    for n in (100, 3000):
        codes = cm.cast(x[:n], padded)
        assert codes.dtype == np.dtype(f"u{bits // 8}")
        np.testing.assert_array_equal(codes, cm.cast(x[:n], bare).astype(codes.dtype) << padding)
        np.testing.assert_array_equal(cm.decode(codes | 1, padded), cm.decode(cm.cast(x[:n], bare), bare))


def test_named_records_agree_with_the_reference() -> None:
    from chipmeter.reference.layouts import LAYOUTS

    names = {"bfloat16": "bf16", "float16": "f16", "float8_e4m3": "e4m3ieee", "float8_e8m0fnu": "ue8m0"}
    for fmt in (f for f in FORMATS.values() if isinstance(f, FloatFormat)):
        short = fmt.name.removeprefix("float8_").removeprefix("float6_").removeprefix("float4_")
        layout = LAYOUTS[names.get(fmt.name) or (short if short in LAYOUTS else short.removesuffix("fn"))]
        mine = (fmt.exponent_bits, fmt.mantissa_bits, fmt.bias, fmt.nan, fmt.signed, fmt.padding, fmt.infinity)
        assert mine == (
            layout.exponent_bits, layout.mantissa_bits, layout.bias, layout.nan, layout.signed, layout.padding, layout.infinity
        )  # fmt: skip


def test_aliases_lead_to_one_record_and_case_does_not_matter() -> None:
    for fmt in FORMATS.values():
        for name in (fmt.name, *fmt.aliases):
            assert format_of(name) is fmt
            assert format_of(name.upper()) is fmt
        assert format_of(fmt) is fmt


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((0, 3, 7), "exponent_bits must lie in 1..8"),
        ((9, 3, 7), "exponent_bits must lie in 1..8"),
        ((4, 11, 7), "mantissa_bits in 0..10"),
        ((4, 3, 128), "bias must lie in -64..127"),
        ((4, 3, 7, "inf"), "nan must be ieee, all_ones, negative_zero or none, got 'inf'"),
        ((4, 0, 7), "need a fraction bit"),
        ((1, 2, 0), "two exponent bits"),
        ((4, 3, 7, "negative_zero", False), "an unsigned format has no -0"),
        ((4, 0, 7, "none", False), "the only format of bare powers of two is e8m0"),
        ((8, 3, 100), "values must fit float32"),
        ((1, 0, 0, "all_ones"), "no code is left for a number"),
    ],
)
def test_contradictions_are_refused(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FloatFormat("mine", *fields)


def test_other_kinds_of_records_of_ones_own() -> None:
    three = IntegerFormat("int3", 3, True, "int8")
    assert (three.min, three.max) == (-4, 3)
    np.testing.assert_array_equal(cm.cast(np.float32([-9, -2.5, 2.5, 9]), three), np.int8([-4, -2, 2, 3]))
    table = TableFormat("thirds", 2, (-1.0, 0.0, 0.25, 1.0))
    codes = cm.cast(np.float32([-2, -0.5, -0.4, 0.125, 0.126, 9, np.nan]), table)
    np.testing.assert_array_equal(codes, np.uint8([0, 0, 1, 1, 2, 3, 1]))
    np.testing.assert_array_equal(cm.decode(codes, table), np.float32([-1, -1, 0, 0, 0.25, 1, 0]))
