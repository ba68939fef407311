"""NaN, infinity, huge and tiny numbers in one row or column leave every other row and column bit for bit alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import units
from chipmeter.matmul.operands import operand_dtype
from chipmeter.reference.layouts import LAYOUTS

Array = np.ndarray[Any, Any]
NAMES = [
    "volta/mma.f16.f16.f32.f32", "ampere/mma.bf16.bf16.f32.f32", "ampere/mma.tf32.tf32.f32.f32", "ada/mma.e4m3.e5m2.f32.f32",
    "hopper/wgmma.bf16.bf16.f32.f32", "hopper/wgmma.f16.f16.f16.f16", "hopper/wgmma.e5m2.e5m2.f32.f32",
    "hopper/mma.e4m3.e4m3.f32.f32", "blackwell/tcgen05.e4m3.e4m3.f32.f32", "blackwell/tcgen05-mx.e5m2.e4m3.f32.f32",
    "blackwell/tcgen05-nvf4.e2m1.e2m1.f32.f32", "blackwell/tcgen05-mxf4.e2m1.e2m1.f32.f32", "cdna3/mfma.f32.f32.f32.f32",
    "hopper/mma.f64.f64.f64.f64", "neuroncore-v3/matmul.bf16.bf16.f32.f32", "neuroncore-v4/matmul-mx.e4m3.e4m3.f32.f32",
    "cdna1/mfma.bf16.bf16.f32.f32", "cdna2/mfma.f16.f16.f32.f32", "cdna3/mfma.bf16.bf16.f32.f32",
    "cdna3/mfma.e4m3fnuz.e5m2fnuz.f32.f32",
]  # fmt: skip
M, N, K = 9, 37, 48


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def ties_for_the_exponent(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Numbers of two neighbouring binades: the largest exponent is shared by many products, so a false one shows."""
    signs = rng.choice([-1.0, 1.0], shape)
    return cm.cast(
        signs * np.ldexp(1 + rng.integers(0, 8, shape) / 8, rng.integers(-1, 1, shape)), operand_format(kind)
    )


def operand_format(kind: str) -> str:
    names = {"f32": "tf32", "e4m3": "e4m3fn"}
    return names.get(kind, kind)


def extremes(kind: str) -> list[int]:
    """Codes of NaN, infinity, the largest, the smallest, and of every exponent byte there is."""
    layout = LAYOUTS[kind]
    top, fraction = layout.largest, (1 << layout.mantissa_bits) - 1
    codes = [top, 1, 0, fraction] + [e << layout.mantissa_bits | fraction for e in range(1, 1 << layout.exponent_bits)]
    if layout.nan != "none":
        codes += [top + 1, (1 << layout.magnitude_bits) - 1]
    codes = codes[:8] + codes[8 :: max(1, len(codes) // 40)] + codes[-4:]
    sign = 1 << layout.magnitude_bits
    return [c << layout.padding for c in codes] + [(c | sign) << layout.padding for c in codes]


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_columns_are_islands(name: str, tier: str) -> None:
    unit = units()[name]
    rng = np.random.default_rng(1)
    if unit.a == "f64":
        a, b = rng.standard_normal((M, K)), rng.standard_normal((K, N))
    else:
        a, b = ties_for_the_exponent(unit.a, (M, K), rng), ties_for_the_exponent(unit.b, (K, N), rng)
    c = rng.standard_normal((M, N)).astype(operand_dtype(unit.c))
    scales = {}
    if unit.scale:
        one, count = {"ue8m0": 0x7F, "ue4m3": 0x38}[unit.scale], -(-K // unit.scale_block)
        scales = {"scale_a": np.full((M, count), one, np.uint8), "scale_b": np.full((count, N), one, np.uint8)}
    clean = bits(cm.matmul(a, b, c, unit=unit, **scales))
    for where in range(40):
        i, j = int(rng.integers(M)), int(rng.integers(N))
        bad_a, bad_b, bad_c, bad_scales = a.copy(), b.copy(), c.copy(), {s: v.copy() for s, v in scales.items()}
        others = np.ones((M, N), bool)
        kind = where % 4
        if kind in (0, 3):
            codes = np.array(extremes(unit.a), bits(a).dtype)
            bad_a.view(codes.dtype)[i] = rng.choice(codes, K)
            others[i] = False
        if kind in (1, 3):
            codes = np.array(extremes(unit.b), bits(b).dtype)
            bad_b.view(codes.dtype)[:, j] = rng.choice(codes, K)
            others[:, j] = False
        if kind == 2:
            codes = np.array(extremes(unit.c), bits(c).dtype)
            bad_c.view(codes.dtype)[i, j] = rng.choice(codes)
            others[i, j] = False
            if bad_scales:
                bad_scales["scale_a"][i] = rng.integers(0, 256, bad_scales["scale_a"].shape[1])
                others[i] = False
        got = bits(cm.matmul(bad_a, bad_b, bad_c, unit=unit, **bad_scales))
        np.testing.assert_array_equal(got[others], clean[others])


@pytest.mark.parametrize("name", NAMES)
def test_the_damaged_lines_themselves_are_right(name: str, expected: Callable[..., dict[tuple[int, int], int]]) -> None:
    unit = units()[name]
    rng = np.random.default_rng(2)
    m, n, k = 3, 18, unit.k + 1 if unit.k < 100 else 20
    if unit.a == "f64":
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    else:
        a, b = ties_for_the_exponent(unit.a, (m, k), rng), ties_for_the_exponent(unit.b, (k, n), rng)
    a.view(bits(a).dtype)[1, ::3] = rng.choice(np.array(extremes(unit.a), bits(a).dtype), a[1, ::3].shape)
    b.view(bits(b).dtype)[1::3, 2] = rng.choice(np.array(extremes(unit.b), bits(b).dtype), b[1::3, 2].shape)
    scales = {}
    if unit.scale:
        count = -(-k // unit.scale_block)
        scales = {
            "scale_a": rng.integers(100, 140, (m, count), np.uint8),
            "scale_b": rng.integers(100, 140, (count, n), np.uint8),
        }
    want = expected(unit, a, b, **scales, at=[(1, 0), (1, 2), (0, 2), (2, 2), (0, 1), (1, 17), (2, 17)])
    before = cm.tier()
    for tier in cm.tiers():
        cm.use_tier(tier)
        got = bits(cm.matmul(a, b, unit=unit, **scales))
        assert {at: int(got[at]) for at in want} == want
    cm.use_tier(before)
