"""Known answers that tell units apart hold for the named units on every tier: where they cut, floor, overflow and mask.

The vectors were computed with MMA-Sim 2.1.1; those of NVIDIA's plain instructions agree with recordings of devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
P = 2.0


def line(numbers: Sequence[float], kind: str) -> Array:
    """Write numbers as operands, exactly."""
    x = np.array(numbers, np.float32)
    made = x if kind in ("f32", "tf32") else x.astype(operand_dtype(kind))
    np.testing.assert_array_equal(made.astype(np.float64), np.float64(numbers))
    return made


def answer(name: str, a: Sequence[float], b: Sequence[float], c: int | None, **scales: Array) -> int:
    """Bits of c + the sum of a * b, c given by its bits."""
    u = find_unit(name)
    addend = None
    if c is not None:
        addend = np.array([[c]], f"u{operand_dtype(u.c).itemsize}").view(operand_dtype(u.c))
    d = cm.matmul(line(a, u.a)[None], line(b, u.b)[:, None], addend, unit=u, **scales)
    return int(d.view(f"u{d.dtype.itemsize}")[0, 0])


def f32(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


def f16(x: float) -> int:
    return int(np.float16(x).view(np.uint16))


CANCEL = [-4096, -0.5, -0.25, -0.125], [2048, 1, 1, 1], f32(P**23)
ONE_BF16 = [1.0], [1.0]
CARRY = [1.5, P**-12, P**-12], [1.5, P**-11, P**-11], None
PLAIN = [1.0, P**-12, P**-12], [2.25, P**-11, P**-11], None
CASES = [
    # 2^23 - 2^23 - 0.5 - 0.25 - 0.125: the bits kept below the largest term
    *[(name, *CANCEL, f32(want)) for name, want in (
        ("v100/fp16", 0.0), ("t4/fp16", -0.5), ("a100/fp16", -0.5), ("ada/fp16", -0.5), ("h100/fp16", -0.75),
        ("b200/fp16", -0.75), ("rtx-5090/fp16", -0.75), ("mi100/fp16", -0.875), ("mi250x/fp16", 0.0), ("mi300x/fp16", -0.5))],
    # products align by their un-normalised significands
    ("v100/fp16", *CARRY, 0x40100001), ("v100/fp16", *PLAIN, 0x40100000),
    # thirteen fraction bits cut c itself
    *[(name, [0.0], [0.0], c, want) for name in ("ada/fp8", "h100/fp8") for c, want in (
        (0x3F8003FF, 0x3F800000), (0x000007FF, 0x00000400))],
    # toward zero, but overflow is infinity
    ("a100/bf16", [P**52], [P**52], 0x7F7FFFFF, 0x7F800000), ("a100/bf16", [P**52], [P**51], 0x7F7FFFFF, 0x7F7FFFFF),
    # float16 accumulators: to nearest, ties to even, overflow from 65520
    *[("ampere/mma.f16.f16.f16.f16", [x], [y], f16(c), want) for x, y, c, want in (
        (P**-11, 1.0, 1.0, 0x3C00), (P**-11, 1.0, 1 + P**-10, 0x3C02), (16.0, 1.0, 65504.0, 0x7C00),
        (16 - P**-6, 1.0, 65504.0, 0x7BFF))],
    # the floor of the alignment exponent: products of 2^-152 leave something, of 2^-160 nothing
    ("h100/bf16", [P**-76] * 8, [P**-76] * 8, None, 0x00000001), ("h100/bf16", [P**-80] * 16, [P**-80] * 16, None, 0),
    # floors of CDNA3: a tiny negative accumulator pulls the result down, beside FP8 only from 2^-25 on
    ("mi300x/fp16", *ONE_BF16, f32(-(P**-26)), 0x3F7FFFFF), ("mi300x/fp8", *ONE_BF16, f32(-(P**-26)), 0x3F800000),
    ("mi300x/fp8", *ONE_BF16, f32(-(P**-25)), 0x3F7FFFFF),
]  # fmt: skip


@pytest.mark.parametrize(("name", "a", "b", "c", "want"), CASES)
def test_units(name: str, a: list[float], b: list[float], c: int | None, want: int, tier: str) -> None:
    assert answer(name, a, b, c) == want


def test_tf32_is_masked_before_it_is_looked_at(tier: str) -> None:
    # a NaN whose payload lies in the ignored bits is an infinity
    a = np.array([[0x7F800001]], np.uint32).view(np.float32)
    d = cm.matmul(a, np.ones((1, 1), np.float32), unit="a100/tf32")
    assert int(d.view(np.uint32)[0, 0]) == 0x7F800000


@pytest.mark.parametrize(
    ("scale_a", "a", "want"), [(0x38, 1.0, 0x3F800000), (0xB8, 1.0, 0x3F800000), (0x7F, 0.0, 0x7FFFFFFF)]
)
def test_nvfp4_scales(scale_a: int, a: float, want: int, tier: str) -> None:
    # the top bit of a ue4m3 scale is ignored; a NaN scale shows even on zeros
    scales = {"scale_a": np.uint8([[scale_a]]), "scale_b": np.uint8([[0x38]])}
    assert answer("b200/nvfp4", [a], [1.0], None, **scales) == want


def test_mx_scales_reach_subnormal_results(tier: str) -> None:
    scales = {"scale_a": np.uint8([[0]]), "scale_b": np.uint8([[0x7F]])}
    assert answer("b200/mxfp8", [1.5], [1.5], None, **scales) == 0x00900000


@pytest.mark.parametrize(("group", "want"), [([0.0, 0.0], 0x3F800000), ([1.0, -1.0], 0)])
def test_a_cancelled_group_raises_the_exponent_and_an_empty_one_does_not(
    group: list[float], want: int, tier: str
) -> None:
    scales = {"scale_a": np.uint8([[127 + 40]]), "scale_b": np.uint8([[127]])}
    assert answer("b200/mxfp4", group, [1.0, 1.0], f32(1.0), **scales) == want
