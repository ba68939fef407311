"""A product of dask arrays has the bits of one machine, whatever the chunks."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter.testing import assert_bits_equal

da = pytest.importorskip("dask.array", reason="dask is not installed")
from chipmeter.distributed import matmul

M, N, K = 37, 29, 83


def operands(dtype: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)


@pytest.mark.parametrize(("unit", "dtype"), [("h100/fp8", ml_dtypes.float8_e4m3fn), ("v100/fp16", np.float16)])
@pytest.mark.parametrize("chunks", [(37, 29, 83), (10, 7, 20), (1, 29, 5)])
def test_chunks_do_not_matter(unit: str, dtype: Any, chunks: tuple[int, int, int]) -> None:
    a, b = operands(dtype)
    m, n, k = chunks
    lazy = matmul(da.from_array(a, chunks=(m, k)), da.from_array(b, chunks=(k, n)), unit=unit)
    assert lazy.dtype == np.float32
    assert_bits_equal(lazy.compute(scheduler="synchronous"), cm.matmul(a, b, unit=unit))


def test_an_accumulator_is_cut_as_the_result_is() -> None:
    a, b = operands(np.float16)
    c = np.random.default_rng(4).standard_normal((M, N)).astype(np.float32)
    lazy = matmul(da.from_array(a, chunks=9), da.from_array(b, chunks=11), da.from_array(c, chunks=4), unit="h100/fp16")
    assert_bits_equal(lazy.compute(scheduler="synchronous"), cm.matmul(a, b, c, unit="h100/fp16"))


def test_on_a_cluster_of_processes(client: Any) -> None:
    a, b = operands(np.float16)
    lazy = matmul(da.from_array(a, chunks=9), da.from_array(b, chunks=11), unit="h100/fp16")
    assert_bits_equal(client.compute(lazy).result(), cm.matmul(a, b, unit="h100/fp16"))


def test_bad_input_is_seen_before_anything_is_computed() -> None:
    a, b = (da.from_array(x) for x in operands(np.float16))
    for arguments, error, message in (
        ((a, b.astype(np.float32)), TypeError, "b must have dtype float16"),
        ((a, a), ValueError, "share K"),
        ((a, b, a.astype(np.float32)), ValueError, "result's shape"),
        ((np.zeros((2, 2), np.float16), b), TypeError, "a must be a dask array, got ndarray"),
        ((a[None], b), ValueError, "two dimensions"),
    ):
        with pytest.raises(error, match=message):
            matmul(*arguments, unit="h100/fp16")
    with pytest.raises(ValueError, match="block scales"):
        matmul(a, b, unit="b200/nvfp4")
