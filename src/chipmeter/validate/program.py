"""Fitting and predicting whole programs from their terms: what training, serving and image generation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.constants import NEW, Constants, group_levels, log_bounds
from chipmeter.cost.fitting import Array, conformal, held_out_errors
from chipmeter.cost.terms import Terms, evaluate, fit_terms
from chipmeter.validate.summary import summary

Mask = NDArray[np.bool_]
Priors = Mapping[str, tuple[float, float]]

LEAST_IN_GROUP = 15

ALONE, FOLDS = 16, 6
"""Models that are each left out alone, and the folds that more are dealt to: two left out together may miss less than one."""


def fit_program(
    terms: Terms,
    measured: Array,
    priors: Priors,
    *,
    models: Sequence[str],
    chips: Sequence[str],
    groups: Sequence[str],
    source: str,
    factor_spread: float = 0.1,
    scale: float = 0.06,
    runs: Sequence[str] = (),
) -> Constants:
    """Fit the weights and factors of a program, and the intervals by group.

    A group's interval comes from rows left out at random; that of unseen models from whole models left out, taken to
    miss on either side alike. How one model of a group misses says little of others: there the interval of unseen
    models is no narrower than over all groups.

    Parameters
    ----------
    terms : Terms
    measured : ndarray, (rows,)
    priors : mapping of str to (start, spread)
    models, chips, groups : sequence of str, (rows,)
    source : str
    runs : sequence of str, (rows,)
        The software of each row on its chip, where several were measured.
    """

    def refit(rows: Mask) -> Callable[[Mask], Array]:
        part = fit_terms(terms.take(rows), measured[rows], priors, factor_spread=factor_spread, scale=scale)
        return lambda test: evaluate(part, terms.take(test))

    values = fit_terms(terms, measured, priors, factor_spread=factor_spread, scale=scale)
    errors = np.log(measured / evaluate(values, terms))
    random = held_out_errors(refit, measured)
    apart = random.copy()
    order = {name: number for number, name in enumerate(sorted(set(models)))}
    folds = len(order) if len(order) <= ALONE else FOLDS
    fold = np.array([order[name] % folds for name in models])
    for number in sorted(set(fold.tolist())):
        test = fold == number
        if not test.all():
            apart[test] = np.log(measured[test] / refit(~test)(test))
    whole = apart if len(order) > 1 else random * 1.5
    bounds = {NEW: conformal(np.concatenate([whole, -whole]))}
    for name in sorted({level for group in groups for level in group_levels(group)}):
        here = np.array([name in group_levels(group) for group in groups])
        if here.sum() >= LEAST_IN_GROUP:
            bounds[name] = conformal(random[here])
            unseen = conformal(np.concatenate([apart[here], -apart[here]]))
            if len({model for model, inside in zip(models, here, strict=True) if inside}) == 1:
                unseen = min(unseen[0], bounds[NEW][0]), max(unseen[1], bounds[NEW][1])
            bounds[f"{NEW} {name}"] = unseen
    known = (*sorted(set(models)), *sorted(set(chips)), *sorted(set(runs)))
    return msgspec.structs.replace(summary(values, errors, random, source), groups=bounds, known=known)


def predict_program(
    found: Constants, terms: Terms, models: Sequence[str], chips: Sequence[str], groups: Sequence[str],
    runs: Sequence[str] | None = None,
) -> tuple[Array, Array, Array, NDArray[np.bool_]]:  # fmt: skip
    """Predict with fitted constants: expected, low, high, and whether model, chip or software on the chip were never seen."""
    expected = evaluate(found.values, terms)
    known = set(found.known)
    seen = np.array([{chip, run} <= known for chip, run in zip(chips, runs or chips, strict=True)])
    outside = ~seen | np.array([model not in known for model in models])
    bounds = np.array(
        [log_bounds(found, g, model=m in known, chip=bool(c)) for m, c, g in zip(models, seen, groups, strict=True)]
    )
    return expected, np.maximum(expected * np.exp(bounds[:, 0]), terms.floor), expected * np.exp(bounds[:, 1]), outside
