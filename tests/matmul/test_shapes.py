"""Shape, layout, batch, blocking, threads and the output's place never change a bit of a product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Unit, units
from chipmeter.matmul.operands import operand_dtype

Array = np.ndarray[Any, Any]
NAMES = [
    "hopper/wgmma.f16.f16.f32.f32", "hopper/wgmma.f16.f16.f16.f16", "hopper/wgmma.e4m3.e4m3.f32.f32", "ampere/mma.tf32.tf32.f32.f32",
    "hopper/mma.e5m2.e4m3.f32.f32", "blackwell/tcgen05-mx.e4m3.e2m1.f32.f32", "blackwell/tcgen05-nvf4.e2m1.e2m1.f32.f32",
    "hopper/mma.f64.f64.f64.f64", "neuroncore-v3/matmul.bf16.bf16.f32.f32", "neuroncore-v4/matmul-mx.e5m2.e4m3.f32.f32",
    "ampere/mma.s8.u8.s32.s32", "ampere/mma-satfinite.s8.s8.s32.s32",
]  # fmt: skip
RAGGED = [1, 3, 4, 5, 15, 16, 17, 33]
Draw = Callable[..., tuple[Array, Array, Array, dict[str, Array]]]


def bits(x: Array) -> Array:
    return np.asarray(x).view(f"u{x.dtype.itemsize}")


@pytest.fixture(params=NAMES)
def unit(request: pytest.FixtureRequest) -> Unit:
    """Each representative unit in turn."""
    return units()[request.param]


def test_every_output_is_that_of_its_row_and_column(unit: Any, draw: Draw, tier: str) -> None:
    # M and N never matter (probed on devices by the authors of MMA-Sim): cut a product out of a larger one
    a, b, c, scales = draw(unit, 33, 49, 40)
    whole = bits(cm.matmul(a, b, c, unit=unit, **scales))
    bare = bits(cm.matmul(a, b, unit=unit, **scales))
    for m in RAGGED:
        for n in RAGGED:
            i, j = (33 - m) // 2, (49 - n) // 3
            rows, columns = slice(i, i + m), slice(j, j + n)
            part = {"scale_a": scales["scale_a"][rows], "scale_b": scales["scale_b"][:, columns]} if scales else {}
            got = cm.matmul(a[rows], b[:, columns], c[rows, columns], unit=unit, **part)
            np.testing.assert_array_equal(bits(got), whole[rows, columns])
            np.testing.assert_array_equal(
                bits(cm.matmul(a[rows], b[:, columns], unit=unit, **part)), bare[rows, columns]
            )


@pytest.mark.parametrize("k", [*RAGGED, 31, 32, 63, 64, 65, 129])
def test_ragged_depth_is_padded_with_zeros(unit: Any, k: int, draw: Draw, tier: str) -> None:
    a, b, c, scales = draw(unit, 5, 18, k)
    more = max(unit.k, unit.scale_block or 1)
    padded = -(-k // more) * more
    wide_a, wide_b = np.zeros((5, padded), a.dtype), np.zeros((padded, 18), b.dtype)
    wide_a[:, :k], wide_b[:k] = a, b
    wide = {}
    if scales:
        one, count = {"ue8m0": 0x7F, "ue4m3": 0x38}[unit.scale], padded // unit.scale_block
        wide = {"scale_a": np.full((5, count), one, np.uint8), "scale_b": np.full((count, 18), one, np.uint8)}
        wide["scale_a"][:, : scales["scale_a"].shape[1]] = scales["scale_a"]
        wide["scale_b"][: len(scales["scale_b"])] = scales["scale_b"]
    got = cm.matmul(a, b, c, unit=unit, **scales)
    np.testing.assert_array_equal(bits(got), bits(cm.matmul(wide_a, wide_b, c, unit=unit, **wide)))


def test_layout_does_not_matter(unit: Any, draw: Draw, tier: str) -> None:
    a, b, c, scales = draw(unit, 12, 35, 50)
    want = bits(cm.matmul(a, b, c, unit=unit, **scales))
    for arrange in (
        np.asfortranarray,
        lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    ):
        there = {name: arrange(s) for name, s in scales.items()}
        np.testing.assert_array_equal(bits(cm.matmul(arrange(a), arrange(b), arrange(c), unit=unit, **there)), want)
    copies = [a.copy(), b.copy(), c.copy()]
    cm.matmul(*copies, unit=unit, **scales)
    for copy, original in zip(copies, (a, b, c), strict=True):
        np.testing.assert_array_equal(bits(copy), bits(original))


def test_batches_broadcast_as_in_numpy(unit: Any, draw: Draw) -> None:
    drawn = [draw(unit, 5, 6, 33, seed) for seed in range(6)]
    a, b, c = (np.stack([d[i] for d in drawn]) for i in range(3))
    scales = {s: np.stack([d[3][s] for d in drawn]) for s in drawn[0][3]}
    singles = np.stack([cm.matmul(d[0], d[1], d[2], unit=unit, **d[3]) for d in drawn])
    np.testing.assert_array_equal(bits(cm.matmul(a, b, c, unit=unit, **scales)), bits(singles))
    folded = {s: v.reshape(2, 3, *v.shape[1:]) for s, v in scales.items()}
    got = cm.matmul(a.reshape(2, 3, 5, 33), b.reshape(2, 3, 33, 6), c.reshape(2, 3, 5, 6), unit=unit, **folded)
    np.testing.assert_array_equal(bits(got), bits(singles).reshape(2, 3, 5, 6))
    # one B for all, then one A for all, then an outer product of batches
    shared = {"scale_a": scales["scale_a"], "scale_b": scales["scale_b"][0]} if scales else {}
    got = cm.matmul(a, b[0], unit=unit, **shared)
    for i in range(6):
        one = {"scale_a": scales["scale_a"][i], "scale_b": scales["scale_b"][0]} if scales else {}
        np.testing.assert_array_equal(bits(got[i]), bits(cm.matmul(a[i], b[0], unit=unit, **one)))
    outer = {"scale_a": scales["scale_a"][:2, None], "scale_b": scales["scale_b"][:3]} if scales else {}
    got = cm.matmul(a[:2, None], b[:3], unit=unit, **outer)
    assert got.shape == (2, 3, 5, 6)
    for i in range(2):
        for j in range(3):
            one = {"scale_a": scales["scale_a"][i], "scale_b": scales["scale_b"][j]} if scales else {}
            np.testing.assert_array_equal(bits(got[i, j]), bits(cm.matmul(a[i], b[j], unit=unit, **one)))


def test_zero_strides_of_broadcast_operands(unit: Any, draw: Draw) -> None:
    a, b, c, scales = draw(unit, 4, 5, 32)
    rows = np.broadcast_to(a[:1], (4, 32))
    there = {**scales, "scale_a": np.broadcast_to(scales["scale_a"][:1], scales["scale_a"].shape)} if scales else {}
    got = bits(cm.matmul(rows, b, np.broadcast_to(c[:1], (4, 5)), unit=unit, **there))
    assert (got == got[0]).all()


def test_empty_batches_are_empty(draw: Draw) -> None:
    a, b = np.zeros((0, 3, 4), np.float16), np.zeros((4, 5), np.float16)
    with pytest.raises(ValueError, match="at least one element on every axis"):
        cm.matmul(a, b, unit="h100/fp16")


def test_threads_do_not_matter(unit: Any, tier: str) -> None:
    rng = np.random.default_rng(3)
    m, n, k = 96, 160, 256
    if unit.a in ("s8", "u8"):
        a, b = (
            rng.integers(0, 128, (m, k)).astype(operand_dtype(unit.a)),
            rng.integers(0, 128, (k, n)).astype(operand_dtype(unit.b)),
        )
    else:
        a, b = (
            rng.standard_normal((m, k)).astype(operand_dtype(unit.a)),
            rng.standard_normal((k, n)).astype(operand_dtype(unit.b)),
        )
    scales = {}
    if unit.scale:
        count = k // unit.scale_block
        one = {"ue8m0": 0x7F, "ue4m3": 0x38}[unit.scale]
        scales = {
            "scale_a": rng.integers(one - 3, one + 3, (m, count), np.uint8),
            "scale_b": rng.integers(one - 3, one + 3, (count, n), np.uint8),
        }
    one_thread = bits(cm.matmul(a, b, unit=unit, threads=1, **scales))
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(bits(cm.matmul(a, b, unit=unit, threads=threads, **scales)), one_thread)


def test_chaining_products_is_one_product(draw: Draw) -> None:
    # a GEMM is a chain of instructions: cutting K at whole instructions and passing C along changes nothing
    for name in (
        "hopper/wgmma.bf16.bf16.f32.f32",
        "hopper/wgmma.e4m3.e4m3.f32.f32",
        "ampere/mma.f16.f16.f16.f16",
        "hopper/mma.f64.f64.f64.f64",
    ):
        unit = units()[name]
        a, b, c, _ = draw(unit, 8, 17, 4 * unit.k)
        total = c
        for k in range(0, 4 * unit.k, unit.k):
            total = cm.matmul(a[:, k : k + unit.k], b[k : k + unit.k], total, unit=unit)
        np.testing.assert_array_equal(bits(total), bits(cm.matmul(a, b, c, unit=unit)))


def test_out_is_filled_and_returned(unit: Any, draw: Draw) -> None:
    a, b, c, scales = draw(unit, 4, 5, 40)
    want = cm.matmul(a, b, c, unit=unit, **scales)
    out = np.ones_like(want)
    assert cm.matmul(a, b, c, unit=unit, out=out, **scales) is out
    np.testing.assert_array_equal(bits(out), bits(want))
