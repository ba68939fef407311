"""All-reduce over virtual ranks against copying the bytes that it must touch, and one output against numpy.sum."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from chipmeter.collectives import all_reduce, quantised_all_reduce, reduce, schedule

RANKS, COUNT, LONG = 64, 1 << 20, 1 << 22  # 1 GiB of float32 for the ring


@pytest.fixture(scope="module")
def shards(pages: Any) -> Any:
    values = pages((RANKS, COUNT))
    np.random.default_rng(1).standard_normal(values.shape, np.float32, out=values)
    return values


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1.6), ("bfloat16", 2.0)])
def test_ring(paired: Any, pages: Any, shards: Any, dtype: str, most: float) -> None:
    """64 virtual ranks of 16 MiB each in float32, every rank's result written; half of it in bfloat16."""
    x = pages((RANKS, LONG), np.dtype(dtype))
    for row in x:
        row.reshape(-1, COUNT)[:] = shards[0]
    out = pages(x.shape, x.dtype)
    work = lambda: all_reduce(x, "ring", out=out, threads=1)
    np.testing.assert_allclose(work()[3, :9].astype(float), RANKS * x[0, :9].astype(float), rtol=0.1)
    paired(work, lambda: np.copyto(out, x), meaning="times copying ranks x bytes", bar=("<=", most), rounds=5)


UFUNCS = {"sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum}


@pytest.mark.parametrize("op", UFUNCS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint16", "int32", "int64"])
def test_one_output(paired: Any, shards: Any, dtype: str, op: Any) -> None:
    """NumPy sums in the type itself here; by default it widens small integers and is slower still."""
    x = (shards[:16] * 0.25 + 1.5).astype(dtype)
    work = lambda: reduce(x, "linear", op=op, threads=1)
    anchor = lambda: UFUNCS[op].reduce(x, axis=0, dtype=x.dtype)
    np.testing.assert_allclose(work()[:9].astype(float), anchor()[:9].astype(float), rtol=0.05, atol=0.1)
    paired(work, anchor, meaning=f"times numpy.{UFUNCS[op].__name__}.reduce(axis=0)", bar=("<=", 1.0), rounds=5)


@pytest.mark.parametrize("name", ["trtllm", "binomial", "ring"])
@pytest.mark.parametrize("count", [1 << 14, 1 << 18, 1 << 20])
def test_orders_and_sizes(paired: Any, shards: Any, name: str, count: int) -> None:
    x = np.ascontiguousarray(shards[:, :count])
    work = lambda: reduce(x, name, threads=1)
    np.testing.assert_allclose(work()[:4], x[:, :4].sum(axis=0), rtol=1e-3, atol=1e-4)
    paired(work, lambda: np.sum(x, axis=0), meaning="times numpy.sum(axis=0)", bar=("<=", 1.0), rounds=7)


def test_quantised(paired: Any, shards: Any) -> None:
    x = shards[:8, : 1 << 17].astype(ml_dtypes.bfloat16)
    target = np.empty_like(x)
    paired(lambda: quantised_all_reduce(x), lambda: np.copyto(target, x), meaning="times copying", rounds=3)


def test_symbolic_schedule_of_100_000_ranks(paired: Any, shards: Any) -> None:
    target = np.empty_like(shards[:8])
    work = lambda: schedule("all_reduce", "ring", 100_000, expand=False)
    paired(work, lambda: np.copyto(target, shards[:8]), meaning="times copying 32 MiB", rounds=3)
