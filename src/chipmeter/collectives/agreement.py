"""How far two ways of computing the same collective differ: what one looks at when losses diverge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import AnyArray
from chipmeter.collectives.run import all_reduce, prepare, reduce
from chipmeter.quantize import sqnr


@dataclass(frozen=True)
class Difference:
    """How far two answers of one collective are apart.

    Attributes
    ----------
    max_ulp : int
        The largest distance in codes of the type between two finite results.
    share : float
        Share of the elements whose bits differ.
    sqnr : float
        Signal to difference, in dB; inf where they agree.
    """

    max_ulp: int
    share: float
    sqnr: float


def difference(a: AnyArray, b: AnyArray) -> Difference:
    """Compare two results of one dtype and shape.

    >>> found = difference(np.float32([1, 2]), np.float32([1, 2.0000002]))
    >>> found.max_ulp, found.share
    (1, 0.5)
    """
    if a.dtype != b.dtype or a.shape != b.shape:
        raise ValueError(f"two results must have one dtype and shape, got {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    if a.dtype.kind in "iu":
        distance = np.abs(a.astype(object) - b.astype(object))
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        return Difference(int(distance.max(initial=0)), float(np.mean(a != b)) if a.size else 0.0, _db(wide_a, wide_b))
    x, y = _ordered(a), _ordered(b)
    differs = np.ascontiguousarray(a).view(f"u{a.itemsize}") != np.ascontiguousarray(b).view(f"u{a.itemsize}")
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(wide_a) & np.isfinite(wide_b)
    gap = np.where(x > y, x - y, y - x)[finite]
    share = float(np.mean(differs)) if a.size else 0.0
    return Difference(int(gap.max(initial=0)), share, _db(wide_a[finite], wide_b[finite]))


def _db(a: AnyArray, b: AnyArray) -> float:
    return float(sqnr(a, b)) if a.size and (a != b).any() else float("inf")


def _ordered(x: AnyArray) -> AnyArray:
    """Codes in the order of their values, as unsigned integers: zeros of both signs are one apart from each other at 0."""
    bits = 8 * x.itemsize
    code = np.ascontiguousarray(x).view(f"u{x.itemsize}").astype(np.uint64)
    sign = np.uint64(1 << (bits - 1))
    magnitude = code & (sign - np.uint64(1))
    return np.where(code & sign != 0, sign - magnitude, sign + magnitude)


def reproducibility(
    shards: ArrayLike,
    ways: Sequence[str] | Mapping[str, Mapping[str, Any]],
    *,
    dtype: str | None = None,
    **options: Any,
) -> dict[tuple[str, str], Difference]:
    """Run one all_reduce in several ways and report how far each pair of answers differs.

    Parameters
    ----------
    shards : array_like
        As for `all_reduce`.
    ways : sequence of str, or mapping of str to mapping
        Names of algorithms; or, by a label, arguments of `all_reduce` such as "algorithm" and "nccl", and "ranks": fewer
        ranks, each of which first combines equally many neighbouring shards, in order, with one rounding.
    dtype : str, optional
    **options
        Further arguments of `all_reduce`.

    Returns
    -------
    dict
        By pair of labels, in the order given; the results of rank 0 are compared.

    Raises
    ------
    ValueError
        If fewer than two ways are given, or a number of ranks does not divide that of the shards.

    Examples
    --------
    >>> x = np.float32([[1e8], [1], [-1e8], [1]])
    >>> reproducibility(x, ["rank_order", "ring"])["rank_order", "ring"].share
    1.0
    >>> y = np.float32([[1], [2**-24], [2**-24], [2**-24]])
    >>> reproducibility(y, {"4": {}, "2": {"ranks": 2}})["4", "2"].max_ulp
    1
    """
    named = ways if isinstance(ways, Mapping) else {name: {"algorithm": name} for name in ways}
    if len(named) < 2:
        raise ValueError(f"at least two ways are compared, got {', '.join(named) or 'none'}")
    x = prepare(shards, dtype)
    answers = {label: _answer(x, {**options, **way}) for label, way in named.items()}
    names = list(answers)
    return {(a, b): difference(answers[a], answers[b]) for i, a in enumerate(names) for b in names[i + 1 :]}


def _answer(x: AnyArray, options: dict[str, Any]) -> AnyArray:
    ranks = options.pop("ranks", len(x))
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 2 or len(x) % ranks:
        raise ValueError(f"ranks must be at least 2 and divide the {len(x)} shards, got {ranks!r}")
    if ranks < len(x):
        op, each = options.get("op", "sum"), len(x) // ranks
        x = np.stack([reduce(part, "rank_order", op=op) for part in x.reshape(ranks, each, *x.shape[1:])])
    answer: AnyArray = all_reduce(x, **options)[0]
    return answer
