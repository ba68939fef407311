"""Both directions at once, and quantising with its error, are the bits of one step after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.quantize import RECIPES, measure, panels, quantize_both, quantize_measured
from chipmeter.quantize.choose import fits

Array = np.ndarray[Any, Any]


def numbers(shape: tuple[int, ...], seed: int = 1) -> Array:
    x = (np.random.default_rng(seed).standard_normal(shape) ** 5).astype(np.float32)
    x[..., 0] = 0
    return x


@pytest.mark.parametrize("name", RECIPES)
def test_both_directions(name: str, tier: str) -> None:
    for shape in ((33, 70), (160, 272)):
        if not (fits(RECIPES[name], shape) and fits(RECIPES[name], shape, 0)):
            continue
        x = numbers(shape)
        rows, columns = quantize_both(x, name, threads=2)
        assert rows == cm.quantize(x, name)
        assert columns == cm.quantize(np.ascontiguousarray(x.T), name) == cm.quantize(x.T, name, threads=2)
        assert rows.codes.flags.c_contiguous
        assert columns.codes.flags.c_contiguous


@pytest.mark.parametrize("name", ["mxfp8", "nvfp4", "uint4-group32", "fp8-1x128", "nf4-double", "gguf-q4_1"])
def test_panels_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers((330, 419))
    want = cm.quantize(x, name), cm.quantize(np.ascontiguousarray(x.T), name)
    for panel in (1, 5000, 40000):
        monkeypatch.setattr(panels, "_PANEL", panel)
        assert quantize_both(x[:, ::-1][:, ::-1], name) == want
        assert cm.quantize(x.T, name, threads=2) == want[1]


@pytest.mark.parametrize("name", RECIPES)
def test_quantise_and_measure(name: str) -> None:
    x = numbers((3, 32, 80))
    for axis in range(3):
        if fits(RECIPES[name], x.shape, axis):
            q, error = quantize_measured(x, name, axis=axis, threads=2)
            assert q == cm.quantize(x, name, axis=axis)
            assert error == measure(x, q, threads=1)


@pytest.mark.parametrize("shape", [(70000,), (3, 66000), (300, 700), (1, 5)])
def test_threads_do_not_matter(shape: tuple[int, ...], tier: str) -> None:
    x = numbers(shape)
    for name in ("mxfp8", "nvfp4", "uint4-group32", "fp8-1x128"):
        q = cm.quantize(x, name)
        want = measure(x, q, threads=2)
        assert want == measure(x, q, threads=1)
        for threads in (1, 2, 3):
            assert quantize_measured(x, name, threads=threads) == (q, want)


def test_what_is_not_a_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"quantize_both takes a matrix, got shape \(2, 3, 4\)"):
        quantize_both(np.zeros((2, 3, 4), np.float32), "mxfp8")
    with pytest.raises(TypeError, match="float64 would be rounded twice"):
        quantize_measured(np.zeros((2, 3)), "mxfp8")
    with pytest.raises(ValueError, match="takes whole blocks"):
        quantize_both(np.zeros((33, 64), np.float32), replace(RECIPES["mxfp8"], tail="refuse"))
