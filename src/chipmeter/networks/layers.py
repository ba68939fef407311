"""The steps of an encoder between its linears, in float32: what accelerators leave to vector units.

Rounding: NumPy's float32, in NumPy's order. These are not emulated; they are the same for every linear that is
compared, so a difference between two runs comes from the linears alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["attention", "gelu", "layer_norm", "mean_pool", "softmax"]

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
