"""Explain one element of a collective, and how far two ways of computing the same collective differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chipmeter._arrays import AnyArray, dtype_of
from chipmeter.collectives.algorithms import algorithm
from chipmeter.collectives.plans import Shape
from chipmeter.collectives.run import all_reduce, plan_for
from chipmeter.collectives.schedule import Schedule, Tree
from chipmeter.evidence import Evidence
from chipmeter.quantize import sqnr


@dataclass(frozen=True)
class Explanation:
    """The association that makes one element.

    Attributes
    ----------
    expressions : tuple of str
        One that all ranks share, or one for each rank.
    ranks_identical : bool
        Whether all ranks compute the same association in the same operand order.
    rounding : str
        What happens at each addition.
    chunk : tuple of (int, int)
        Elements that share the association.
    evidence : Evidence or None
        Where the order comes from; None for a schedule without.
    """

    expressions: tuple[str, ...]
    ranks_identical: bool
    rounding: str
    chunk: tuple[int, int]
    evidence: Evidence | None

    def __str__(self) -> str:
        shown = "; ".join(self.expressions[:4])
        grade = "no evidence" if self.evidence is None else f"{self.evidence.grade}: {self.evidence.source}"
        return f"{shown} [{self.rounding}; {grade}]"


def explain(
    how: str | Schedule,
    ranks: int,
    count: int,
    element: int,
    *,
    operation: str = "all_reduce",
    dtype: str = "float32",
    root: int = 0,
    op: str = "sum",
) -> Explanation:
    """Say in which order the contributions to an element are added, how each sum is rounded, and how we know.

    Parameters
    ----------
    how : str or Schedule
    ranks, count, element : int
        Ranks, elements of the vector at each rank, and the element to explain.
    operation, dtype, root, op
        As for `all_reduce`; a dtype is a NumPy or ml_dtypes name.

    Raises
    ------
    ValueError
        If the element or the algorithm does not exist.

    Examples
    --------
    >>> print(explain("ring", 4, 8, 5))
    ((x3 + x0) + x1) + x2 [each sum rounded to float32; documented: source of NVIDIA/nccl 5067397 (2.30.7)]
    >>> explain("mscclpp/allpair", 3, 8, 0).ranks_identical
    False
    """
    if not 0 <= element < count:
        raise ValueError(f"element must lie in 0..{count - 1}, got {element}")
    if ranks < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {ranks}")
    item = dtype_of(dtype).itemsize
    plan = plan_for(how, operation, Shape(ranks, count, item, root, op=op))
    found = [next(s for s in segments if s.begin <= element < s.end) for segments in plan]
    texts = tuple(_text(s.tree, s.rotation, ranks)[1] for s in found)
    wide = not isinstance(how, Schedule) and algorithm(how).accumulate == "float32" and item < 4
    rounding = f"sums in float32, one rounding to {dtype} at the end" if wide else f"each sum rounded to {dtype}"
    evidence = how.evidence if isinstance(how, Schedule) else algorithm(how).evidence
    return Explanation(texts, len(set(texts)) == 1, rounding, (found[0].begin, found[0].end), evidence)


def _text(tree: Tree, rotation: int, ranks: int) -> tuple[bool, str]:
    """Whether the text is a sum, and the text; without recursion, since chains are as deep as there are ranks."""
    done: list[tuple[bool, str]] = []
    work: list[tuple[Tree, bool]] = [(tree, False)]
    while work:
        node, ready = work.pop()
        if isinstance(node, int):
            done.append((False, f"x{(node + rotation) % ranks}"))
        elif ready:
            parts = done[-len(node) :]
            del done[-len(node) :]
            done.append((True, " + ".join(f"({text})" if is_sum else text for is_sum, text in parts)))
        else:
            work.append((node, True))
            work += [(part, False) for part in reversed(node)]
    return done[0]


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
    shards: ArrayLike, algorithms: list[str], *, dtype: str | None = None, **options: Any
) -> dict[tuple[str, str], Difference]:
    """Run one all_reduce by several algorithms and report how far each pair of answers differs.

    Parameters
    ----------
    shards : array_like
        As for `all_reduce`.
    algorithms : list of str
    dtype : str, optional
    **options
        Further arguments of `all_reduce`.

    Returns
    -------
    dict
        By pair of names, in the order given; the results of rank 0 are compared.

    Examples
    --------
    >>> x = np.float32([[1e8], [1], [-1e8], [1]])
    >>> reproducibility(x, ["rank_order", "ring"])["rank_order", "ring"].share
    1.0
    """
    answers = {name: all_reduce(shards, name, dtype=dtype, **options)[0] for name in algorithms}
    names = list(answers)
    return {(a, b): difference(answers[a], answers[b]) for i, a in enumerate(names) for b in names[i + 1 :]}
