"""Times of whole programs: a sum of physical parts, each with a fitted weight, times fitted factors of the software."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chipmeter.cost.fitting import Array, Parameter, fit


class Terms(NamedTuple):
    """What a prediction of many rows is made of.

    Attributes
    ----------
    parts : dict of str to ndarray, (rows,)
        Seconds (or bytes, or watts) of each part at full speed.
    factors : dict of str to ndarray, (rows,)
        Exponents: the sum is multiplied by ``value ** exponent`` for each; 1 where something applies and 0 where not.
    floor : ndarray, (rows,)
        What no prediction may fall below.
    """

    parts: dict[str, Array]
    factors: dict[str, Array]
    floor: Array

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Terms:
        """Return some rows."""
        return Terms(
            {name: values[rows] for name, values in self.parts.items()},
            {name: values[rows] for name, values in self.factors.items()},
            self.floor[rows],
        )


def flags(name: str, labels: Sequence[str]) -> dict[str, Array]:
    """Turn a label per row into one factor per label: ``name:label``, empty labels left out.

    >>> flags("engine", ["a", "b", "a", ""])["engine:a"].tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    found = sorted(set(labels) - {""})
    return {f"{name}:{one}": np.array([label == one for label in labels], dtype=np.float64) for one in found}


def evaluate(values: Mapping[str, float], terms: Terms) -> Array:
    """Predict: ``max(floor, sum(weight * part) * product(value ** exponent))``.

    A factor that was never fitted counts as 1; a part that was never fitted is an error.
    """
    total = np.zeros(len(terms.floor))
    for name, part in terms.parts.items():
        total = total + values[name] * part
    log = np.zeros(len(terms.floor))
    for name, exponent in terms.factors.items():
        log = log + np.log(values.get(name, 1.0)) * exponent
    return np.maximum(total * np.exp(log), terms.floor)


def fit_terms(
    terms: Terms,
    measured: Array,
    priors: Mapping[str, tuple[float, float]],
    *,
    factor_spread: float = 0.15,
    scale: float = 0.06,
    weight: float = 0.7,
) -> dict[str, float]:
    """Fit weights and factors; see `chipmeter.cost.fitting.fit`.

    Parameters
    ----------
    terms : Terms
    measured : ndarray, (rows,)
    priors : mapping of str to (start, spread)
        Of every part; factors start at 1 and spread by `factor_spread` unless given here.
    """
    wanted = [Parameter(name, *priors[name]) for name in terms.parts]
    wanted += [Parameter(name, *priors.get(name, (1.0, factor_spread))) for name in terms.factors]
    return fit(wanted, lambda values: evaluate(values, terms), measured, scale=scale, pull=weight)
