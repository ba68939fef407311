"""Quantisation of 16 Mi elements against a copy of the same float32 array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.reference.layouts import LAYOUTS
from chipmeter.reference.quantize import quantize_mx

BARS = {
    "mxfp8": ("<=", 1.2),
    "mxfp4": ("<=", 1.5),
    "nvfp4": ("<=", 1.5),
    "fp8-1x128": ("<=", 1.2),
    "fp8-128x128": None,
    "int4-group32": None,
    "mxfp6": None,
    "mxfp8-roundup": None,
    "fp8": None,
    "fp8-row": None,
    "int8-row": None,
}
ELEMENTS = {"mxfp8": "e4m3", "mxfp6": "e2m3", "mxfp4": "e2m1"}


def check_first_blocks(x: Any, recipe: str) -> None:
    """What is timed is what the integer reference defines."""
    q = cm.quantize(x[0, :128], recipe)
    scales, codes = q.scales.view(np.uint8).tolist(), q.codes.view(np.uint8).reshape(-1, 32).tolist()
    blocks = x[0, :128].view(np.uint32).reshape(-1, 32).tolist()
    assert list(zip(scales, codes, strict=True)) == [quantize_mx(block, LAYOUTS[ELEMENTS[recipe]]) for block in blocks]


@pytest.mark.parametrize("recipe", BARS)
def test_quantize(paired: Any, x: Any, copy: Any, recipe: str) -> None:
    if recipe in ELEMENTS:
        check_first_blocks(x, recipe)
    assert cm.quantize(x[:8], recipe).sqnr(x[:8]) > 12
    paired(lambda: cm.quantize(x, recipe), copy, meaning="x copy of the input", bar=BARS[recipe])


def test_dequantize_mxfp8(paired: Any, x: Any, copy: Any) -> None:
    q = cm.quantize(x, "mxfp8")
    paired(q.dequantize, copy, meaning="x copy of the result")
