"""Casts and decodes of 16 Mi elements against a copy of the same float32 array."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm

CAST = {
    "float8_e4m3fn": ("<=", 1.0),
    "float8_e5m2": ("<=", 1.0),
    "bfloat16": ("<=", 1.0),
    "float16": ("<=", 1.0),
    "float8_e4m3fnuz": None,
    "float6_e2m3fn": None,
    "float4_e2m1fn": None,
}
DECODE = {
    "float8_e4m3fn": ("<=", 1.0),
    "float8_e5m2": ("<=", 1.0),
    "float8_e8m0fnu": ("<=", 1.0),
    "float4_e2m1fn": None,
    "bfloat16": None,
}


@pytest.mark.parametrize("name", CAST)
def test_cast(paired: Any, x: Any, copy: Any, name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    assert np.array_equal(cm.cast(x[:16], name).view(np.uint8), x[:16].astype(dtype).view(np.uint8))
    paired(lambda: cm.cast(x, name), copy, meaning="x copy of the input", bar=CAST[name])


@pytest.mark.parametrize("rounding", ["toward-zero", "stochastic"])
def test_cast_e4m3fn(paired: Any, x: Any, copy: Any, rounding: Any) -> None:
    nearest = cm.cast(x[:16], "float8_e4m3fn").astype(np.float32)
    other = cm.cast(x[:16], "float8_e4m3fn", rounding=rounding).astype(np.float32)
    assert 0.3 < np.mean(nearest == other) < 1
    bar = ("<=", 3.0) if rounding == "stochastic" else None
    paired(lambda: cm.cast(x, "float8_e4m3fn", rounding=rounding), copy, meaning="x copy of the input", bar=bar)


@pytest.mark.parametrize("name", DECODE)
def test_decode(paired: Any, x: Any, copy: Any, name: str) -> None:
    codes = cm.cast(np.abs(x) if name == "float8_e8m0fnu" else x, name)
    assert np.array_equal(cm.decode(codes[:16]), codes[:16].astype(np.float32), equal_nan=True)
    paired(lambda: cm.decode(codes), copy, meaning="x copy of the result", bar=DECODE[name])


def test_rival_ml_dtypes_e4m3fn(paired: Any, x: Any, copy: Any) -> None:
    paired(lambda: x.astype(ml_dtypes.float8_e4m3fn), copy, meaning="x copy of the input", rounds=3)
