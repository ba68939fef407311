"""The error bound of every model holds: for ordinary, wide, tiny, cancelling and subnormal operands."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipmeter.analysis import bound, exact_product
from chipmeter.analysis.exact import factors, plus
from chipmeter.identification.vectors import Batch, batches
from chipmeter.matmul import Order, Unit, matmul, unit, units


def distinct() -> list[Unit]:
    """One unit of each model, operand type (b as a) and accumulator."""
    found = {(u.model, u.a, u.c, u.d, u.scale, u.scale_block): u for u in units().values() if u.a == u.b}
    return list(found.values())


def worst(one: Unit, batch: Batch) -> float:
    """Largest error over bound, of outputs that did not overflow."""
    a, b, c, scales = batch.a, batch.b, batch.c, batch.scales
    if scales is not None:
        nan = 0xFF if one.scale == "ue8m0" else 0x7F
        scales = tuple(np.where(s & (0xFF if nan == 0xFF else 0x7F) == nan, 1, s).astype(np.uint8) for s in scales)  # type: ignore[assignment]
        assert scales is not None
    sa, sb = (None, None) if scales is None else scales
    if c is not None:  # finite, and no integer so near a limit that a partial sum would reach it
        c = np.where(np.isfinite(c), c, 0).astype(c.dtype) if one.d != "s32" else c % 1000
    x, y = factors(a, b, scales, one)
    z = None if c is None else c.astype(np.float64)
    limit = bound(a, b, c, one, scales)
    assert limit is not None
    high, low = exact_product(x, y, z)
    d = matmul(a, b, c, unit=one, scale_a=sa, scale_b=sb).astype(np.float64)
    good = np.isfinite(d) & (np.abs(high) < (2.0**31 if one.d == "s32" else np.inf))
    with np.errstate(invalid="ignore"):
        error = np.where(good, np.abs(plus((-high, -low), d)[0]), 0.0)
    assert not error[limit == 0].any()
    return float(np.max(np.divide(error, limit, out=np.zeros_like(error), where=limit > 0)))


@pytest.mark.parametrize("one", distinct(), ids=lambda u: u.name)
def test_no_error_exceeds_the_bound(one: Unit) -> None:
    used = []
    for batch in batches((one.a, one.b, one.c, one.d), True, one.scale, one.scale_block, 32):
        left_out = ("special", "high", "wide", "low") if one.d == "f64" else ("special", "high")
        if batch.name.startswith(left_out) or batch.c is None or batch.a.shape[1] > 128:
            continue
        if batch.a.shape[1] == 128 and batch.name.startswith(("near", "wide", "low", "powers")):
            continue
        used.append(worst(one, batch))
    assert len(used) >= 3
    assert max(used) <= 1
    assert one.d == "s32" or max(used) > 0.001  # a bound, not a blanket


@cache
def planned(one: Unit) -> list[Batch]:
    """Products of a unit's types."""
    return list(batches((one.a, one.b, one.c, one.d), True, one.scale, one.scale_block, 32))


@given(
    seed=st.integers(0, 2**32),
    mode=st.integers(0, 3),
    name=st.sampled_from(["a100/bf16", "h100/fp8", "v100/fp16", "b200/nvfp4"]),
)
def test_the_bound_holds_for_drawn_scales_of_operands(seed: int, mode: int, name: str) -> None:
    one = unit(name)
    rng = np.random.default_rng(seed)
    plan = planned(one)[4 * mode]
    order_a, order_b = rng.permutation(plan.a.shape[0]), rng.permutation(plan.b.shape[1])
    c = None
    if plan.c is not None:
        with np.errstate(all="ignore"):
            c = (plan.c * np.float32(2.0 ** rng.integers(-40, 40))).astype(plan.c.dtype)
    scales = None if plan.scales is None else (plan.scales[0][order_a], plan.scales[1][:, order_b])
    assert worst(one, Batch(plan.name, plan.a[order_a], plan.b[:, order_b], c, scales)) <= 1


@pytest.mark.parametrize("order", ["sequential", "pairwise", "f64"])
def test_the_bound_holds_for_every_policy(order: Order) -> None:
    one = unit("trn2/bf16").with_order(order)
    for batch in batches((one.a, one.b, one.c, one.d), True, None, 0, 32):
        if batch.name.startswith(("near", "cancel", "middle")):
            assert worst(one, batch) <= 1
