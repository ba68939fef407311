"""The Pareto set is what brute force finds, and unknown spending keeps a point out of it."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

import chipmeter as cm
from chipmeter.frontier import pareto
from chipmeter.frontier.interval import interval

coordinate = st.one_of(st.integers(0, 5).map(float), st.floats(-1e6, 1e6))


def beaten(p: tuple[float, float], by: tuple[float, float]) -> bool:
    return by[0] <= p[0] and by[1] <= p[1] and by != p


@given(st.lists(st.tuples(coordinate, coordinate), max_size=30))
def test_no_kept_point_is_beaten_and_every_other_is(points: list[tuple[float, float]]) -> None:
    kept = set(pareto(points))
    for i, p in enumerate(points):
        assert (i in kept) == (not any(beaten(p, q) for q in points))


@given(st.dictionaries(st.text(max_size=3), st.floats(-20, 80), min_size=1, max_size=20))
def test_intervals_hold_the_estimate_and_do_not_depend_on_the_run(layers: dict[str, float]) -> None:
    low, high = interval(layers)
    assert min(layers.values()) - 1e-6 <= low <= high <= max(layers.values()) + 1e-6
    assert interval(layers) == (low, high)


def test_an_exact_layer_alone_is_exact() -> None:
    assert interval({"a": math.inf}) == (math.inf, math.inf)


def test_points_without_a_price_are_no_bargain() -> None:
    f = cm.frontier("gpt2", chips=["h100", "trn3"], formats=["bf16", "mxfp8", "fp8"], layers=1)
    assert {p.chip.id for p in f.points} == {"h100_sxm", "trn3"}
    assert {p.chip.id for p in f.best("dollars")} == {"h100_sxm"}
    assert any(p.chip.id == "trn3" for p in f.points if p.spends("dollars") is None)
    for axis in ("dollars", "seconds", "joules"):
        best = f.best(axis)
        spends = [p.spends(axis) or 0.0 for p in best]
        assert spends == sorted(spends, reverse=True)
        assert [p.error.sqnr for p in best] == sorted((p.error.sqnr for p in best), reverse=True)
