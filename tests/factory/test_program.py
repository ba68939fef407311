"""The program's plans are the cheapest there are: compared with every plan of small problems, counted out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipmeter.factory.program import HOURS_PER_MONTH, Option, Program, conflicting_limits, shadow_prices, solve


def option(name: str, whole: float, *, own: bool = True, at_most: int = 6, capex: float = 1.0) -> Option:
    return Option(
        name=name, own=own, whole=whole, month=whole / 10, hour=whole / HOURS_PER_MONTH, capex=capex, watts=10.0,
        floor=1.0, at_most=at_most,
    )  # fmt: skip


def program(loads: list[list[float]], options: list[Option], limits: dict[str, float] | None = None) -> Program:
    load = np.array(loads)
    return Program(
        workloads=tuple(f"w{i}" for i in range(len(load))),
        options=tuple(options),
        load=load,
        least=np.ones(load.shape, np.int64),
        hours=np.zeros(len(load)),
        limits=limits or {},
    )


def fits(p: Program, counts: tuple[int, ...]) -> bool:
    """Whether two options of these counts can hold all workloads: the greedy split of a fractional knapsack."""
    (a, b) = counts
    room = float(a)
    rest = 0.0
    by_ratio = sorted(range(len(p.workloads)), key=lambda w: p.load[w, 0] / p.load[w, 1])
    for w in by_ratio:
        share = min(1.0, room / p.load[w, 0])
        room -= share * p.load[w, 0]
        rest += (1 - share) * p.load[w, 1]
    return rest <= b + 1e-9


@settings(max_examples=40)
@given(
    loads=st.lists(st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)), min_size=1, max_size=3),
    costs=st.tuples(st.floats(1, 10), st.floats(1, 10)),
)
def test_no_count_of_systems_is_cheaper(loads: list[tuple[float, float]], costs: tuple[float, float]) -> None:
    p = program([list(row) for row in loads], [option("a", costs[0], at_most=9), option("b", costs[1], at_most=9)])
    found = solve(p)
    plans = [c[0] * costs[0] + c[1] * costs[1] for c in itertools.product(range(10), repeat=2) if fits(p, c)]
    assert found is not None
    assert found.cost == pytest.approx(min(plans), rel=1e-5)
    assert found.share.sum(axis=1) == pytest.approx(1)
    assert ((found.share * p.load).sum(axis=0) <= found.systems + 1e-6).all()


def test_a_workload_stays_where_it_can_run() -> None:
    found = solve(program([[1.0, np.inf], [np.inf, 1.0]], [option("a", 9), option("b", 1)]))
    assert found is not None
    assert found.systems.tolist() == [1, 1]
    assert solve(program([[np.inf, np.inf]], [option("a", 9), option("b", 1)])) is None


def test_several_systems_must_work_together() -> None:
    p = program([[0.5, 0.5]], [option("a", 1), option("b", 3)])
    p.least[0, 0] = 4
    found = solve(p)
    assert found is not None
    assert (found.systems.tolist(), found.cost) == ([0, 1], 3)


def test_rented_training_is_paid_by_the_hour() -> None:
    rented = option("a", 100.0, own=False)
    p = program([[2.5]], [rented])
    p.hours[0] = 10.0
    found = solve(p)
    assert found is not None
    assert found.cost == pytest.approx(2.5 * 10 * rented.hour)
    assert found.systems.tolist() == [0]


def test_limits_bind_and_have_a_price() -> None:
    cheap, dear = option("cheap", 1, capex=5.0), option("dear", 2, capex=1.0)
    free, bound = program([[3.0, 3.0]], [cheap, dear]), program([[3.0, 3.0]], [cheap, dear], {"capex": 7.0})
    a, b = solve(free), solve(bound)
    assert a is not None
    assert b is not None
    assert (a.systems.tolist(), b.systems.tolist()) == ([3, 0], [1, 2])
    marginal = shadow_prices(bound)
    assert marginal is not None
    assert marginal[0]["capex"] == pytest.approx(
        0.25
    )  # a dollar of capital turns a quarter of a system from dear to cheap


def test_conflicts_are_the_fewest_limits_that_cannot_be_kept() -> None:
    options = [option("a", 1)]
    assert conflicting_limits(program([[3.0]], options, {"power": 20.0, "floor": 9.0, "capex": 9.0})) == ("power",)
    assert conflicting_limits(program([[9.0]], options, {"power": 200.0})) == ()
    trade = [option("hot", 1, capex=1.0), option("dear", 1, capex=9.0)]
    hot = Option(**{**trade[0].__dict__, "watts": 90.0})
    both = program([[2.0, 2.0]], [hot, trade[1]], {"floor": 50.0, "power": 100.0, "capex": 9.0})
    assert conflicting_limits(both) == ("power", "capex")
