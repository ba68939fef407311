"""Numeric error of a model under a matrix unit, by layer and pooled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NumericError:
    """Error against exact arithmetic.

    Attributes
    ----------
    sqnr : float
        Decibels, over all outputs of all layers measured: 10 log10 of signal power over error power, each layer's
        signal scaled to power 1.
    worst_sqnr : float
        Decibels of the layer with the largest error.
    worst_layer : str
    cosine : float or None
        Mean cosine similarity of the final embeddings with those of the float32 network; None where the network is
        not run.
    worst_cosine : float or None
    layers : dict of str to float
        Decibels by layer.
    """

    sqnr: float
    worst_sqnr: float
    worst_layer: str
    cosine: float | None
    worst_cosine: float | None
    layers: dict[str, float]


def summarise(layers: dict[str, float], cosines: np.ndarray | None = None) -> NumericError:
    """Pool layers' decibels by error power.

    >>> summarise({"a": 20.0, "b": 40.0}).worst_layer
    'a'
    """
    power = np.asarray([10 ** (-db / 10) for db in layers.values()])
    pooled = float("inf") if not power.any() else float(-10 * np.log10(power.mean()))
    worst = min(layers, key=lambda name: layers[name] if layers[name] == layers[name] else -np.inf)
    mean, least = (None, None) if cosines is None else (float(cosines.mean()), float(cosines.min()))
    return NumericError(pooled, layers[worst], worst, mean, least, layers)
