"""The bits of a quantised array do not depend on how it lies in memory, nor on whether blocks run along it or across."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter._arrays import dtype_of
from chipmeter._transpose import contiguous, transposed
from chipmeter.quantize import RECIPES, quantize_measured
from chipmeter.quantize.choose import fits

Array = np.ndarray[Any, Any]


def laid_out(x: Array, how: str) -> Array:
    """The same numbers elsewhere: in columns, with gaps, backwards, in the middle of something larger."""
    rows, columns = x.shape
    if how == "columns":
        return np.asfortranarray(x)
    if how == "backwards":
        return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    if how == "gaps":
        wide = np.full((2 * rows, 3 * columns), 7, x.dtype)
        wide[::2, ::3] = x
        return wide[::2, ::3]
    wide = np.full((columns + 3, rows + 5), 7, x.dtype)  # a part of a matrix in columns
    wide[1 : columns + 1, 2 : rows + 2] = x.T
    return wide[1 : columns + 1, 2 : rows + 2].T


@given(
    name=st.sampled_from(list(RECIPES)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    odd=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    how=st.sampled_from(["columns", "backwards", "gaps", "part"]),
    axis=st.sampled_from([0, 1, -1]),
    seed=st.integers(0, 1 << 32),
)
@settings(deadline=None, max_examples=150)
def test_any_layout(name: str, shape: tuple[int, int], odd: tuple[int, int], how: str, axis: int, seed: int) -> None:
    rows, columns = (32 * n + more for n, more in zip(shape, odd, strict=True))
    if not fits(RECIPES[name], (rows, columns), axis):
        rows, columns = 128, 256
    x = (np.random.default_rng(seed).standard_normal((rows, columns)) ** 3).astype(np.float32)
    want = cm.quantize(x, name, axis=axis)
    held = laid_out(x, how)
    assert (held == x).all()
    assert cm.quantize(held, name, axis=axis, threads=2) == want
    measured, error = quantize_measured(held, name, axis=axis)
    assert measured == want
    assert error == quantize_measured(x, name, axis=axis)[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32, np.float64, "float8_e4m3fn"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (64, 64), (129, 1100), (1500, 700), (2048, 1024)])
def test_transposed(shape: tuple[int, int], dtype: Any, tier: str) -> None:
    kind = dtype_of(dtype) if isinstance(dtype, str) else np.dtype(dtype)
    raw = np.random.default_rng(3).integers(0, 256, (shape[0], shape[1] * kind.itemsize), np.uint8)
    a = raw.view(kind)
    for threads in (1, 3):
        t = transposed(a, threads)
        assert t.dtype == a.dtype
        assert t.flags.c_contiguous
        assert t.tobytes() == np.ascontiguousarray(a.T).tobytes()
    part = a[: shape[0] // 2 + 1, shape[1] // 3 :]
    assert transposed(part).tobytes() == np.ascontiguousarray(part.T).tobytes()
    assert contiguous(part.T).tobytes() == np.ascontiguousarray(part.T).tobytes()
