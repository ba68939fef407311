"""Whole-matrix steps around a product do not depend on the rounding mode another library left in the thread."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Epilogue, Gemm, Ozaki, Promote, SplitK, unit

UPWARD = {"x86_64": 0x800, "AMD64": 0x800, "aarch64": 0x400000, "arm64": 0x400000}.get(platform.machine())
X, Y = np.random.default_rng(11).standard_normal((2, 16, 96), np.float32)
A, B = cm.cast(X, "bfloat16"), cm.cast(Y, "bfloat16").T


@pytest.fixture
def upward() -> Iterator[None]:
    """Leave the thread rounding up."""
    libm = ctypes.CDLL(None)
    before = libm.fegetround()
    assert UPWARD is not None
    assert libm.fesetround(UPWARD) == 0
    yield
    libm.fesetround(before)


def products() -> dict[str, np.ndarray[Any, Any]]:
    """Compute one product by every whole-matrix step there is."""
    orders = {
        "split": Gemm(SplitK(3, tile=16)),
        "promote": Gemm(Promote(16)),
        "epilogue": Gemm(None, Epilogue(0.7, output="f16")),
    }
    found = {name: cm.matmul(A, B, unit="h100/bf16", gemm=order) for name, order in orders.items()}
    found |= {order: cm.matmul(A, B, unit="trn2/bf16", order=order) for order in unit("trn2/bf16").orders}
    found["terms"] = cm.matmul(X, Y.T, unit="b200/bf16", gemm="bf16x9")
    found["ozaki"] = cm.matmul(X.astype(np.float64), Y.T.astype(np.float64), unit="b200/int8", gemm=Gemm(Ozaki(6)))
    return found


WANT = products()


@pytest.mark.skipif(UPWARD is None, reason="the code of FE_UPWARD is known for x86-64 and aarch64 only")
def test_rounding_mode_of_the_thread(upward: None) -> None:
    sum_of_rounding = np.float32(1) + np.float32(2.0**-30)
    assert sum_of_rounding > 1, "the environment is not what this test is about"
    for name, got in products().items():
        word = f"u{got.itemsize}"
        np.testing.assert_array_equal(got.view(word), WANT[name].view(word), err_msg=name)
    assert np.float32(1) + np.float32(2.0**-30) > 1, "the caller's environment must come back"
