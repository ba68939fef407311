"""Scores follow their definitions on numbers worked out by hand, and calibration finds constants that made the data."""

import numpy as np
import pytest

from chipmeter.cost.fitting import conformal, held_out_errors
from chipmeter.validate.score import Answers, null_model, score


def answers(**changes: object) -> Answers:
    base = Answers(
        table="t", measured=np.array([1.0, 2.0, 4.0]), expected=np.array([1.1, 1.8, 4.0]),
        low=np.array([0.9, 1.0, 5.0]), high=np.array([1.2, 1.9, 6.0]), outside=np.array([True, False, False]),
        slices=["a", "a", "b"], work=np.array([1.0, 1.0, 2.0]), chips=["x", "x", "x"], models=["m", "n", "o"],
        lines=np.arange(3),
    )  # fmt: skip
    return base._replace(**changes)  # type: ignore[arg-type]


def test_errors_bias_and_coverage() -> None:
    found = score(answers())
    assert (found.n, found.coverage) == (3, 1.0)
    assert found.median_abs_error == pytest.approx(0.1)
    assert found.mean_abs_error == pytest.approx(0.2 / 3)
    assert found.bias == pytest.approx(0.0)
    assert found.interval_coverage == pytest.approx(1 / 3)
    assert found.outside == pytest.approx(1 / 3)
    assert [(part.name, part.n) for part in found.slices] == [("a", 2), ("b", 1)]


def test_a_row_without_a_prediction_counts_against_coverage() -> None:
    assert score(answers(expected=np.array([np.nan, 2.0, 4.0]))).coverage == pytest.approx(2 / 3)


def test_the_null_model_never_sees_the_rows_own_model() -> None:
    # Rates are 1, 1/2, 1/2; the first row is predicted from the other two.
    assert null_model(answers()).tolist() == pytest.approx([2.0, 1 / 0.75, 2 / 0.75])


def test_conformal_bounds_hold_the_share_asked_for() -> None:
    errors = np.random.default_rng(1).standard_normal(4000)
    low, high = conformal(errors)
    assert 0.89 < np.mean((errors >= low) & (errors <= high)) < 0.92
    assert conformal(np.array([0.01])) == (-0.1, 0.1)


def test_held_out_errors_come_from_rows_left_out() -> None:
    measured = np.arange(1.0, 9.0)
    seen: list[int] = []

    def refit(rows: np.ndarray) -> object:
        seen.append(int(rows.sum()))
        return lambda test: measured[test]

    assert held_out_errors(refit, measured).tolist() == [0.0] * 8  # type: ignore[arg-type]
    assert seen == [6, 6, 6, 6]


def test_two_measurements_of_one_configuration_are_no_pair() -> None:
    swapped = answers(expected=np.array([2.0, 1.0, 4.0]), slices=["a", "a", "a"])
    assert score(swapped).pairs_right == pytest.approx(2 / 3)
    assert score(swapped._replace(configurations=["k", "k", "l"])).pairs_right == 1.0
