"""Whatever holds an array is taken without a copy: torch, DLPack, the buffer protocol; what cannot be is named."""

from __future__ import annotations

import array
import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import chipmeter as cm
from chipmeter._arrays import as_array, to_torch

X = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)


class OnlyDlpack:
    """What a library without NumPy in mind gives."""

    def __init__(self, x: Any, error: type[Exception] | None = None) -> None:
        self.x, self.error = x, error

    def __dlpack__(self, **keywords: Any) -> Any:
        if self.error is not None:
            raise self.error("not here")
        return self.x.__dlpack__(**keywords)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def test_dlpack_and_buffers_share_memory() -> None:
    assert np.shares_memory(as_array(OnlyDlpack(X), "x"), X)
    words = array.array("f", [1.0, 2.0])
    taken = as_array(words, "x")
    words[0] = 3.0
    assert taken[0] == 3


def test_the_doors_take_them() -> None:
    assert cm.quantize(OnlyDlpack(X), "mxfp8") == cm.quantize(X, "mxfp8")
    assert cm.cast(OnlyDlpack(X), "e4m3fn").tobytes() == cm.cast(X, "e4m3fn").tobytes()
    a = cm.cast(X, "f16")
    assert cm.matmul(OnlyDlpack(a), a.T, unit="h100/fp16").tobytes() == cm.matmul(a, a.T, unit="h100/fp16").tobytes()
    assert cm.decode(memoryview(b"\x7e"), "e4m3fn").tolist() == [448]
    assert cm.cast(memoryview(X), "bf16").tobytes() == cm.cast(X, "bf16").tobytes()


def test_what_dlpack_cannot_give_is_named() -> None:
    for error in (BufferError, RuntimeError):
        with pytest.raises(TypeError, match="x cannot be read through DLPack: not here"):
            cm.quantize(OnlyDlpack(X, error), "mxfp8")


def test_torch_is_never_imported_by_chipmeter() -> None:
    code = "import sys, numpy, chipmeter as cm; cm.quantize(numpy.ones((1, 32), 'f4'), 'mxfp8'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torch_both_ways_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="torch is optional")
    tensor = torch.from_numpy(X.copy())
    assert cm.quantize(tensor, "mxfp8") == cm.quantize(X, "mxfp8")
    half = tensor.to(torch.bfloat16)
    taken = as_array(half, "x")
    assert taken.dtype == ml_dtypes.bfloat16
    half[0, 0] = 7
    assert taken[0, 0] == 7
    eight = tensor.to(torch.float8_e4m3fn)
    assert as_array(eight, "x").dtype == ml_dtypes.float8_e4m3fn
    codes = cm.cast(X, "e5m2")
    back = to_torch(codes)
    assert back.dtype == torch.float8_e5m2
    codes.view(np.uint8)[0, 0] = 1
    assert int(back.view(torch.uint8)[0, 0]) == 1
    assert to_torch(cm.cast(X, "e2m1")).dtype == torch.uint8
    with pytest.raises(TypeError, match="must be a dense tensor on the CPU"):
        cm.quantize(tensor.to_sparse(), "mxfp8")
