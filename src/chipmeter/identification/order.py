"""The tree of additions, read off masks: a huge number, its negative, and units that vanish where both are pending.

The method is FPRev's (Xie et al., "FPRev: revealing floating-point summation order", 2024): with +M at i, -M at j and
units elsewhere, the units that are lost are those added to M or -M before the two meet, so their number is the size of
the smallest subtree that holds i and j.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from chipmeter.identification.dots import Dots, NotVisible

Tree = int | tuple["Tree", ...]
"""A leaf is a position k; a node joins its children in one step."""

LONG = 1024
"""Products of the sum in which blocks are looked for."""

SHOWN_BY = "+M, -M at two positions, units elsewhere: the units lost"


class Masks:
    """Sizes of smallest subtrees of sums of n products."""

    def __init__(self, dots: Dots, n: int, kept: int) -> None:
        low, high = dots.span()
        result = {"f64": (-1022, 1023), "f16": (-24, 15)}.get(dots.device.types[3], (-126, 127))
        unit = max(2 * low, result[0]) if low > -64 else 0
        big = min(2 * high, result[1] - 2)
        need = kept + n.bit_length()
        if big - unit < need and low > -64:  # subnormal units only where normal ones are too large to vanish
            unit = max(2 * dots.least(), result[0])
        self._halves = {e: (e // 2, e - e // 2) for e in (unit, big)}
        self._unit, self._big, self._n, self._dots = unit, big, n, dots
        if big - unit < need:
            raise NotVisible

    def sizes(self, first: int, others: Sequence[int]) -> list[int]:
        """Size of the smallest subtree that holds `first` and each of the others."""
        a = np.full((len(others), self._n), 2.0 ** self._halves[self._unit][0])
        b = np.full((len(others), self._n), 2.0 ** self._halves[self._unit][1])
        big_a, big_b = (2.0**e for e in self._halves[self._big])
        rows = np.arange(len(others))
        a[:, first], b[:, first] = big_a, big_b
        a[rows, list(others)], b[rows, list(others)] = -big_a, big_b
        kept = self._dots(a, b).astype(np.float64) / 2.0**self._unit
        if (
            not np.isfinite(kept).all()
            or (kept != np.rint(kept)).any()
            or (kept < 0).any()
            or (kept > self._n - 2).any()
        ):
            raise NotVisible
        return [self._n - int(x) for x in kept]

    def start(self) -> int:
        """Units lost when M is the accumulator and -M the first product: 1 if c is added first, one by one."""
        a = np.full((1, self._n), 2.0 ** self._halves[self._unit][0])
        b = np.full((1, self._n), 2.0 ** self._halves[self._unit][1])
        big_a, big_b = (2.0**e for e in self._halves[self._big])
        a[:, 0], b[:, 0] = -big_a, big_b
        kept = float(self._dots(a, b, [2.0**self._big])[0]) / 2.0**self._unit
        if not 0 <= kept <= self._n - 1 or kept != int(kept):
            raise NotVisible
        return self._n - int(kept)


def build(masks: Masks, positions: Sequence[int]) -> tuple[Tree, int]:
    """Reconstruct the tree over some positions; returns it with the size of its root."""
    if len(positions) == 1:
        return positions[0], 1
    first, rest = positions[0], list(positions[1:])
    groups: dict[int, list[int]] = {}
    for position, size in zip(rest, masks.sizes(first, rest), strict=True):
        groups.setdefault(size, []).append(position)
    tree: Tree = first
    top = 1
    for size in sorted(groups):
        children: list[Tree] = []
        pending = groups[size]
        while pending:
            head, others = pending[0], pending[1:]
            apart = masks.sizes(head, others) if others else []
            # those that meet `head` below this node form one subtree, the others join at the node itself
            inside = [p for p, s in zip(others, apart, strict=True) if s < size]
            children.append(build(masks, [head, *inside])[0] if inside else head)
            pending = [p for p, s in zip(others, apart, strict=True) if s >= size]
        tree, top = (tree, *children), size
    return tree, top


def show(tree: Tree, limit: int = 160) -> str:
    """Write a tree: `(0 1)` is one addition, `(((0 1) 2) 3)` one after another; long ones are cut.

    >>> show((((0, 1), 2), 3)), show(((0, 1), (2, 3)))
    ('(((0 1) 2) 3)', '((0 1) (2 3))')
    """
    text = str(tree) if isinstance(tree, int) else "(" + " ".join(show(t, 10**9) for t in tree) + ")"
    return text if len(text) <= limit else text[:limit] + " ..."


def describe(dots: Dots, kept: int) -> list[tuple[str, str]]:
    """Describe the order of additions: products per step, and where longer sums are cut.

    Parameters
    ----------
    dots : Dots
    kept : int
        Bits kept below the largest term: what is smaller vanishes.

    Returns
    -------
    list of (name, value)
        What the exponents of these types cannot show is left out.
    """
    found = []
    step: int | None = None
    for short in (64, 32):
        try:
            masks = Masks(dots, short, kept)
            sizes = [1, *masks.sizes(0, range(1, short))]
            found.append(("order", _local(sizes, masks)))
            step = _step(sizes)
            break
        except NotVisible:
            continue
    marks = range(15, LONG, 16)
    try:
        long = Masks(dots, LONG, kept)
        found.append((f"order to k = {LONG}", _global(long.sizes(0, marks), list(marks), long, step)))
        if dots.device.addend:
            start = long.start()
            what = "with the first step" if start <= max(1, step or 0) else f"after the first {start} products"
            found.append(("accumulator c", f"enters {what}"))
    except NotVisible:
        pass
    return found


def _step(sizes: list[int]) -> int:
    """Products that meet at once in a chain, from sizes of subtrees of 0 and k; 0 if it is none."""
    step = sizes[1]
    chain = all(size == (k + step) // step * step for k, size in enumerate(sizes) if k) and step > 1
    if step == 2 and sizes[2:] == list(range(3, len(sizes) + 1)):
        return 1
    return step if chain else 0


def _local(sizes: list[int], masks: Masks) -> str:
    step = _step(sizes)
    if step == 1:
        return "one product after another, k ascending"
    lanes = next((k for k, size in enumerate(sizes) if k and size != 2), len(sizes))
    if lanes > 2 and all(size == k // lanes * lanes + 1 for k, size in enumerate(sizes) if k >= lanes):
        return f"steps of {lanes} products and the accumulator added exactly, k ascending"
    if step == 0:
        return f"tree {show(build(masks, range(min(32, len(sizes))))[0])}"
    if step == len(sizes):
        tree = build(masks, range(16))[0]
        flat = isinstance(tree, tuple) and all(isinstance(t, int) for t in tree)
        return f"steps of at least {step} products fused" if flat else f"tree {show(tree)}"
    tree = build(masks, range(step))[0]
    if isinstance(tree, tuple) and all(isinstance(t, int) for t in tree):
        return f"steps of {step} products fused, k ascending"
    return f"steps of {step} products, k ascending, each a tree {show(tree)}"


def _global(far: list[int], marks: list[int], masks: Masks, step: int | None) -> str:
    if far == [m + 1 for m in marks] and step != 0:
        return "one chain"
    ends = sorted(set(far))
    if step == 1:  # a chain whose subtrees grow with k until a block ends
        prefix = next(i for i, (mark, size) in enumerate(zip(marks, far, strict=True)) if size != mark + 1)
        ends = sorted({*far[prefix:]} | ({marks[prefix - 1] + 1} if prefix else set()))
    if far == sorted(far) and ends[-1] == LONG and len(ends) > 1:
        cut = ends[-1] - ends[-2]
        if [e for e in ends if e >= cut] == list(range(cut, LONG + 1, cut)):
            return f"blocks of {cut} products, one block after another"
        if step == 1:
            blocks = [b - a for a, b in zip([0, *ends], ends, strict=False)]
            return f"blocks of {', '.join(map(str, blocks))} products{_inside(ends, masks)}, one block after another"
    return f"tree over every 64th product {show(build(masks, range(0, LONG, 64))[0])}"


def _inside(ends: list[int], masks: Masks) -> str:
    """Tell whether each block is a chain of its own that starts from nothing."""
    for begin, end in itertools.pairwise(ends[:4]):
        inside = [begin + 1, (begin + end) // 2, end - 1]
        if masks.sizes(begin, inside) != [k - begin + 1 for k in inside]:
            return ""
    return ", each a chain from zero"
