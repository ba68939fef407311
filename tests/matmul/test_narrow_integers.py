"""Bits and 4-bit integers: their arithmetic, packed operands, wrapping and clamping, on every tier; misuse is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.matmul import BinaryDot, Gemm, IntegerDot, SplitK, Unit, sparse_matmul, sparsify, unit
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.packed import elements

Array = np.ndarray[Any, Any]
Draw = Callable[..., tuple[Array, Array, Array, dict[str, Array]]]
EVIDENCE = Evidence("assumed", "a test")
SHAPES = ((1, 1, 8), (3, 5, 16), (4, 64, 248), (7, 65, 256), (5, 257, 4104), (9, 130, 1000))
"""Around the rows, columns, words of depth and byte counts that a kernel holds at once."""


def packed(x: Array, axis: int) -> Array:
    """Pack along K, the first element in the lowest bits."""
    if x.dtype == bool:
        return np.packbits(x, axis=axis, bitorder="little")
    low = np.moveaxis(x.view(np.uint8) & 15, axis, -1)
    return np.moveaxis(low[..., ::2] | low[..., 1::2] << 4, -1, axis)


def wide(x: Array) -> Array:
    return x.astype(np.int64)


@pytest.mark.parametrize("operation", ["xor", "and"])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_are_counted(operation: str, shape: tuple[int, int, int], tier: str, rng: np.random.Generator) -> None:
    m, n, k = shape
    a, b = rng.random((m, k)) < 0.6, rng.random((k, n)) < 0.6
    a[0], b[:, 0] = True, operation == "and"  # every bit counts: the most that a byte has to hold
    c = rng.choice(np.int32([0, 2**31 - 1, -(2**31), 5]), (m, n))
    both = wide(a) @ wide(b)
    count = both if operation == "and" else a.sum(1)[:, None] + b.sum(0)[None] - 2 * both
    name = f"ampere/mma-{operation}.b1.b1.s32.s32"
    with np.errstate(over="ignore"):
        want = count.astype(np.int32) + c
    np.testing.assert_array_equal(cm.matmul(a, b, c, unit=name), want)
    p, q = packed(a, 1), packed(b, 0)
    for left in (p, np.asfortranarray(p)):
        for right in (q, np.asfortranarray(q), b):
            np.testing.assert_array_equal(cm.matmul(left, right, c, unit=name), want)
    np.testing.assert_array_equal(cm.matmul(a, b, c, unit=name, threads=3), want)


@pytest.mark.parametrize("kinds", [("s4", "s4"), ("s4", "u4"), ("u4", "s4"), ("u4", "u4")])
@pytest.mark.parametrize("clamp", [False, True])
def test_every_pair_of_4_bit_codes(kinds: tuple[str, str], clamp: bool, tier: str) -> None:
    one = Unit("mine/dot", *kinds, "s32", "s32", 32, IntegerDot(clamp), EVIDENCE)
    a, b = (np.arange(16, dtype=np.uint8).view(operand_dtype(t)) for t in kinds)  # codes: bits 4 to 7 do not count
    x, y = ((np.arange(16) + 8) % 16 - 8 if t == "s4" else np.arange(16) for t in kinds)
    product = np.multiply.outer(x, y)
    np.testing.assert_array_equal(cm.matmul(a[:, None], b[None], unit=one), product)
    np.testing.assert_array_equal(cm.matmul(np.stack([a, a], 1), np.stack([b, b]), unit=one), 2 * product)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=st.sampled_from(["s4", "u4", "s8", "u8"]),
    b=st.sampled_from(["s4", "u4", "s8", "u8"]),
    k=st.sampled_from([1, 2, 7, 16, 32, 64, 1000, 1024]),
    clamp=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_record(
    a: str, b: str, k: int, clamp: bool, seed: int, draw: Draw, expected: Callable[..., dict[tuple[int, int], int]]
) -> None:
    one = Unit("mine/any", a, b, "s32", "s32", k, IntegerDot(clamp), EVIDENCE)
    x, y, c, _ = draw(one, 8, 9, 70, seed)
    for addend in (c, None):
        want = expected(one, x, y, addend, at=[(i, (i + seed) % 9) for i in range(8)])
        before = cm.tier()
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = cm.matmul(x, y, addend, unit=one)
            assert {at: int(got[at]) % 2**32 for at in want} == want, tier
            left = packed(x, 1) if a in ("s4", "u4") else x
            right = packed(y, 0) if b in ("s4", "u4") else y
            np.testing.assert_array_equal(cm.matmul(left, right, addend, unit=one), got)
        cm.use_tier(before)


def test_words_of_registers_are_packed_operands(rng: np.random.Generator) -> None:
    # bit i of word w of a row is its element 32 w + i; B by columns, as mma.row.col takes it
    words_a, words_b = rng.integers(0, 2**32, (3, 8), np.uint32), rng.integers(0, 2**32, (5, 8), np.uint32)
    got = cm.matmul(words_a.view(np.uint8), words_b.view(np.uint8).T, unit="a100/b1-xor")
    want = [[sum((int(x) ^ int(y)).bit_count() for x, y in zip(r, s, strict=True)) for s in words_b] for r in words_a]
    np.testing.assert_array_equal(got, want)
    nibbles = elements(words_a.view(np.uint8), "s4", -1)
    assert int(nibbles[0, 1]) == ((int(words_a[0, 0]) >> 4 & 15) + 8) % 16 - 8


def test_batches_orders_and_places(rng: np.random.Generator) -> None:
    a, b = rng.integers(-8, 8, (2, 3, 64)).astype(ml_dtypes.int4), rng.integers(-8, 8, (64, 7)).astype(ml_dtypes.int4)
    want = wide(a) @ wide(b)
    out = np.empty((2, 3, 7), np.int32)
    assert cm.matmul(packed(a, 2), packed(b, 0), unit="a100/int4", out=out) is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(cm.matmul(packed(a, 2), packed(b, 0), unit="a100/int4", gemm=Gemm(SplitK(3))), want)
    bits = rng.random((2, 3, 64)) < 0.5, rng.random((2, 64, 7)) < 0.5
    whole = cm.matmul(*bits, unit="h100/b1-and")
    np.testing.assert_array_equal(whole, wide(bits[0]) @ wide(bits[1]))
    parts = cm.matmul(packed(bits[0], 2), packed(bits[1], 1), unit="h100/b1-and", gemm=Gemm(SplitK(3)))
    np.testing.assert_array_equal(parts, whole)


def test_sparse_integers(rng: np.random.Generator) -> None:
    x = rng.integers(-8, 8, (4, 64)).astype(ml_dtypes.int4)
    b = rng.integers(-8, 8, (64, 5)).astype(ml_dtypes.int4)
    kept = sparsify(x, "2:4")
    np.testing.assert_array_equal(sparse_matmul(kept, b, unit="a100/int4"), wide(kept.dense()) @ wide(b))


def test_analysis_of_exact_sums(rng: np.random.Generator) -> None:
    a, b = rng.random((4, 40)) < 0.5, rng.random((40, 3)) < 0.5
    for name in ("a100/b1-xor", "a100/b1-and"):
        found = cm.error_analysis(a, b, unit=name)
        assert (found.max_error, found.overflowed, found.losses) == (0.0, 0, ())
    top = np.full((4, 3), 2**31 - 1, np.int32)
    assert cm.error_analysis(np.ones((4, 8), bool), np.ones((8, 3), bool), top, unit="a100/b1-and").overflowed == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cm.matmul(np.ones((2, 4), np.int8), np.ones((4, 2), np.int8), unit="a100/int4"),
         r"a must have dtype int4 \(s4\), or uint8 with 2 per byte along K for ampere/mma.s4.s4.s32.s32, got int8"),
        (lambda: cm.matmul(np.ones((2, 4), np.float32), np.ones((4, 2), bool), unit="a100/b1-and"),
         r"a must have dtype bool \(b1\), or uint8 with 8 per byte along K .* got float32$"),
        (lambda: cm.matmul(np.ones((2, 3), np.uint8), np.ones((23, 2), bool), unit="a100/b1-and"),
         r"share K: a has shape \(2, 3\), b has shape \(23, 2\) \(24 and 23 elements\)"),
        (lambda: cm.matmul(np.ones((2, 0), bool), np.ones((0, 2), bool), unit="a100/b1-and"), "at least one element"),
        (lambda: BinaryDot("or"), "operation must be one of xor, and, got 'or'"),  # type: ignore[arg-type]
        (lambda: Unit("mine/x", "b1", "s8", "s32", "s32", 8, BinaryDot("and"), EVIDENCE), "b1 operands, unscaled"),
        (lambda: Unit("mine/x", "b1", "b1", "s32", "s32", 8, IntegerDot(), EVIDENCE), r"integer operands \(s4, s8, u4, u8\)"),
        (lambda: sparse_matmul(sparsify(np.float16([[1, 2, 3, 4]]), "2:4"), np.ones((4, 2), bool), unit="a100/b1-and"),
         "no instruction multiplies sparse bits"),
        (lambda: unit("t4/b1-and"), "unknown unit 't4/b1-and'; did you mean .*b1"),
        (lambda: unit("h100/int4"), "unknown unit 'h100/int4'; did you mean 'h100/int8'"),
    ],
)  # fmt: skip
def test_misuse_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError, LookupError), match=message):
        call()
