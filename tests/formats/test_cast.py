"""Every cast writes the code that the reference derives, in every format, rounding, overflow policy and tier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.formats import FORMATS, FloatFormat, Overflow, Rounding

Array = np.ndarray[Any, Any]
OF_E8M0 = ("nearest-even", "nearest-even-code", "toward-zero", "up", "down")
DETERMINISTIC = [r for r in get_args(Rounding) if r != "stochastic"]
POLICIES = get_args(Overflow)
each_format = pytest.mark.parametrize(
    "fmt", [f for f in FORMATS.values() if isinstance(f, FloatFormat)], ids=lambda f: f.name
)


def codes_of(x: Array, fmt: FloatFormat, **policy: Any) -> Array:
    """Cast and view as unsigned integers."""
    codes = cm.cast(x, fmt, **policy)
    return codes.view(f"u{codes.dtype.itemsize}").astype(np.uint64)


def roundings_of(fmt: FloatFormat) -> list[str]:
    """List the deterministic roundings a format accepts."""
    return [r for r in DETERMINISTIC if not fmt.powers_only or r in OF_E8M0]


def on_every_path(x: Array, fmt: FloatFormat, want: Array, **policy: Any) -> None:
    """Cast `x` as one long array, which takes the vector path, and in short pieces, which do not; on every tier."""
    long = np.resize(np.arange(x.size), -(-max(x.size, 1) // 1024) * 1024)
    before = cm.tier()
    try:
        for tier in cm.tiers():
            cm.use_tier(tier)
            short = np.concatenate([codes_of(x[i : i + 777], fmt, **policy) for i in range(0, x.size, 777)])
            for got, expected, source in ((codes_of(x[long], fmt, **policy), want[long], x[long]), (short, want, x)):
                bad = np.flatnonzero(got != expected)
                assert bad.size == 0, (
                    f"{tier} {fmt.name} {policy}: {source[bad[0]]!r} gave {got[bad[0]]:#x}, the reference {expected[bad[0]]:#x}"
                )
    finally:
        cm.use_tier(before)


@each_format
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_ties_and_their_neighbours(
    fmt: FloatFormat,
    dtype: type,
    expected_codes: Callable[..., Array],
    telling_numbers: Callable[..., Array],
    nans: Callable[..., Array],
) -> None:
    x = telling_numbers(fmt, dtype)
    for rounding in roundings_of(fmt):
        for overflow in POLICIES:
            policy = {"rounding": rounding, "overflow": overflow}
            on_every_path(x, fmt, expected_codes(x, fmt, rounding, overflow), **policy)
    for overflow in POLICIES:
        for rounding in roundings_of(fmt):
            want = expected_codes(nans(dtype), fmt, rounding, overflow)
            on_every_path(nans(dtype), fmt, want, rounding=rounding, overflow=overflow)


@each_format
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=40)
@given(data=st.data())
def test_random_bit_patterns(
    fmt: FloatFormat, dtype: type, data: st.DataObject, expected_codes: Callable[..., Array]
) -> None:
    word = np.uint32 if dtype is np.float32 else np.uint64
    patterns = st.lists(st.integers(0, int(np.iinfo(word).max)), min_size=1, max_size=40)
    x = np.array(data.draw(patterns), word).view(dtype)
    rounding = data.draw(st.sampled_from(roundings_of(fmt)))
    overflow = data.draw(st.sampled_from(POLICIES))
    on_every_path(x, fmt, expected_codes(x, fmt, rounding, overflow), rounding=rounding, overflow=overflow)


@each_format
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=40)
@given(data=st.data())
def test_random_numbers_within_the_format(
    fmt: FloatFormat, dtype: type, data: st.DataObject, expected_codes: Callable[..., Array]
) -> None:
    low, high = fmt.min_exponent - fmt.mantissa_bits - 3, fmt.max_exponent + 2
    number = st.tuples(st.integers(low, high), st.integers(-(2**24) + 1, 2**24 - 1))
    pairs = data.draw(st.lists(number, min_size=1, max_size=40))
    with np.errstate(over="ignore", under="ignore"):
        x = np.array([np.ldexp(float(m), e - 23) for e, m in pairs]).astype(dtype)
    rounding = data.draw(st.sampled_from(roundings_of(fmt)))
    overflow = data.draw(st.sampled_from(POLICIES))
    on_every_path(x, fmt, expected_codes(x, fmt, rounding, overflow), rounding=rounding, overflow=overflow)


@each_format
def test_float64_never_passes_through_float32(fmt: FloatFormat, expected_codes: Callable[..., Array]) -> None:
    # A hair above the middle of two codes: float32 drops the hair and leaves a tie.
    middle = 3.0 if fmt.powers_only else 1 + 2.0 ** -(fmt.mantissa_bits + 1)
    x = np.array([middle * (1 + 2.0**-45), middle * (1 - 2.0**-45)])
    direct, twice = codes_of(x, fmt), codes_of(x.astype(np.float32), fmt)
    np.testing.assert_array_equal(direct, expected_codes(x, fmt))
    assert (direct != twice).any()


def test_e8m0_refuses_roundings_without_a_meaning_there() -> None:
    for rounding in set(get_args(Rounding)) - set(OF_E8M0):
        with pytest.raises(ValueError, match=r"float8_e8m0fnu accepts the roundings .*, got '" + rounding):
            cm.cast(np.float32([1]), "e8m0", rounding=rounding)


@each_format
def test_nan_takes_the_code_given(
    fmt: FloatFormat, expected_codes: Callable[..., Array], nans: Callable[..., Array]
) -> None:
    given_code = 5
    x = np.concatenate([nans(np.float32), np.float32([1, 0.5, 2])])
    want = expected_codes(x, fmt)
    want[: nans(np.float32).size] = given_code << fmt.padding
    on_every_path(x, fmt, want, nan=given_code)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e8m0fnu"])
def test_overflow_that_is_nan_takes_that_code_too(name: str) -> None:
    x = np.float32([np.inf, 3.4e38 if name == "float8_e8m0fnu" else 1e9])
    assert codes_of(x, FORMATS[name], nan=5).tolist() == [5, 5]
    assert codes_of(x, FORMATS[name], nan=5, overflow="saturate").tolist() != [5, 5]


def test_nan_codes_that_do_not_fit_are_refused() -> None:
    for bad in (-1, 256, True, 1.0, "7f"):
        with pytest.raises(ValueError, match="nan must be a code of float8_e4m3fn, an integer below 256, got"):
            cm.cast(np.float32([1]), "e4m3fn", nan=bad)
    for name in ("int8", "nf4"):
        with pytest.raises(ValueError, match=f"{name} has no NaN"):
            cm.cast(np.float32([1]), name, nan=0)
