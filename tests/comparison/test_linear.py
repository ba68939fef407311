"""An emulated linear layer is quantise, multiply with the unit's bits, add the bias; nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.chips import chips
from chipmeter.comparison.linear import RECIPE_OF_OPERAND, EmulatedLinear
from chipmeter.matmul import aliases, unit
from chipmeter.quantize import RECIPES

rng = np.random.default_rng(5)
X = rng.standard_normal((5, 96)).astype(np.float32)
W = rng.standard_normal((7, 96)).astype(np.float32)
BIAS = rng.standard_normal(7).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("h100/bf16", "bfloat16"),
        ("a100/tf32", "tf32"),
        ("h100/fp8", "fp8-row"),
        ("trn2/fp8", "fp8-240-row"),
        ("b200/mxfp8", "mxfp8-roundup"),
        ("b200/mxfp4", "mxfp4-roundup"),
        ("b200/nvfp4", "nvfp4"),
        ("a100/int8", "int8-row"),
        ("trn3/mxfp4", "mxfp4-roundup"),
    ],
)
def test_recipe_follows_from_operand_and_scale_types(name: str, recipe: str) -> None:
    assert EmulatedLinear(unit(name)).recipe == recipe


def test_cast_operands_give_the_units_product_plus_bias() -> None:
    want = cm.matmul(cm.cast(X, "bf16"), cm.cast(W.T, "bf16"), unit="a100/bf16") + BIAS
    got = EmulatedLinear(unit("a100/bf16"))(X, W, BIAS, "layer")
    assert got.dtype == np.float32
    assert got.tobytes() == want.tobytes()


def test_row_scales_multiply_the_accumulator_once() -> None:
    a, b = cm.quantize(X, "fp8-row"), cm.quantize(np.ascontiguousarray(W.T), "fp8-row", axis=0)
    raw = cm.matmul(a.codes, b.codes, unit="h100/fp8")
    want = raw * (a.scales * b.scales)
    assert EmulatedLinear(unit("h100/fp8"))(X, W, None, "layer").tobytes() == want.tobytes()


def test_integers_are_rescaled_in_float32() -> None:
    a, b = cm.quantize(X, "int8-row"), cm.quantize(np.ascontiguousarray(W.T), "int8-row", axis=0)
    exact = a.codes.astype(np.int64) @ b.codes.astype(np.int64)
    want = exact.astype(np.float32) * (a.scales * b.scales)
    assert EmulatedLinear(unit("a100/int8"))(X, W, None, "layer").tobytes() == want.tobytes()


def test_float32_on_a_cpu_rounds_every_step() -> None:
    got = EmulatedLinear(unit("cpu/fp32"))(X, W, None, "layer")
    assert got.tobytes() == cm.matmul(X, np.ascontiguousarray(W.T), unit="cpu/fp32").tobytes()


def test_every_recipe_exists_and_every_chips_unit_is_known_or_absent() -> None:
    assert set(RECIPE_OF_OPERAND.values()) <= set(RECIPES)
    for chip in chips():
        for name in chip.units.values():
            if name in aliases():
                assert EmulatedLinear(unit(name)).recipe
