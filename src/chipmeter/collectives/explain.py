"""Explain one element of a collective: who is added to whom, how each sum is rounded, and how we know."""

from __future__ import annotations

from dataclasses import dataclass

from chipmeter._arrays import dtype_of
from chipmeter.collectives.algorithms import algorithm
from chipmeter.collectives.nccl import Nccl
from chipmeter.collectives.plans import Shape
from chipmeter.collectives.run import plan_for
from chipmeter.collectives.schedule import Schedule, Tree
from chipmeter.evidence import Evidence


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
    average: str = "fused",
    grid: tuple[int, ...] = (),
    nccl: Nccl | None = None,
) -> Explanation:
    """Say in which order the contributions to an element are added, how each sum is rounded, and how we know.

    Parameters
    ----------
    how : str or Schedule
    ranks, count, element : int
        Ranks, elements of the vector at each rank, and the element to explain.
    operation, dtype, root, op, average, grid, nccl
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
    plan = plan_for(how, operation, Shape(ranks, count, item, root, grid=tuple(grid), nccl=nccl, op=op))
    found = [next(s for s in segments if s.begin <= element < s.end) for segments in plan]
    texts = tuple(_text(s.tree, s.rotation, ranks)[1] for s in found)
    wide = not isinstance(how, Schedule) and algorithm(how).accumulate == "float32" and item < 4
    rounding = _rounding(dtype, op, average, ranks, wide=wide)
    evidence = how.evidence if isinstance(how, Schedule) else algorithm(how).evidence
    return Explanation(texts, len(set(texts)) == 1, rounding, (found[0].begin, found[0].end), evidence)


def _rounding(dtype: str, op: str, average: str, ranks: int, *, wide: bool) -> str:
    """Say what happens at each edge of the association."""
    if op in ("min", "max", "min_select", "max_select"):
        return "nothing is rounded"
    if dtype_of(dtype).kind in "iub":
        return "sums wrap" + (f"; divided by {ranks}, toward zero" if op == "avg" else "")
    each = f"each {'product' if op == 'prod' else 'sum'} rounded to {dtype}"
    if wide:
        each = f"{'products' if op == 'prod' else 'sums'} in float32, one rounding to {dtype} at the end"
    if op != "avg":
        return each
    if average == "post":
        return f"{each}; the sum divided by {ranks} and rounded"
    scale = f"each rank times 1/{ranks}, a {dtype}"
    # A half-width product of fp8 is rounded before it is added; so is everything where sums are wide.
    if average == "pre" or wide or dtype.startswith("float8"):
        return f"{scale}, rounded; {each}"
    return f"{scale}: the first product rounded, then fma(x, 1/{ranks}, received) with one rounding to {dtype}"


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
