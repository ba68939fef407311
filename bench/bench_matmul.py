"""Emulated matrix products of 1024 x 1024 x 1024 against float32 sgemm of the same shape, one thread each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.formats import code_dtype, format_of
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.units import OPERANDS

N = 1024
PLAIN = {
    "h100/fp8": (">=", 0.55),
    "h100/fp16": (">=", 0.27),
    "h100/bf16": (">=", 0.27),
    "a100/bf16": (">=", 0.24),
    "v100/fp16": (">=", 0.18),
    "b200/bf16": (">=", 0.27),
    "trn2/bf16": (">=", 0.90),
    "a100/fp16": (">=", 0.24),
    "rtx-4090/fp8": (">=", 0.55),
    "h100/tf32": None,
    "b200/fp8": None,
    "cpu/fp32": None,
    "h100/int8": (">=", 3.0),
}
BLOCKS = {
    "b200/mxfp8": "mxfp8-roundup",
    "b200/mxfp4": "mxfp4-roundup",
    "b200/nvfp4": "nvfp4",
    "trn3/mxfp8": "mxfp8-roundup",
}
BLOCK_BARS = {"b200/mxfp8": (">=", 0.32), "b200/nvfp4": (">=", 0.8)}


@pytest.fixture(scope="module")
def square() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((N, N), np.float32), rng.standard_normal((N, N), np.float32)


def operand(x: Any, kind: str) -> Any:
    if kind == "s8":
        return np.clip(np.round(x * 32), -127, 127).astype(np.int8)
    return x if kind == "f32" else cm.cast(x, OPERANDS[kind]).view(code_dtype(format_of(OPERANDS[kind])))


def check_close(d: Any, a: Any, b: Any) -> None:
    """The product of the operands it was given, but for the unit's own rounding."""
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert np.linalg.norm(d.astype(np.float64) - exact) < 1e-3 * np.linalg.norm(exact)


@pytest.mark.parametrize("unit", PLAIN)
def test_matmul(paired: Any, square: Any, unit: str) -> None:
    x, y = square
    kind = find_unit(unit).a
    a, b = operand(x, kind), operand(y, kind)
    check_close(cm.matmul(a[:16], b, unit=unit), a[:16], b)
    work = lambda: cm.matmul(a, b, unit=unit, threads=1)
    paired(work, lambda: x @ y, meaning="of sgemm's speed", bar=PLAIN[unit], inverse=True, rounds=7)


@pytest.mark.parametrize("unit", BLOCKS)
def test_matmul_scaled(paired: Any, square: Any, unit: str) -> None:
    x, y = square
    a, b = cm.quantize(x, BLOCKS[unit]), cm.quantize(y, BLOCKS[unit], axis=0)
    check_close(
        cm.matmul(cm.quantize(x[:16], BLOCKS[unit]), b, unit=unit),
        cm.quantize(x[:16], BLOCKS[unit]).dequantize(),
        b.dequantize(),
    )
    paired(
        lambda: cm.matmul(a, b, unit=unit, threads=1),
        lambda: x @ y,
        meaning="of sgemm's speed",
        bar=BLOCK_BARS.get(unit),
        inverse=True,
        rounds=5,
    )
