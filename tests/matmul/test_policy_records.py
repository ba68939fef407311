"""Policies contradict no unit: records refuse orders their types cannot run, and say which ones they can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.matmul import Chain, unit, units

BF16, FP32, MX = unit("trn2/bf16"), unit("trn1/fp32"), unit("trn3/mxfp8")


@pytest.mark.parametrize(("build", "message"), [
    (lambda: Chain("random"), "order must be one of sequential, pairwise"),  # type: ignore[arg-type]
    (lambda: Chain("bf16-products"), "needs a positive tile"), (lambda: Chain(lanes=3), "1, 2 or 4 pairs at once, got lanes=3"),
    (lambda: replace(BF16, model=Chain("element-sums", 128)), "element-sums needs lanes of 2 or 4"),
    (lambda: replace(FP32, model=Chain("truncated", 128)), "truncated takes operands of at most 11 bits"),
    (lambda: replace(BF16, model=Chain("group-scaled", 128)), "group-scaled needs block scales"),
    (lambda: replace(MX, model=Chain("group-scaled", 48)), "whose block divides the tile"),
    (lambda: replace(BF16, model=Chain("four-pass", 128)), "four-pass takes f32 operands"),
    (lambda: replace(unit("cpu/fp64"), model=Chain("bf16-products", 8)), "a policy order accumulates in f32"),
    (lambda: BF16.with_order("four-pass"), "takes the orders sequential, pairwise, f64, truncated, bf16-products, got 'four-pass'"),
    (lambda: unit("h100/bf16").with_order("pairwise"), "is not a policy"),
    (lambda: cm.matmul(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32), unit="cpu/fp32", order="pairwise"), "is not a policy"),
])  # fmt: skip
def test_contradictions_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_every_open_order_can_be_chosen() -> None:
    for u in units().values():
        for order in u.orders:
            chosen = u.with_order(order)
            assert isinstance(chosen.model, Chain)
            assert chosen.model.order == order
            assert chosen.orders == u.orders


def test_what_is_open_says_so() -> None:
    for u in units().values():
        if u.orders:
            assert u.evidence.grade == "assumed"
            assert "not published" in u.evidence.source or "inferred" in u.evidence.source


@pytest.mark.parametrize(("alias", "name"), [
    ("trn1/fp8", "neuroncore-v2/matmul.e4m3ieee.e4m3ieee.f32.f32"), ("trn2/fp8", "neuroncore-v3/matmul-double-row.e4m3ieee.e4m3ieee.f32.f32"),
    ("trn3/fp8", "neuroncore-v4/matmul-double-row.e4m3.e4m3.f32.f32"), ("trn3/fp8-240", "neuroncore-v4/matmul-double-row.e4m3ieee.e4m3ieee.f32.f32"),
    ("trn3/mxfp4", "neuroncore-v4/matmul-mx.e2m1.e2m1.f32.f32"), ("inf2/fp32", "neuroncore-v2/matmul.f32.f32.f32.f32"),
    ("tpu-v6e/bf16", "tpu-mxu-256/matmul.bf16.bf16.f32.f32"), ("cpu/bf16", "ieee/fma.bf16.bf16.f32.f32"),
])  # fmt: skip
def test_names_people_know(alias: str, name: str) -> None:
    assert unit(alias).name == name


def test_legacy_and_ocp_e4m3_do_not_mix() -> None:
    assert not [n for n in units() if "e4m3ieee.e4m3." in n or "e4m3.e4m3ieee." in n]
