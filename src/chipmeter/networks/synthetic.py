"""Stand-ins for weights and activations where there is only a config: reproducible, heavy-tailed, and assumed.

Rounding error depends on the tails. Under a block scale a Gaussian flatters a format, since real tensors have more
large values, and activations have whole channels of them. What is assumed here (`EVIDENCE`, grade `assumed`):

- Elements follow Student's t with 5 degrees of freedom, scaled to variance 1/k in a weight of k inputs and to
  variance 1 in activations. Dotzel et al. 2024 (arXiv 2405.03103) find that most weights and activations of language
  models follow Student's t; that 5 stands for them all is our choice.
- A small share of activation channels, the same for every token, is 10 to 20 times larger. Dettmers et al. 2022
  (arXiv 2208.07339) describe such channels in large language models; the share and the range are our choice.

Use real weights where you have them: an error read on these says what such tensors would do, not what a model does.

Each tensor has its own stream, Philox keyed by a hash of seed and name, so that it does not depend on which others
were made, nor in what order. NumPy does not promise the same variates from version to version (NEP 19).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chipmeter.evidence import Evidence

__all__ = ["DEGREES_OF_FREEDOM", "EVIDENCE", "OUTLIER_FACTORS", "OUTLIER_SHARE", "activations", "tensors", "weights"]

DEGREES_OF_FREEDOM: Final = 5.0
OUTLIER_SHARE: Final = 0.005
OUTLIER_FACTORS: Final = (10.0, 20.0)

EVIDENCE: Final = Evidence(
    grade="assumed",
    source="our choice of distribution, after Dotzel et al. 2024 (arXiv 2405.03103) and Dettmers et al. 2022 "
    "(arXiv 2208.07339)",
)

_BLOCK_ELEMENTS = 1 << 20


def weights(name: str, n: int, k: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Make the weight of a linear layer with `k` inputs and `n` outputs.

    Parameters
    ----------
    name : str
        The tensor's name: with `seed`, its stream of random numbers.
    n, k : int
    seed : int

    Returns
    -------
    (n, k) float32
        Student's t with `DEGREES_OF_FREEDOM`, of variance 1/k.

    Raises
    ------
    ValueError
        If a size is negative.

    Examples
    --------
    >>> w = weights("layers.0.up", 64, 16)
    >>> w.shape, w.dtype, bool((w == weights("layers.0.up", 64, 16)).all())
    ((64, 16), dtype('float32'), True)
    """
    _check_sizes(n, k)
    return _student(_generator(name, seed), n, k, 1 / math.sqrt(k) if k else 1.0)


def activations(
    name: str, tokens: int, k: int, *, seed: int = 0, outlier_share: float = OUTLIER_SHARE
) -> NDArray[np.float32]:
    """Make the input of a linear layer: `tokens` rows of `k` channels, a few of which are large throughout.

    Parameters
    ----------
    name : str
        The layer's name: with `seed`, its stream of random numbers.
    tokens, k : int
    seed : int
    outlier_share : float
        Share of the `k` channels, rounded up, that is multiplied by a factor drawn from `OUTLIER_FACTORS`.

    Returns
    -------
    (tokens, k) float32
        Student's t with `DEGREES_OF_FREEDOM`, of variance 1 outside the outlier channels.

    Raises
    ------
    ValueError
        If `outlier_share` is not between 0 and 1, or a size is negative.

    Examples
    --------
    >>> x = activations("layers.0.up", 256, 400)
    >>> int((abs(x).mean(axis=0) > 4).sum())
    2
    """
    if not 0 <= outlier_share <= 1:
        raise ValueError(f"outlier_share is {outlier_share}; accepted is 0 to 1")
    _check_sizes(tokens, k)
    generator = _generator(f"{name}.input", seed)
    outliers = generator.permutation(k)[: math.ceil(outlier_share * k)]
    factors = generator.uniform(*OUTLIER_FACTORS, size=outliers.size).astype(np.float32)
    x = _student(generator, tokens, k, 1.0)
    x[:, outliers] *= factors
    return x


def tensors(shapes: Iterable[tuple[str, tuple[int, ...]]], *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Make all parameters of a network: `weights` for matrices, ones for norms' weights, zeros for biases.

    Parameters
    ----------
    shapes : iterable of (name, shape)
        Of one or two dimensions; `parameter_shapes` of an encoder's config, for one.
    seed : int

    Returns
    -------
    dict of str to float32 array

    Examples
    --------
    >>> made = tensors([("up.weight", (2, 4)), ("norm.weight", (2,)), ("up.bias", (2,))])
    >>> made["norm.weight"], made["up.bias"]
    (array([1., 1.], dtype=float32), array([0., 0.], dtype=float32))
    """
    made: dict[str, NDArray[np.float32]] = {}
    for name, shape in shapes:
        if len(shape) == 2:
            made[name] = weights(name, *shape, seed=seed)
        elif len(shape) == 1:
            made[name] = np.full(shape, name.endswith("weight"), np.float32)
        else:
            raise ValueError(f"tensor {name!r}: shape {shape}; one or two dimensions are accepted")
    return made


def _check_sizes(rows: int, columns: int) -> None:
    if rows < 0 or columns < 0:
        raise ValueError(f"shape ({rows}, {columns}); sizes of 0 and above are accepted")


def _generator(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def _student(generator: np.random.Generator, rows: int, columns: int, deviation: float) -> NDArray[np.float32]:
    """Draw Student's t of standard deviation `deviation`, in blocks: the generator's float64 would take the double."""
    drawn = np.empty(rows * columns, np.float32)
    scale = deviation / math.sqrt(DEGREES_OF_FREEDOM / (DEGREES_OF_FREEDOM - 2))
    for start in range(0, drawn.size, _BLOCK_ELEMENTS):
        block = drawn[start : start + _BLOCK_ELEMENTS]
        block[:] = generator.standard_t(DEGREES_OF_FREEDOM, block.size) * scale
    return drawn.reshape(rows, columns)
