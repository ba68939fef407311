"""Chains longer, taller and wider than what stays in a cache have the bits of one sum after another, whatever holds A and B."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import chipmeter as cm

TILE = 128


def one_by_one(a: NDArray[Any], b: NDArray[Any], c: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Add products that float32 holds exactly: from zero in each tile, and the tiles to the accumulator."""
    left, right = a.astype(np.float32), b.astype(np.float32)
    total = c
    for first in range(0, left.shape[1], TILE):
        part = np.zeros((left.shape[0], right.shape[1]), np.float32)
        for k in range(first, min(first + TILE, left.shape[1])):
            part = part + left[:, k : k + 1] * right[k]
        total = part if total is None else total + part
    assert total is not None
    return np.where(np.isnan(total), np.uint32(0x7FFFFFFF).view(np.float32), total)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 130, 17), (97, 1300, 70), (200, 2100, 33)])
@pytest.mark.parametrize(("unit", "dtype"), [("trn2/bf16", ml_dtypes.bfloat16), ("trn1/fp8", ml_dtypes.float8_e4m3)])
@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("with_c", [False, True])
def test_sums(
    shape: tuple[int, int, int], unit: str, dtype: Any, order: Callable[..., NDArray[Any]], with_c: bool
) -> None:
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((m, k), np.float32).astype(dtype), rng.standard_normal((k, n), np.float32).astype(dtype)
    c = rng.standard_normal((m, n), np.float32) if with_c else None
    if m > 1:
        a[m // 2, k - 1] = np.nan  # of a row, in the last tile
    got = cm.matmul(order(a), order(b), c, unit=unit, threads=2)
    np.testing.assert_array_equal(got.view(np.uint32), one_by_one(a, b, c).view(np.uint32))
