"""The oracle of the format tests: `chipmeter.reference` on the bit patterns of float32 and float64 arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from chipmeter.formats import FloatFormat
from chipmeter.reference.layouts import F32, F64, LAYOUTS
from chipmeter.reference.numbers import Layout, Value, decode, encode
from chipmeter.reference.rounding import Rounding

# Written out rather than derived from the records, which are under test.
REFERENCE_NAMES = {
    "bfloat16": "bf16", "float16": "f16", "tf32": "tf32", "float8_e4m3fn": "e4m3", "float8_e4m3": "e4m3ieee",
    "float8_e5m2": "e5m2", "float8_e3m4": "e3m4", "float8_e4m3fnuz": "e4m3fnuz", "float8_e5m2fnuz": "e5m2fnuz",
    "float8_e4m3b11fnuz": "e4m3b11fnuz", "float6_e2m3fn": "e2m3", "float6_e3m2fn": "e3m2", "float4_e2m1fn": "e2m1",
    "float8_e8m0fnu": "ue8m0", "float8_ue4m3": "ue4m3",
}  # fmt: skip


def layout_for(fmt: FloatFormat) -> Layout:
    """Find the reference layout of a named format, or build that of a custom one."""
    if fmt.name in REFERENCE_NAMES:
        return LAYOUTS[REFERENCE_NAMES[fmt.name]]
    negative_zero = fmt.signed and fmt.nan != "negative_zero"
    return Layout(
        fmt.bits, fmt.exponent_bits, fmt.mantissa_bits, fmt.bias, fmt.nan == "ieee", fmt.nan, fmt.signed, negative_zero
    )


@cache
def value_of(bits: int, width: int) -> Value:
    """Decode a float32 or float64 bit pattern."""
    return decode(bits, F32 if width == 32 else F64)


def raw(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """View an array as unsigned integers of its width."""
    return x.view(f"u{x.dtype.itemsize}")


def half_nan(bits: int, width: int, overflow: str) -> int:
    """Code of a NaN in float16, which alone carries payloads: its top ten bits, quiet under torch, never an infinity."""
    payload = bits >> (13 if width == 32 else 42) & 0x3FF
    return bits >> (width - 1) << 15 | 0x7C00 | ((payload | 0x200) if overflow == "torch" else payload or 1)


@pytest.fixture(scope="session")
def expected_codes() -> Callable[..., np.ndarray[Any, Any]]:
    """Codes of an array of float32 or float64 numbers by the reference, one Python call per element."""

    def expect(
        x: np.ndarray[Any, Any],
        fmt: FloatFormat,
        rounding: Rounding = "nearest-even",
        overflow: str = "ofp8",
        words: np.ndarray[Any, Any] | None = None,
        random_bits: int = 32,
    ) -> np.ndarray[Any, Any]:
        layout, width = layout_for(fmt), 8 * x.dtype.itemsize
        extra: dict[str, int] = {"random_bits": random_bits} if words is not None else {}
        codes = []
        for i, bits in enumerate(raw(x).tolist()):
            if fmt.powers_only and overflow == "torch":
                bits &= (1 << width - 1) - 1  # torch drops the sign bit before anything else
            value = value_of(bits, width)
            if words is not None:
                extra["random"] = int(words[i]) & (1 << random_bits) - 1
            if value.kind == "nan" and fmt.name == "float16":
                codes.append(half_nan(bits, width, overflow))
            else:
                codes.append(encode(value, layout, rounding, overflow, **extra))
        return np.array(codes, np.uint64)

    return expect


@pytest.fixture(scope="session")
def telling_numbers() -> Callable[[FloatFormat, type], np.ndarray[Any, Any]]:
    """Numbers at which casts go wrong, as float32 or float64."""

    @cache
    def numbers(fmt: FloatFormat, dtype: type) -> np.ndarray[Any, Any]:
        top = fmt.max_code
        few = (
            range(top + 1) if top < 256 else sorted({*range(20), *range(top - 20, top + 1), *range(0, top, top // 60)})
        )
        values = np.array([float(fmt.value(c)) for c in few] + [2 * float(fmt.value(top)), 4 * float(fmt.value(top))])
        middles = np.concatenate([(values[1:] + values[:-1]) / 2, values[:2] / 2, values[:2] / 4])
        with np.errstate(over="ignore", under="ignore"):
            exact = np.concatenate([values, middles, [fmt.smallest / 2, fmt.smallest * 0.75]]).astype(dtype)
        beside = np.concatenate([np.nextafter(exact, dtype(np.inf)), np.nextafter(exact, dtype(0))])
        info = np.finfo(dtype)
        special = [0, info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.max, 1, 3, 1e-39, np.inf]
        positive = np.unique(np.concatenate([exact, beside, np.array(special, dtype)]))
        return np.concatenate([positive, -positive])

    return numbers


@pytest.fixture(scope="session")
def nans() -> Callable[[type], np.ndarray[Any, Any]]:
    """Quiet and signalling NaNs of both signs, with payloads high and low."""

    def patterns(dtype: type) -> np.ndarray[Any, Any]:
        word, top = (np.uint32, 0x7F800000) if dtype is np.float32 else (np.uint64, 0x7FF0000000000000)
        quiet = (top & -top) >> 1
        positive = [top | p for p in (1, quiet, quiet | 1, quiet - 1, quiet >> 1, quiet >> 2, quiet >> 9, quiet >> 10)]
        sign = 1 << (8 * np.dtype(dtype).itemsize - 1)
        return np.array(positive + [sign | p for p in positive], word).view(dtype)

    return patterns
