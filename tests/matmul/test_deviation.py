"""Sensitivity runs every order a unit leaves open and says whether, and by how much, the answer depends on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.matmul import sensitivity, unit


def test_numbers_of_a_known_case() -> None:
    # 1 + 2^-24 + 2^-24: a chain loses both, a tree adds the two first, binary64 keeps all
    a = cm.cast(np.float32([[1, 0, 2.0**-12, 2.0**-12]]), "bfloat16")
    b = cm.cast(np.float32([[1], [0], [2.0**-12], [2.0**-12]]), "bfloat16")
    found = sensitivity(a, b, "trn2/bf16")
    assert found.default == "sequential"
    assert set(found.results) == set(unit("trn2/bf16").orders)
    by_order = {d.order: d for d in found.deviations}
    assert (by_order["pairwise"].differing, by_order["pairwise"].max_ulps) == (1.0, 1)
    assert by_order["pairwise"].max_error == 2.0**-23
    assert by_order["bf16-products"].differing == 0.0
    assert found.depends
    assert found.worst is not None
    assert found.worst.relative_rms == 2.0**-23
    assert "pairwise" in str(found)
    assert "depends on the unpublished order" in str(found)


def test_nothing_left_open() -> None:
    x = np.ones((2, 16), np.float16)
    found = sensitivity(x, x.T, "h100/fp16")
    assert (found.depends, found.worst, found.deviations, found.default) == (False, None, (), None)


def test_exact_products_do_not_depend() -> None:
    x = cm.cast(np.float32([[1, 2], [3, -4]]), "float8_e4m3fn")
    scales = np.full((2, 1), 127, np.uint8)
    found = sensitivity(x, x, "trn3/mxfp8", scale_a=scales, scale_b=scales.T)
    assert len(found.deviations) == 6
    assert not found.depends
    assert "does not depend" in str(found)


def test_nan_and_infinity_are_counted() -> None:
    a, b = np.float32([[np.inf, 1], [np.nan, 1], [1e38, 1]]), np.float32([[1.0], [1]])
    found = sensitivity(a, b, "trn1/fp32")
    by_order = {d.order: d for d in found.deviations}
    assert by_order["pairwise"].differing == 0
    # infinity times a low part of zero is NaN
    assert by_order["four-pass"].differing == pytest.approx(1 / 3)
    assert by_order["four-pass"].max_ulps > 1 << 20


def test_accumulator_and_threads_pass_through(rng: np.random.Generator) -> None:
    a, b = (cm.cast(rng.standard_normal(s, np.float32), "bfloat16") for s in ((40, 300), (300, 40)))
    c = rng.standard_normal((40, 40), np.float32)
    found = sensitivity(a, b, "tpu-v5p/bf16", c, threads=2)
    for order, result in found.results.items():
        np.testing.assert_array_equal(result, cm.matmul(a, b, c, unit="tpu-v5p/bf16", order=order))
    assert all(0 < d.relative_rms < 1e-2 for d in found.deviations)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_distance_counts_the_values_between(x: int, y: int) -> None:
    from chipmeter.matmul.deviation import _deviation

    a, b = (np.array([[v]], np.uint32).view(np.float32) for v in (x, y))
    if np.isnan(a[0, 0]) or np.isnan(b[0, 0]):
        return
    with np.errstate(over="ignore"):
        near = np.nextafter(a, np.float32(np.inf), dtype=np.float32)
    if np.isfinite(near).all():
        assert _deviation("next", a, near).max_ulps == 1
    assert _deviation("self", a, b).max_ulps == _deviation("other", b, a).max_ulps
