"""Integer products scaled to floats: quantised operands and epilogues round the 32-bit sum once, then as float32 does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Epilogue, Gemm, SplitK

Array = np.ndarray[Any, Any]


def exact(a: Array, b: Array) -> Array:
    return (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)


@pytest.mark.parametrize("recipe", ["int8", "int8-row"])
def test_quantised_operands_bring_their_scales(recipe: str, rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((5, 4100), np.float32), rng.standard_normal((4100, 7), np.float32)
    a, b = cm.quantize(x, recipe), cm.quantize(w, recipe, axis=0)
    d = cm.matmul(a, b, unit="a100/int8")
    want = exact(a.codes, b.codes).astype(np.float32) * (a.scales * b.scales)
    assert d.dtype == np.float32
    assert d.tobytes() == np.broadcast_to(want, d.shape).tobytes()
    out = np.empty_like(d)
    assert cm.matmul(a, b, unit="a100/int8", out=out) is out
    assert out.tobytes() == d.tobytes()
    mixed = cm.matmul(a.codes, b, unit="a100/int8")
    assert mixed.tobytes() == np.asarray(exact(a.codes, b.codes).astype(np.float32) * b.scales, np.float32).tobytes()


@pytest.mark.parametrize("order", [None, SplitK(2)])
def test_an_epilogue_takes_integer_sums(order: SplitK | None, rng: np.random.Generator) -> None:
    # sums beyond 2^24 round to float32, to nearest even, before the scales
    a, b = (rng.integers(100, 128, shape).astype(np.int8) for shape in ((6, 4096), (4096, 9)))
    scale_a, scale_b = rng.random((6, 1)).astype(np.float32), rng.random((1, 9)).astype(np.float32)
    bias = rng.standard_normal(9).astype(np.float32)
    acc = exact(a, b)
    assert (acc > 2**24).all()
    want = acc.astype(np.float32) * (scale_a * scale_b) + bias
    for output in ("f32", "bf16"):
        d = cm.matmul(
            a,
            b,
            unit="h100/int8",
            gemm=Gemm(order, Epilogue(output=output)),
            scale_a=scale_a,
            scale_b=scale_b,
            bias=bias,
        )  # type: ignore[arg-type]
        assert d.tobytes() == (want if output == "f32" else cm.cast(want, "bfloat16")).tobytes()


def test_a_unit_of_another_result_is_refused() -> None:
    a = cm.quantize(np.ones((2, 32), np.float32), "fp8")
    with pytest.raises(
        ValueError, match=r"need a unit with f32 or s32 results, hopper/wgmma.e4m3.e4m3.f16.f16 gives f16"
    ):
        cm.matmul(a, cm.quantize(np.ones((32, 2), np.float32), "fp8"), unit="h100/wgmma.e4m3.f16")
