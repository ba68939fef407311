"""Casts to integers and to nf4 equal the reference: rounded by the mode, saturated, NaN to zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.formats import FORMATS, IntegerFormat
from chipmeter.reference.layouts import F32, F64
from chipmeter.reference.numbers import decode as meaning
from chipmeter.reference.tables import IntegerLayout, encode_integer, encode_table

Array = np.ndarray[Any, Any]
INTEGERS = [n for n, f in FORMATS.items() if isinstance(f, IntegerFormat)]
ROUNDINGS = ["nearest-even", "nearest-away", "toward-zero", "up", "down", "odd"]
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    -np.nan,
    1e-45,
    -1e-45,
    1e30,
    -1e30,
    2**31,
    -(2**31),
    2**63,
    1e6,
    -1e6,
    999999.5,
]


def values_of(x: Array) -> list[Any]:
    return [meaning(b, F32 if x.itemsize == 4 else F64) for b in x.view(f"u{x.itemsize}").tolist()]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", INTEGERS)
def test_quarters_and_their_neighbours(name: str, dtype: type, rounding: str) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, IntegerFormat)
    quarters = np.arange(-4 * 260, 4 * 260 + 1, dtype=dtype) / 4
    x = np.concatenate(
        [
            quarters,
            np.nextafter(quarters, dtype(np.inf)),
            np.nextafter(quarters, dtype(-np.inf)),
            np.array(SPECIAL, dtype),
        ]
    )
    layout = IntegerLayout(fmt.bits, fmt.signed)
    want = [encode_integer(v, layout, rounding) for v in values_of(x)]
    got = cm.cast(x, name, rounding=rounding)
    assert got.dtype.name == name
    np.testing.assert_array_equal(got.view(np.uint8) & ((1 << fmt.bits) - 1), np.uint8(want))
    np.testing.assert_array_equal(cm.decode(got, name), got.astype(np.float32))


@settings(max_examples=60)
@given(st.lists(st.floats(width=32), min_size=1, max_size=30), st.sampled_from(INTEGERS), st.sampled_from(ROUNDINGS))
def test_any_float32(numbers: list[float], name: str, rounding: str) -> None:
    x, fmt = np.array(numbers, np.float32), FORMATS[name]
    want = [encode_integer(v, IntegerLayout(fmt.bits, fmt.signed), rounding) for v in values_of(x)]
    np.testing.assert_array_equal(
        cm.cast(x, name, rounding=rounding).view(np.uint8) & ((1 << fmt.bits) - 1), np.uint8(want)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nf4_midpoints_and_their_neighbours(dtype: type) -> None:
    table = np.array(FORMATS["nf4"].values)
    middles = ((table[1:] + table[:-1]) / 2).astype(np.float32).astype(dtype)
    exact = np.concatenate([table.astype(dtype), middles])
    x = np.concatenate(
        [
            exact,
            np.nextafter(exact, dtype(9)),
            np.nextafter(exact, dtype(-9)),
            np.array([np.inf, -np.inf, 0, -0.0, 2, -2], dtype),
        ]
    )
    np.testing.assert_array_equal(cm.cast(x, "nf4"), np.uint8([encode_table(v) for v in values_of(x)]))


def test_nf4_of_nan_is_zero() -> None:
    assert cm.decode(cm.cast(np.float32([np.nan]), "nf4"), "nf4") == 0


@pytest.mark.parametrize("rounding", [*ROUNDINGS[1:], "stochastic"])
def test_tables_refuse_other_roundings(rounding: str) -> None:
    with pytest.raises(ValueError, match="nf4 is a table: it accepts the rounding 'nearest-even' only"):
        cm.cast(np.float32([1]), "nf4", rounding=rounding)


@pytest.mark.parametrize("name", INTEGERS)
def test_the_rounding_of_e8m0_is_plain_nearest_even_here(name: str) -> None:
    x = np.arange(-20, 20) / 4
    np.testing.assert_array_equal(cm.cast(x, name, rounding="nearest-even-code"), cm.cast(x, name))


def test_overflow_policies_do_not_change_integers(telling_numbers: Callable[..., Array]) -> None:
    x = telling_numbers(FORMATS["float16"], np.float32)
    for name in INTEGERS:
        for overflow in ("saturate", "torch"):
            np.testing.assert_array_equal(cm.cast(x, name, overflow=overflow), cm.cast(x, name))
