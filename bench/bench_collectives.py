"""All-reduce over virtual ranks against copying the bytes that it must touch, and one output against numpy.sum."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from chipmeter.collectives import all_reduce, quantised_all_reduce, reduce, schedule

RANKS, COUNT = 64, 1 << 20  # 256 MiB of float32: enough to leave the caches


@pytest.fixture(scope="module")
def shards() -> Any:
    values = page_aligned((RANKS, COUNT))
    np.random.default_rng(1).standard_normal(values.shape, np.float32, out=values)
    return values


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1.6), ("bfloat16", 2.0)])
def test_ring(paired: Any, shards: Any, dtype: str, most: float) -> None:
    x = page_aligned(shards.shape, np.dtype(dtype))
    np.copyto(x, shards, casting="unsafe")
    out, target = page_aligned(x.shape, x.dtype), page_aligned(x.shape, x.dtype)
    work = lambda: all_reduce(x, "ring", out=out, threads=1)
    first = work()[3, :4].astype(np.float32)
    np.testing.assert_allclose(first, shards[:, :4].sum(axis=0), rtol=0.1, atol=1.0)
    paired(work, lambda: np.copyto(target, x), meaning="times copying ranks x bytes", bar=("<=", most), rounds=7)


@pytest.mark.parametrize("name", ["trtllm", "linear", "binomial", "ring"])
def test_one_output(paired: Any, shards: Any, name: str) -> None:
    work = lambda: reduce(shards, name, threads=1)
    np.testing.assert_allclose(work()[:4], shards[:, :4].sum(axis=0), rtol=1e-3, atol=1e-4)
    paired(work, lambda: np.sum(shards, axis=0), meaning="times numpy.sum(axis=0)", bar=("<=", 1.0), rounds=7)


def test_quantised(paired: Any, shards: Any) -> None:
    x = shards[:8, : 1 << 17].astype(ml_dtypes.bfloat16)
    target = np.empty_like(x)
    paired(lambda: quantised_all_reduce(x), lambda: np.copyto(target, x), meaning="times copying", rounds=3)


def test_symbolic_schedule_of_100_000_ranks(paired: Any, shards: Any) -> None:
    target = np.empty_like(shards[:8])
    work = lambda: schedule("all_reduce", "ring", 100_000, expand=False)
    paired(work, lambda: np.copyto(target, shards[:8]), meaning="times copying 32 MiB", rounds=3)
