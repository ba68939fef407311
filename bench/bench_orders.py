"""What an order costs at 1024 x 1024 x 1024, one thread: policies against sgemm, GEMM orders against the plain product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Epilogue, Gemm, Ozaki, Promote, SplitK, StreamK, sparse_matmul, sparsify, unit

N = 1024
SMALL = 512  # of what runs many products
POLICIES = [(u, order) for u in ("trn2/bf16", "trn1/fp32", "trn2/fp8") for order in unit(u).orders]
ORDERS = {
    "split-k-4": Gemm(SplitK(4)), "stream-k-132": Gemm(StreamK(132, 128, 128, 64)), "promote-128": Gemm(Promote(128)),
    "epilogue-bf16": Gemm(None, Epilogue(alpha=0.5, output="bf16")),
}  # fmt: skip


@pytest.fixture(scope="module")
def square() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((N, N), np.float32), rng.standard_normal((N, N), np.float32)


def near(got: Any, exact: Any, most: float) -> None:
    """The product, but for what the order rounds."""
    assert np.linalg.norm(got.astype(np.float64) - exact) < most * np.linalg.norm(exact)


@pytest.mark.parametrize(("name", "order"), POLICIES)
def test_policy(paired: Any, square: Any, name: str, order: Any) -> None:
    x, y = square
    kind = {"bf16": "bfloat16", "f32": None, "e4m3ieee": "float8_e4m3"}[unit(name).a]
    a, b = (x, y) if kind is None else (cm.cast(x, kind), cm.cast(y, kind))
    near(cm.matmul(a, b, unit=name, order=order), a.astype(np.float64) @ b.astype(np.float64), 1e-2)
    work = lambda: cm.matmul(a, b, unit=name, order=order, threads=1)
    paired(work, lambda: x @ y, meaning="of sgemm's speed", inverse=True, rounds=5)


@pytest.mark.parametrize("order", ORDERS)
def test_order(paired: Any, square: Any, order: str) -> None:
    a, b = (cm.cast(x, "bfloat16") for x in square)
    plain = lambda: cm.matmul(a, b, unit="h100/bf16", threads=1)
    record = ORDERS[order]
    work = lambda: cm.matmul(a, b, unit="h100/bf16", gemm=record, threads=1)
    scale = 0.5 if record.epilogue else 1.0
    near(work(), scale * (a.astype(np.float64) @ b.astype(np.float64)), 1e-2)
    paired(work, plain, meaning="times the plain product", rounds=5)


def test_deepgemm(paired: Any, square: Any) -> None:
    a, b = (cm.cast(x, "float8_e4m3fn") for x in square)
    one = np.ones((N, N // 128), np.float32)
    work = lambda: cm.matmul(a, b, unit="h100/fp8", gemm="deepgemm", scale_a=one, scale_b=one.T, threads=1)
    near(work(), a.astype(np.float64) @ b.astype(np.float64), 1e-2)
    plain = lambda: cm.matmul(a, b, unit="h100/fp8", threads=1)
    paired(work, plain, meaning="times the plain product", rounds=5)


def test_emulated_float32(paired: Any, square: Any) -> None:
    x, y = (v[:SMALL, :SMALL] for v in square)
    a, b = cm.cast(x, "bfloat16"), cm.cast(y, "bfloat16")
    work = lambda: cm.matmul(x, y, unit="b200/bf16", gemm="bf16x9", threads=1)
    near(work(), x.astype(np.float64) @ y, 1e-5)
    plain = lambda: cm.matmul(a, b, unit="b200/bf16", threads=1)
    paired(work, plain, meaning="times one of its nine products", rounds=3)


def test_emulated_float64(paired: Any, square: Any) -> None:
    x, y = (v[:SMALL, :SMALL].astype(np.float64) for v in square)
    work = lambda: cm.matmul(x, y, unit="b200/int8", gemm=Gemm(Ozaki(8)), threads=1)
    near(work(), x @ y, 1e-14)
    small = np.ones((SMALL, SMALL), np.int8)
    plain = lambda: cm.matmul(small, small, unit="b200/int8", threads=1)
    paired(work, plain, meaning="times one of its 36 products", rounds=3)


def test_sparse(paired: Any, square: Any) -> None:
    a, b = (cm.cast(x, "bfloat16") for x in square)
    sparse = sparsify(a)
    dense = sparse.dense()
    work = lambda: sparse_matmul(sparse, b, unit="a100/bf16", threads=1)
    near(work(), dense.astype(np.float64) @ b.astype(np.float64), 1e-2)
    paired(work, lambda: cm.matmul(dense, b, unit="a100/bf16", threads=1), meaning="times the dense product", rounds=5)
