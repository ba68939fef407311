"""Tricks that pack several numbers in one register disturb no neighbour, and bytes at their limits multiply right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.matmul import FusedDot, IntegerDot, Unit, units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
ISLANDS = [
    "hopper/wgmma.e4m3.e4m3.f32.f32", "hopper/wgmma.e5m2.e5m2.f16.f16", "hopper/wgmma.bf16.bf16.f32.f32",
    "ampere/mma.bf16.bf16.f32.f32", "volta/mma.f16.f16.f32.f32", "volta/mma.f16.f16.f16.f16",
    "blackwell/tcgen05-mx.e4m3.e5m2.f32.f32", "ampere/mma.tf32.tf32.f32.f32", "cdna1/mfma.f16.f16.f32.f32",
    "cdna1/mfma.bf16.bf16.f32.f32", "cdna2/mfma.bf16.bf16.f32.f32", "cdna3/mfma.bf16.bf16.f32.f32",
]  # fmt: skip


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def two_binades(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Numbers whose largest exponent is shared by many products, so that a false one shows."""
    return (rng.choice([-1.0, 1.0], shape) * rng.choice([0.75, 1.0, 1.5], shape)).astype(operand_dtype(kind))


@pytest.mark.parametrize("name", ISLANDS)
def test_every_code_in_one_line_leaves_all_others_alone(name: str, tier: str) -> None:
    # one row of A and one column of B hold every exponent, NaN and infinity; each lane of a vector has a turn
    unit = units()[name]
    rng = np.random.default_rng(3)
    m, n, k = 5, 70, 64
    a, b = two_binades(unit.a, (m, k), rng), two_binades(unit.b, (k, n), rng)
    c = rng.standard_normal((m, n)).astype(operand_dtype(unit.c))
    scales = {}
    if unit.scale:
        scales = {"scale_a": np.full((m, 2), 127, np.uint8), "scale_b": np.full((2, n), 127, np.uint8)}
    clean = bits(cm.matmul(a, b, c, unit=unit, **scales))
    width = 8 * a.dtype.itemsize
    codes = (np.arange(64, dtype=np.uint64) * ((1 << width) // 64) + (1 << width) // 128).astype(f"u{width // 8}")
    ends = np.array([0, 1 << (width - 1), (1 << width) - 1, (1 << (width - 1)) - 1], codes.dtype)
    for j in range(n):
        bad_a, bad_b = a.copy(), b.copy()
        bad_a.view(codes.dtype)[j % m] = rng.permutation(codes)
        bad_b.view(codes.dtype)[:, j] = rng.choice(np.concatenate([codes, ends]), k)
        others = np.ones((m, n), bool)
        others[j % m], others[:, j] = False, False
        got = bits(cm.matmul(bad_a, bad_b, c, unit=unit, **scales))
        np.testing.assert_array_equal(got[others], clean[others], err_msg=f"column {j}")


@pytest.mark.parametrize("kinds", [("s8", "s8"), ("s8", "u8"), ("u8", "s8"), ("u8", "u8")])
@pytest.mark.parametrize("clamp", [False, True])
def test_bytes_at_their_limits(kinds: tuple[str, str], clamp: bool, tier: str) -> None:
    unit = Unit("mine/dot", *kinds, "s32", "s32", 32, IntegerDot(clamp), Evidence("assumed", "a test"))
    rng = np.random.default_rng(5)
    ends = np.uint8([0, 1, 0x7F, 0x80, 0xFF])
    for m, n, k in ((7, 65, 3), (13, 130, 1100), (1, 1, 33)):
        a, b = (rng.choice(ends, s).view(operand_dtype(t)) for s, t in (((m, k), kinds[0]), ((k, n), kinds[1])))
        c = rng.choice(np.int32([0, 2**31 - 1, -(2**31), 2**31 - 4_000_000, 4_000_000 - 2**31]), (m, n))
        if k > 1000:  # the largest products, and accumulators that only a block of them carries to the limit
            a.view(np.uint8)[0], b.view(np.uint8)[:, 0] = 0xFF, 0xFF
            c[:, :64] = 2**31 - 1 - 1024 * 255**2 + 1
        want = c.astype(np.int64)
        for at in range(0, k, 32):
            want += a[:, at : at + 32].astype(np.int64) @ b[at : at + 32].astype(np.int64)
            if clamp:
                want = np.clip(want, -(2**31), 2**31 - 1)
        for left in (a, np.asfortranarray(a)):
            for right in (b, np.asfortranarray(b)):
                np.testing.assert_array_equal(cm.matmul(left, right, c, unit=unit), want.astype(np.int32))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=st.sampled_from(["f16", "bf16", "tf32", "e4m3", "e5m2", "e3m2", "e2m1", "e4m3fnuz", "e5m2fnuz", "e3m4"]),
    b=st.sampled_from(["f16", "bf16", "e4m3", "e5m2", "e2m3", "e2m1", "e4m3ieee"]),
    products=st.integers(1, 32),
    fraction=st.integers(10, 25),
    output=st.sampled_from(["rz-f32", "rz-e8m13", "rne-f16"]),
    floor=st.integers(-400, -15),
    c_half=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_record(
    a: str, b: str, products: int, fraction: int, output: Any, floor: int, c_half: bool, seed: int,
    draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]], expected: Callable[..., dict[tuple[int, int], int]],
) -> None:  # fmt: skip
    d = "f16" if output == "rne-f16" else "f32"
    model = FusedDot(products, fraction, output, floor)
    unit = Unit("mine/any", a, b, "f16" if c_half else "f32", d, products, model, Evidence("assumed", "a test"))
    x, y, c, _ = draw(unit, 8, 9, 2 * products + 1, seed)
    for addend in (c, None):
        want = expected(unit, x, y, addend, at=[(i, (i + seed) % 9) for i in range(8)])
        before = cm.tier()
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = bits(cm.matmul(x, y, addend, unit=unit))
            assert {at: int(got[at]) for at in want} == want, tier
        cm.use_tier(before)
