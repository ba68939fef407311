"""Sparse products are the dense chain over gathered rows; patterns and metadata are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chipmeter.matmul import unit
from chipmeter.matmul.sparsity import PATTERNS, Sparse, from_masked, sparse_matmul, sparsify

Array = np.ndarray[Any, Any]
Draw = Callable[..., tuple[Array, Array, Array, dict[str, Array]]]
Expected = Callable[..., dict[tuple[int, int], int]]


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


CASES = [
    ("a100/bf16", "2:4", None), ("a100/tf32", "1:2", None), ("h100/fp16", "2:4", None), ("ampere/mma.f16.f16.f16.f16", "2:4", None),
    ("h100/fp8", "2:4", None), ("a100/int8", "2:4", None), ("hopper/wgmma-satfinite.s8.s8.s32.s32", "2:4", None),
    ("a100/fp64", "2:4", None), ("trn2/bf16", "4:16", None), ("trn2/bf16", "4:12", "pairwise"), ("trn3/fp16", "1:4", "bf16-products"),
    ("trn2/fp8", "2:8", "element-sums"), ("trn2/bf16", "4:8", "truncated"), ("trn2/fp32", "2:4", "four-pass"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pattern", "order"), CASES)
def test_against_the_gathered_reference(
    name: str, pattern: str, order: Any, draw: Draw, expected: Expected, tier: str
) -> None:
    u = unit(name) if order is None else unit(name).with_order(order)
    of = int(pattern.partition(":")[2])
    a, b, c, _ = draw(u, 8, 9, of * (-(-80 // of)))
    sparse = sparsify(a, pattern)
    for addend in (None, c):
        got = bits(sparse_matmul(sparse, b, addend, unit=name, order=order))
        for i in range(8):
            z = None if addend is None else addend[i : i + 1]
            want = expected(u, sparse.values[i : i + 1], b[sparse.rows_of_b[i]], z, at=[(0, i)])
            assert got[i, i] == want[0, i], (i, addend is None)


def test_rows_that_are_not_kept_are_not_read() -> None:
    x = from_masked(np.float16([[1, 1, 0, 0], [0, 0, 1, 1]]))
    b = np.float16([[1, 1], [1, 1], [np.nan, 1], [np.inf, 1]])
    got = sparse_matmul(x, b, unit="h100/fp16")
    assert got[0].tolist() == [2.0, 2.0]
    assert np.isnan(got[1, 0])
    assert got[1, 1] == 2.0


@pytest.mark.parametrize("pattern", PATTERNS)
def test_sparsify_keeps_the_largest(pattern: str, rng: np.random.Generator) -> None:
    kept, of = map(int, pattern.split(":"))
    x = rng.integers(-9, 9, (5, 6 * of)).astype(np.float32)
    x[0, 0], x[1, 1] = np.nan, -0.0
    dense = sparsify(x, pattern).dense()
    for row, got in zip(x, dense, strict=True):
        for g in range(6):
            group = row[g * of : g * of + of]
            order = sorted(range(of), key=lambda i: (-np.inf if np.isnan(group[i]) else -abs(group[i]), i))[:kept]
            want = [group[i] if i in order else np.float32(0) for i in range(of)]
            np.testing.assert_array_equal(bits(got[g * of : g * of + of]), bits(np.array(want, np.float32)))
    again = from_masked(dense, pattern)
    np.testing.assert_array_equal(np.abs(again.dense()), np.abs(dense))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("groups", [1, 3, 16])
def test_metadata_comes_back(pattern: str, groups: int, rng: np.random.Generator) -> None:
    of = int(pattern.partition(":")[2])
    sparse = sparsify(rng.standard_normal((3, of * groups), np.float32), pattern)
    again = Sparse.from_metadata(sparse.values, sparse.metadata(), pattern)
    np.testing.assert_array_equal(again.positions, sparse.positions)


def test_metadata_words() -> None:
    one = np.float32([[1, 2]])
    assert Sparse(one, np.uint8([[0, 1]]), "1:2").metadata().tolist() == [[0xE4]]
    assert Sparse(one, np.uint8([[5, 7]]), "2:8").metadata().tolist() == [[0x75]]
    with pytest.raises(ValueError, match="metadata of a 1:2 operand holds 0100, 1110, got 0101"):
        Sparse.from_metadata(one, np.uint16([[0xE5]]), "1:2")
    with pytest.raises(ValueError, match=r"metadata must be uint16 of shape \(1, 1\), got uint8"):
        Sparse.from_metadata(one, np.uint8([[0xE5]]), "1:2")
    with pytest.raises(ValueError, match="must ascend"):
        Sparse.from_metadata(one, np.uint16([[0b0011]]), "2:4")


X, P = np.ones((2, 4), np.float16), np.uint8([[0, 1, 2, 3], [0, 1, 0, 1]])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: sparsify(X, "3:4"), "pattern must be one of 4:16"), (lambda: sparsify(X[0]), "x must be a matrix"),
    (lambda: sparsify(X[:, :3]), "K must be a positive multiple of 4"), (lambda: from_masked(X), "does not obey 2:4: row 0 has 4"),
    (lambda: Sparse(X[0], P, "2:4"), "values must be a matrix"), (lambda: Sparse(X, P[:, :2], "2:4"), "positions must be uint8"),
    (lambda: Sparse(X[:, :3], P[:, :3], "2:4"), "in groups of 2"), (lambda: Sparse(X, P + np.uint8(4), "2:4"), "lie in 0..3, got 7"),
    (lambda: Sparse(X, P[:, ::-1].copy(), "2:4"), "must ascend within each group, row 0 has 3, 2 in group 0"),
    (lambda: sparse_matmul(X, X, unit="h100/fp16"), "a must be a Sparse operand"),  # type: ignore[arg-type]
    (lambda: sparse_matmul(Sparse(X, P, "2:4"), X, unit="h100/fp16"), "b must be a matrix of 8 rows"),
    (lambda: sparse_matmul(Sparse(X, P, "2:4"), X, unit="b200/mxfp8"), "is block-scaled"),
])  # fmt: skip
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()
