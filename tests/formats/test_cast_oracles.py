"""Casts equal ml_dtypes and NumPy bit for bit where those round once: all halves, and float32 by halves of its bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter.formats import FORMATS, FloatFormat, code_dtype

Array = np.ndarray[Any, Any]
FORMATS_OF_ML_DTYPES = [
    n
    for n, f in FORMATS.items()
    if isinstance(f, FloatFormat) and n.startswith(("bf", "float8", "float6", "float4")) and f.dtype != "uint8"
]
LOWER_HALVES = (0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF)


def raw(x: Array) -> Array:
    return x.view(f"u{x.dtype.itemsize}")


def halves(low: int) -> Array:
    """All float32 whose low half is `low`."""
    return (np.arange(65536, dtype=np.uint32) << 16 | np.uint32(low)).view(np.float32)


def ml_cast(x: Array, name: str) -> Array:
    with np.errstate(all="ignore"):
        return x.astype(code_dtype(FORMATS[name]))


@pytest.mark.parametrize("low", LOWER_HALVES, ids=hex)
@pytest.mark.parametrize("name", FORMATS_OF_ML_DTYPES)
def test_float32_by_halves(name: str, low: int, tier: str) -> None:
    x = halves(low)
    np.testing.assert_array_equal(raw(cm.cast(x, name)), raw(ml_cast(x, name)))


@pytest.mark.parametrize("low", LOWER_HALVES, ids=hex)
def test_float32_to_float16_by_halves(low: int, tier: str) -> None:
    x = halves(low)
    want = raw(ml_cast(x, "float16"))
    signalling = np.isnan(x) & (raw(x) & 0x400000 == 0)  # what NumPy makes of those depends on its build
    got = raw(cm.cast(x, "float16"))
    np.testing.assert_array_equal(got[~signalling], want[~signalling])
    assert np.isnan(got[signalling].view(np.float16)).all()


@pytest.mark.parametrize("name", FORMATS_OF_ML_DTYPES)
def test_float16_to_everything(name: str, tier: str) -> None:
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(raw(cm.cast(x, name)), raw(ml_cast(x, name)))


@pytest.mark.parametrize("name", [n for n in FORMATS_OF_ML_DTYPES if n != "bfloat16"])
def test_bfloat16_to_everything(name: str, tier: str) -> None:
    x = np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(raw(cm.cast(x, name)), raw(ml_cast(x, name)))


@pytest.mark.parametrize("source", [n for n in FORMATS_OF_ML_DTYPES if n != "bfloat16"])
@pytest.mark.parametrize("name", FORMATS_OF_ML_DTYPES)
def test_narrow_to_narrow(source: str, name: str, tier: str) -> None:
    x = np.arange(1 << FORMATS[source].bits, dtype=np.uint8).view(code_dtype(FORMATS[source]))
    np.testing.assert_array_equal(raw(cm.cast(x, name)), raw(ml_cast(x.astype(np.float32), name)))


@pytest.mark.parametrize("source", ["bfloat16", "float16"])
def test_half_types_return_to_themselves(source: str, tier: str) -> None:
    x = np.arange(65536, dtype=np.uint16).view(code_dtype(FORMATS[source]))
    kept = ~np.isnan(x.astype(np.float32))
    np.testing.assert_array_equal(raw(cm.cast(x, source))[kept], raw(x)[kept])


def test_tf32_rounds_as_a_float_of_eleven_bits(tier: str) -> None:
    for low in LOWER_HALVES:
        x = halves(low)
        finite = np.isfinite(x)
        with np.errstate(over="ignore"):
            split = np.float64(x[finite]) * (2.0**42 + 1)  # Veltkamp's splitting keeps 53 - 42 bits, to nearest even
            want = np.float32(split - (split - np.float64(x[finite])))
        normal = np.abs(x[finite]) >= 2.0**-126
        np.testing.assert_array_equal(raw(cm.cast(x[finite], "tf32"))[normal], raw(want)[normal])


def test_no_long_array_differs_from_its_pieces(tier: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 2**32, 10_000, dtype=np.uint32).view(np.float32)
    x[rng.integers(0, x.size, 3)] = np.nan  # most vectors have none, some chunks one
    for name in [n for n, f in FORMATS.items() if isinstance(f, FloatFormat)]:
        whole = raw(cm.cast(x, name))
        pieces = np.concatenate([raw(cm.cast(x[i : i + 61], name)) for i in range(0, x.size, 61)])
        np.testing.assert_array_equal(whole, pieces)
