"""How far predictions were from measurements, beside what a constant rate per chip would have given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Answers(NamedTuple):
    """Predictions of one quantity for the rows of one table; all arrays (rows,).

    Attributes
    ----------
    table : str
    measured, expected, low, high : ndarray
        In the same unit; `low` and `high` bound the nominal 90 % interval.
    outside : ndarray of bool
        Outside the range that the constants were fitted on.
    slices : sequence of str
        What each row is grouped by in the report.
    work : ndarray
        What the null model scales by: it predicts ``work / rate`` (``work * rate`` where `is_rate`).
    chips, models : sequence of str
        The null rate is the median over the other models on the same chip and format.
    lines : ndarray of int
        Index of the row in the table.
    is_rate : bool
        Whether the quantity grows with speed, as tokens per second do.
    configurations : sequence of str
        What was run, where rows tell: two measurements of the same are no pair to rank. Empty: all rows differ.
    """

    table: str
    measured: Array
    expected: Array
    low: Array
    high: Array
    outside: NDArray[np.bool_]
    slices: Sequence[str]
    work: Array
    chips: Sequence[str]
    models: Sequence[str]
    lines: NDArray[np.int64]
    is_rate: bool = False
    configurations: Sequence[str] = ()


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of one table or slice; relative, `abs(predicted - measured) / measured`; `bias` is their mean with sign.

    `pairs_right` is the share of pairs of configurations, of one slice and more than `TIE` apart, whose faster one is named
    right.
    """

    name: str
    n: int
    coverage: float
    median_abs_error: float
    mean_abs_error: float
    bias: float
    interval_coverage: float
    outside: float
    null_median_abs_error: float
    null_mean_abs_error: float
    pairs_right: float
    slices: tuple[Score, ...] = ()


def null_model(answers: Answers) -> Array:
    """Predict with a constant rate: the median over the other models on the same chip and format.

    Where a chip has one model only, the median over other chips' rows is all that a constant rate can offer.
    """
    rate = answers.work / answers.measured if not answers.is_rate else answers.measured / answers.work
    chips, models = np.array(answers.chips), np.array(answers.models)
    known: dict[tuple[str, str], float] = {}
    values = np.empty(len(rate))
    for row, key in enumerate(zip(answers.chips, answers.models, strict=True)):
        if key not in known:
            others = (chips == key[0]) & (models != key[1])
            if not others.any():
                others = models != key[1]
            if not others.any():
                others = np.ones(len(rate), dtype=bool)
            known[key] = float(np.median(rate[others]))
        values[row] = known[key]
    return answers.work / values if not answers.is_rate else answers.work * values


TIE = 0.05
"""Relative difference of two measurements below which neither is the faster."""

LARGEST_RANKED = 300
"""Rows of a slice that are compared pairwise; more are thinned out evenly."""


def pairs_right(measured: Array, expected: Array, same: NDArray[np.int64] | None = None) -> tuple[int, int]:
    """Count the pairs that predictions order as the measurements do, and the pairs that differ.

    Rows of one number in `same` measured one configuration and are not compared.

    >>> pairs_right(np.array([1.0, 2.0, 4.0]), np.array([1.0, 5.0, 4.0]))
    (2, 3)
    """
    if len(measured) > LARGEST_RANKED:
        thin = np.linspace(0, len(measured) - 1, LARGEST_RANKED).astype(np.int64)
        measured, expected = measured[thin], expected[thin]
        same = None if same is None else same[thin]
    gap = np.log(measured[:, None] / measured)
    apart = gap > np.log1p(TIE)
    if same is not None:
        apart &= same[:, None] != same
    right = apart & (expected[:, None] > expected)
    return int(right.sum()), int(apart.sum())


def score(answers: Answers) -> Score:
    """Score one table and its slices."""
    null = null_model(answers)
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(answers.slices):
        groups.setdefault(name, []).append(row)
    slices = tuple(_score(name, answers, null, np.array(groups[name])) for name in sorted(groups))
    whole = _score(answers.table, answers, null, np.arange(len(answers.measured)))
    counts = [_pairs(answers, rows) for rows in map(np.array, groups.values())]
    right, compared = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
    whole = msgspec.structs.replace(whole, pairs_right=right / compared if compared else 1.0)
    return msgspec.structs.replace(whole, slices=slices if len(slices) > 1 else ())


def _pairs(answers: Answers, rows: NDArray[np.int64]) -> tuple[int, int]:
    same = np.unique(np.array(answers.configurations), return_inverse=True)[1] if len(answers.configurations) else None
    return pairs_right(answers.measured[rows], answers.expected[rows], None if same is None else same[rows])


def _score(name: str, answers: Answers, null: Array, rows: NDArray[np.int64]) -> Score:
    measured, expected = answers.measured[rows], answers.expected[rows]
    known = np.isfinite(expected)
    signed = (expected - measured)[known] / measured[known]
    inside = (answers.low[rows] <= measured) & (measured <= answers.high[rows])
    missed = np.abs(null[rows] - measured) / measured

    def mean(values: Array | NDArray[np.bool_]) -> float:
        return float(np.mean(values)) if len(values) else 0.0

    right, compared = _pairs(answers, rows)
    return Score(
        name=name,
        pairs_right=right / compared if compared else 1.0,
        n=len(rows),
        coverage=mean(known),
        median_abs_error=float(np.median(np.abs(signed))) if len(signed) else 0.0,
        mean_abs_error=mean(np.abs(signed)),
        bias=mean(signed),
        interval_coverage=mean(inside[known]),
        outside=mean(answers.outside[rows]),
        null_median_abs_error=float(np.median(missed)) if len(missed) else 0.0,
        null_mean_abs_error=mean(missed),
    )
