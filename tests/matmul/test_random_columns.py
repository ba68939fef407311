"""Columns of random shape - order, tile, lanes, depth, operands - equal their reference on every tier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.evidence import Evidence
from chipmeter.matmul import Chain, Unit

Array = np.ndarray[Any, Any]
OWN = Evidence("assumed", "made up by a test")
KINDS = ("bf16", "f16", "tf32", "f32", "e4m3", "e5m2", "e4m3ieee", "e3m4", "e2m3", "e2m1")


@given(
    st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(1, 40), st.sampled_from([1, 2, 4]), st.integers(1, 70),
    st.integers(1, 5), st.integers(1, 34), st.booleans(), st.integers(0, 999), st.data(),
)  # fmt: skip
def test_random_columns(
    draw: Callable[..., tuple[Array, Array, Array, dict[str, Array]]], expected: Callable[..., dict[tuple[int, int], int]],
    a: str, b: str, tile: int, lanes: int, k: int, m: int, n: int, with_c: bool, seed: int, data: st.DataObject,
) -> None:  # fmt: skip
    scaled = a in ("e4m3", "e5m2", "e2m3", "e2m1") and b in ("e4m3", "e5m2", "e2m3", "e2m1") and seed % 2 == 0
    tile = -(-tile // 32) * 32 if scaled else tile
    chain = Chain("sequential", tile, policy=True, lanes=lanes)
    unit = Unit("own/column", a, b, "f32", "f32", 1, chain, OWN, "ue8m0" if scaled else None, 32 if scaled else 0)
    order = data.draw(st.sampled_from(unit.orders))
    x, y, c, scales = draw(replace(unit, name=f"{a}.{b}"), m, n, k, seed)
    at = [(i, (7 * i + seed) % n) for i in range(m)]
    chosen = unit.with_order(order)
    want = expected(chosen, x, y, c if with_c else None, **scales, at=at)
    before = cm.tier()
    try:
        for tier in cm.tiers():
            cm.use_tier(tier)
            got = cm.matmul(x, y, c if with_c else None, unit=unit, order=order, threads=1 + seed % 3, **scales)
            assert {cell: int(got.view(np.uint32)[cell]) for cell in at} == want, (tier, order)
    finally:
        cm.use_tier(before)
