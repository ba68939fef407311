"""Threads, slices that are not contiguous, and unusual blocks give the bits of the plain call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.quantize import RECIPES

NAMES = [n for n, r in RECIPES.items() if r.signs is None and r.adaptive == "none"]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_threads_change_nothing(rng: np.random.Generator, name: str, axis: int) -> None:
    x = rng.standard_normal((512, 520)).astype(np.float32)
    assert cm.quantize(x, name, axis=axis, threads=3) == cm.quantize(x, name, axis=axis)


@pytest.mark.parametrize("block", [1, 3, 16, 40, 1500])
@pytest.mark.parametrize("name", ["mxfp8", "fp8-1x128", "int4-group32", "uint4-group32", "fp4-deepgemm", "nf4"])
def test_blocks_of_any_size_stand_alone(rng: np.random.Generator, name: str, block: int, tier: str) -> None:
    rule = replace(RECIPES[name], block=block)
    x = rng.standard_normal((2, 3 * block + 1)).astype(np.float32)
    whole = cm.quantize(x, rule)
    parts = [cm.quantize(x[:, i : i + block], rule) for i in range(0, x.shape[1], block)]
    assert whole.codes.tobytes() == np.concatenate([p.codes for p in parts], axis=1).tobytes()
    assert whole.scales.tobytes() == np.concatenate([p.scales for p in parts], axis=1).tobytes()


@pytest.mark.parametrize("name", ["mxfp8", "nvfp4", "int8-row", "fp8-128x128"])
def test_middle_axes_equal_moved_ones(rng: np.random.Generator, name: str) -> None:
    x = rng.standard_normal((2, 40, 3, 20)).astype(np.float32)
    q = cm.quantize(x, name, axis=1)
    moved = cm.quantize(np.moveaxis(x, 1, -1), name)
    assert q.codes.tobytes() == np.ascontiguousarray(np.moveaxis(moved.codes, -1, 1)).tobytes()
    assert q.scales.tobytes() == np.ascontiguousarray(np.moveaxis(moved.scales, -1, 1)).tobytes()
