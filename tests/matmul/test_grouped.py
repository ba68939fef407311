"""The kernel of e2m1 in scaled groups gives the bits of the general one, and hard lanes leave their neighbours alone."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipmeter import _kernels
from chipmeter.matmul import units
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.units import FusedDot

fused = importlib.import_module("chipmeter.matmul.execute.fused")
Array = np.ndarray[Any, Any]
NAMES = [
    f"blackwell/tcgen05-{kind}.e2m1.e2m1.f32.f32" for kind in ("mxf4", "mxf4-block16", "nvf4")
]  # scales of 32 and 16, ue8m0 and ue4m3


def codes(x: Array) -> Array:
    return x.astype(np.uint8).view(operand_dtype("e2m1"))


def both(name: str, a: Array, b: Array, c: Array | None, scales: list[Array]) -> tuple[Array, Array]:
    """Bits of the product by the kernel of groups and by the general one."""
    unit = units()[name]
    model = unit.model
    assert isinstance(model, FusedDot)
    assert fused.takes_groups(unit, model)
    d = np.empty((a.shape[0], b.shape[1]), np.float32)
    fused.fused(a, b, c, d, unit, model, scales, 1)
    return d.view(np.uint32), fused.general(a, b, c, unit, model, scales, 1).view(np.uint32)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32 - 1))
def test_equals_the_general_kernel(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n, k = int(rng.integers(1, 14)), int(rng.integers(1, 70)), int(rng.choice([1, 16, 31, 64, 130, 200, 520]))
    zeros = rng.choice([0.0, 0.5, 0.95])
    a, b = (codes(np.where(rng.random(shape) < zeros, 8, rng.integers(0, 16, shape))) for shape in ((m, k), (n, k)))
    unit = units()[name]
    low, high = [(0, 256), (0x30, 0x40), (0, 0x7F), (100, 150)][int(rng.integers(4))]
    scales = [rng.integers(low, high, (lines, -(-k // unit.scale_block))).astype(np.uint8) for lines in (m, n)]
    size = np.float32(10.0 ** float(rng.integers(-9, 10)))
    any_bits = rng.integers(0, 2**32, (m, n), dtype=np.uint64).astype(np.uint32).view(np.float32)
    normal = rng.standard_normal((m, n)).astype(np.float32) * size
    c = [None, normal, any_bits, np.full((m, n), -0.0, np.float32)][int(rng.integers(4))]
    for turned in (b.T, np.ascontiguousarray(b.T)):
        got, want = both(name, a, turned, c, scales)
        assert np.array_equal(got, want)


@pytest.mark.parametrize("name", NAMES)
def test_packed_lanes_are_islands(name: str, tier: str) -> None:
    unit = units()[name]
    rng = np.random.default_rng(5)
    m, n, k = 9, 67, 192
    a, b = rng.integers(0, 16, (m, k)), rng.integers(0, 16, (k, n))
    one = 0x38 if unit.scale == "ue4m3" else 0x7F
    scales = [np.full((lines, k // unit.scale_block), one, np.uint8) for lines in (m, n)]
    c = rng.standard_normal((m, n)).astype(np.float32)
    clean, _ = both(name, codes(a), codes(b), c, scales)
    hard = [0, 1, 7, 8, 0x7E, 0x7F, 0x80, 0xFE, 0xFF]
    for where in range(36):
        i, j, extreme = int(rng.integers(m)), int(rng.integers(n)), [7, 15, 0, 8][where % 4]
        x, y, z, s = a.copy(), b.copy(), c.copy(), [t.copy() for t in scales]
        x[i], y[:, j] = extreme, extreme
        s[0][i], s[1][j] = hard[where % 9], hard[(where // 4) % 9]
        z[i, j] = np.array([0x7F800000, 0x7FC00001, 0x00000001, 0x7F7FFFFF], np.uint32).view(np.float32)[where % 4]
        got, want = both(name, codes(x), codes(y), z, s)
        others = np.ones((m, n), bool)
        others[i], others[:, j] = False, False
        assert np.array_equal(got[others], clean[others])
        assert np.array_equal(got, want)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_special_is_left(name: str, tier: str) -> None:
    unit = units()[name]
    rng = np.random.default_rng(6)
    m, n, k = 5, 40, 128
    a, b = codes(rng.integers(0, 16, (m, k))), codes(rng.integers(0, 16, (k, n)))
    count = k // unit.scale_block
    near = (0x20, 0x50) if unit.scale == "ue4m3" else (90, 160)
    scales = [rng.integers(*near, (lines, count)).astype(np.uint8) for lines in (m, n)]
    scales[0][2] = 0xFF  # NaN is decided by flags
    left, left_rows = np.zeros((m, n), np.uint8), np.zeros(m, np.uint8)
    d = np.empty((m, n), np.float32)
    _kernels.grouped(
        a.view(np.uint8), b.view(np.uint8), scales[0], scales[1], unit.scale_block, 3 if unit.scale == "ue4m3" else 0, 35,
        None, d, left, left_rows, 0, m, np.empty(_kernels.grouped_workspace(), np.uint8),
    )  # fmt: skip
    assert not left.any()
    assert not left_rows.any()
    assert (d[2].view(np.uint32) == 0x7FFFFFFF).all()


def test_the_door_checks_what_the_kernel_relies_on() -> None:
    a, b, s, d = np.zeros((2, 16), np.uint8), np.zeros((16, 3), np.uint8), np.zeros((2, 1), np.uint8), np.zeros((2, 3))
    out, left, rows = d.astype(np.float32), d.astype(np.uint8), np.zeros(2, np.uint8)
    room = np.empty(_kernels.grouped_workspace(), np.uint8)
    with pytest.raises(ValueError, match="grouped: scales"):
        _kernels.grouped(a, b, s, s, 16, 0, 35, None, out, left, rows, 0, 2, room)
    with pytest.raises(ValueError, match="grouped: parameters"):
        _kernels.grouped(a, b, s, np.zeros((3, 1), np.uint8), 16, 1, 35, None, out, left, rows, 0, 2, room)
    with pytest.raises(ValueError, match="grouped: left or workspace"):
        _kernels.grouped(a, b, s, np.zeros((3, 1), np.uint8), 16, 0, 35, None, out, left, rows, 0, 2, room[:-1])
