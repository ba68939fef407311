"""Fits of whole programs say how far off models never seen may be, also where a group has rows of one model only."""

import numpy as np

from chipmeter.cost.terms import Terms
from chipmeter.validate.program import fit_program


def test_one_model_of_a_group_says_little_of_others() -> None:
    models = ["slow"] * 30 + ["fast"] * 30 + ["middle"] * 30
    work = np.tile(np.linspace(1.0, 2.0, 30), 3)
    measured = work * np.repeat([4.0, 1.0, 2.0], 30)
    found = fit_program(
        Terms({"work": work}, {}, np.zeros(90)), measured, {"work": (2.0, 3.0)}, models=models, chips=["one"] * 90,
        groups=["many"] * 60 + ["lone"] * 30, source="made up",
    )  # fmt: skip
    assert found.groups["new lone"] == found.groups["new"]
    assert found.groups["new lone"][1] > np.log(2.0) * 0.9
