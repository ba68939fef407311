"""Numeric error of a model under a matrix unit, by layer and pooled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        Mean cosine similarity of the final embeddings (a decoder's final hidden states, token by token) with those of
        the float32 network; None where the network is not run.
    worst_cosine : float or None
    layers : dict of str to float
        Decibels by layer.
    divergence : float or None
        Nats: mean Kullback-Leibler divergence of a decoder's next-token distributions from those of the float32
        network, infinite where they are not finite; None where no decoder is run.
    agreement : float or None
        Share of a decoder's tokens after which the likeliest next token is that of the float32 network.
    """

    sqnr: float
    worst_sqnr: float
    worst_layer: str
    cosine: float | None
    worst_cosine: float | None
    layers: dict[str, float]
    divergence: float | None = None
    agreement: float | None = None


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


def next_token_error(truth: NDArray[np.float32], logits: NDArray[np.float32]) -> tuple[float, float]:
    """Compare next-token distributions, given as scores (tokens, vocabulary), in float64.

    Returns
    -------
    divergence : float
        Nats: the mean over tokens of sum p log(p / q), with p = softmax(truth) and q = softmax(logits); infinite if a
        score in `logits` is not finite.
    agreement : float
        Share of tokens whose largest score is at the same place; a row that is not finite agrees with none.

    Examples
    --------
    >>> even, sure = np.zeros((1, 2), np.float32), np.array([[0, 50]], np.float32)
    >>> next_token_error(even, even), round(next_token_error(sure, even)[0], 6)
    ((0.0, 1.0), 0.693147)
    """
    finite = np.isfinite(logits).all(axis=-1)
    same = (truth.argmax(axis=-1) == logits.argmax(axis=-1)) & finite
    divergence = float("inf")
    if finite.all():
        rows = zip(truth, logits, strict=True)  # one at a time: a vocabulary in float64 is large
        divergence = max(0.0, float(np.mean([_divergence(_log_softmax(p), _log_softmax(q)) for p, q in rows])))
    return divergence, float(same.mean())


def _log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = scores.astype(np.float64) - float(scores.max())
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _divergence(log_p: NDArray[np.float64], log_q: NDArray[np.float64]) -> float:
    return float((np.exp(log_p) * (log_p - log_q)).sum())
