"""best_recipe keeps exactly the choices that nobody beats, and the best of them within the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chipmeter as cm
from chipmeter.quantize import RECIPES, best_recipe
from chipmeter.quantize.choose import fits

X = np.random.default_rng(0).standard_normal((4, 70)).astype(np.float32)


def test_the_frontier_is_the_pareto_set() -> None:
    found = best_recipe(X, float("inf"))
    assert {c.recipe.name for c in found.choices} == {n for n, r in RECIPES.items() if fits(r, X.shape)}
    for a in found.choices:
        beaten = any(
            b.bits <= a.bits and b.sqnr >= a.sqnr and (b.bits, b.sqnr) != (a.bits, a.sqnr) for b in found.choices
        )
        first = next(c for c in found.choices if (c.bits, c.sqnr) == (a.bits, a.sqnr)) is a
        assert a.optimal == (first and not beaten)
        q = cm.quantize(X, a.recipe)
        assert a.sqnr == q.sqnr(X)
        assert a.bits == 8 * q.nbytes / X.size
    assert found.best is found.frontier[-1]
    assert [c.sqnr for c in found.frontier] == sorted(c.sqnr for c in found.frontier)


def test_the_budget_holds_or_nothing_is_chosen() -> None:
    for budget in (4.0, 5.0, 8.0, 9.0):
        best = best_recipe(X, budget).best
        assert (best is None) == (budget == 4.0)
        assert best is None or best.bits <= budget


def test_ties_go_to_the_smaller_then_the_first() -> None:
    found = best_recipe(np.zeros((2, 32), np.float32), 9, ["mxfp8", "mxfp8-roundup", "mxfp4-roundup", "mxfp4", "mxfp4"])
    assert found.best is not None
    assert found.best.recipe.name == "mxfp4-roundup"
    assert [c.recipe.name for c in found.frontier] == ["mxfp4-roundup"]
    assert len(found.choices) == 4


def test_nan_is_never_optimal() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    found = best_recipe(x, 9)
    assert found.best is None
    assert found.frontier == ()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, 0), ValueError, "budget_bits must be positive, got 0"),
        ((X, float("nan")), ValueError, "budget_bits must be positive, got nan"),
        ((X, "4"), TypeError, "budget_bits is a number"),
        ((X, 4, []), ValueError, "at least one recipe"),
        ((X, 4, "mxfp4"), TypeError, "put the one in brackets"),
        ((X, 4, ["mxfp5"]), ValueError, "unknown recipe 'mxfp5'"),
        ((np.zeros((2, 3)), 4), TypeError, "float64 would be rounded twice"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        best_recipe(*arguments)
