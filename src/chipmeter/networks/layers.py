"""The steps of a network between its linears, in float32: what accelerators leave to vector units.

Rounding: NumPy's float32, in NumPy's order. These are not emulated; they are the same for every linear that is
compared, so a difference between two runs comes from the linears alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

__all__ = [
    "attention",
    "causal_attention",
    "gelu",
    "layer_norm",
    "mean_pool",
    "rms_norm",
    "rotate",
    "silu",
    "softmax",
]

Float32 = NDArray[np.float32]


def layer_norm(x: Float32, weight: Float32, bias: Float32, eps: float) -> Float32:
    """Normalise each row of x, (tokens, h), to mean 0 and variance 1; scale by `weight` and shift by `bias`, (h,)."""
    centred: Float32 = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    centred *= weight / np.sqrt(variance + np.float32(eps))
    centred += bias
    return centred


def gelu(x: Float32) -> Float32:
    """Apply the exact GELU, x Phi(x), with Phi the normal distribution function; not its tanh approximation.

    >>> print(gelu(np.array([-1, 0, 1, 20], np.float32)).round(4))
    [-0.1587  0.      0.8413 20.    ]
    """
    result: Float32 = x * ndtr(x)
    return result


def softmax(scores: Float32) -> Float32:
    """Turn scores into weights along the last axis, in place; a score of minus infinity gets weight 0."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def attention(query: Float32, key: Float32, value: Float32, mask: NDArray[np.bool_], heads: int) -> Float32:
    """Let each token of a sentence take from that sentence's tokens: softmax(q k' / sqrt(d)) v, head by head.

    Parameters
    ----------
    query, key, value : (tokens, h) float32
        The tokens of all sentences, packed: no padding.
    mask : (sentences, longest) bool
        Which places of the padded batch the tokens fill, in row order.
    heads : int
        Heads of h / heads channels each.

    Returns
    -------
    (tokens, h) float32
    """
    sentences, longest = mask.shape
    depth = query.shape[1] // heads

    def by_head(packed: Float32) -> Float32:
        padded = np.zeros((sentences, longest, heads * depth), np.float32)
        padded[mask] = packed
        return padded.reshape(sentences, longest, heads, depth).transpose(0, 2, 1, 3)

    scores = by_head(query) @ by_head(key).swapaxes(2, 3)
    scores *= np.float32(1 / math.sqrt(depth))
    scores += np.where(mask, np.float32(0), np.float32(-np.inf))[:, None, None, :]
    mixed = softmax(scores) @ by_head(value)
    taken: Float32 = mixed.transpose(0, 2, 1, 3).reshape(sentences, longest, heads * depth)[mask]
    return taken


def mean_pool(hidden: Float32, mask: NDArray[np.bool_]) -> Float32:
    """Average each sentence's tokens and scale the average to length 1.

    Parameters
    ----------
    hidden : (sentences, longest, h) float32
        0 where padded.
    mask : (sentences, longest) bool

    Returns
    -------
    (sentences, h) float32
        Unit rows; a row of zeros stays zero.
    """
    pooled: Float32 = hidden.sum(axis=1) / mask.sum(axis=1, dtype=np.float32)[:, None]
    length = np.sqrt(np.square(pooled).sum(axis=1, keepdims=True))
    pooled /= np.maximum(length, np.float32(1e-12))
    return pooled


def rms_norm(x: Float32, weight: Float32, eps: float) -> Float32:
    """Divide each row of x, (..., h), by the root of its mean square plus `eps`, and scale by `weight`, (h,).

    >>> rms_norm(np.array([[3, -3]], np.float32), np.array([1, 2], np.float32), 1e-12)
    array([[ 1., -2.]], dtype=float32)
    """
    power = np.square(x).mean(axis=-1, keepdims=True)
    normed: Float32 = x * (1 / np.sqrt(power + np.float32(eps)))
    normed *= weight
    return normed


def silu(x: Float32) -> Float32:
    """Apply SiLU, x / (1 + exp(-x)).

    >>> print(silu(np.array([-100, 0, 1, 20], np.float32)).round(4))
    [-0.      0.      0.7311 20.    ]
    """
    result: Float32 = x * expit(x)
    return result


def rotate(x: Float32, cosine: Float32, sine: Float32) -> Float32:
    """Turn channel pairs (i, i + d / 2) of each head by its position's angles.

    Parameters
    ----------
    x : (sequences, length, heads, d) float32
    cosine, sine : (length, d / 2) float32

    Returns
    -------
    (sequences, length, heads, d) float32

    Examples
    --------
    >>> quarter = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    >>> rotate(np.array([[[[3, 5]]]], np.float32), *quarter)
    array([[[[-5.,  3.]]]], dtype=float32)
    """
    first, second = np.split(x, 2, axis=-1)
    c, s = cosine[:, None, :], sine[:, None, :]
    turned: Float32 = np.concatenate((first * c - second * s, second * c + first * s), axis=-1)
    return turned


def causal_attention(query: Float32, key: Float32, value: Float32) -> Float32:
    """Let each token take from those before it and itself: softmax(q k' / sqrt(d)) v, head by head.

    Parameters
    ----------
    query : (sequences, length, heads, d) float32
    key, value : (sequences, length, key heads, d) float32
        Each key head serves heads / key heads queries that follow one another.

    Returns
    -------
    (sequences, length, heads, d) float32
    """
    sequences, length, heads, depth = query.shape
    shared = key.shape[2]
    grouped = query.reshape(sequences, length, shared, heads // shared, depth).transpose(0, 2, 3, 1, 4)
    scores = grouped @ key.transpose(0, 2, 3, 1)[:, :, None]
    scores *= np.float32(1 / math.sqrt(depth))
    scores += np.triu(np.full((length, length), -np.inf, np.float32), 1)
    mixed = softmax(scores) @ value.transpose(0, 2, 1, 3)[:, :, None]
    taken: Float32 = mixed.transpose(0, 3, 1, 2, 4).reshape(query.shape)
    return taken
