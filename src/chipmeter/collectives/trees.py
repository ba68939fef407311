"""Associations: in which order the contributions of ranks are added, as nested tuples; operands stand in order.

`((3, 0), 1)` is (x3 + x0) + x1; a tuple of three or more is added in the accumulator's type with one rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from chipmeter.collectives.schedule import Tree


def chain(parts: Sequence[Tree]) -> Tree:
    """Left to right.

    >>> chain([3, 0, 1])
    ((3, 0), 1)
    """
    return reduce(lambda a, b: (a, b), parts)


def right_chain(parts: Sequence[Tree]) -> Tree:
    """Right to left.

    >>> right_chain([0, 1, 2])
    (0, (1, 2))
    """
    return reduce(lambda a, b: (b, a), reversed(parts))


def folded(ranks: int) -> list[Tree]:
    """Fold to a power of two: the first ranks in pairs, as many as are needed.

    >>> folded(6)
    [(0, 1), (2, 3), 4, 5]
    """
    power = 1 << (ranks.bit_length() - 1)
    extra = ranks - power
    pairs: list[Tree] = [(2 * i, 2 * i + 1) for i in range(extra)]
    return [*pairs, *range(2 * extra, ranks)]


def doubling(parts: Sequence[Tree]) -> Tree:
    """Neighbours first, then at distance 2, 4, ...: recursive doubling, Rabenseifner. A power of two of parts.

    >>> doubling([0, 1, 2, 3])
    ((0, 1), (2, 3))
    """
    level = list(parts)
    while len(level) > 1:
        level = [(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def halving(parts: Sequence[Tree]) -> Tree:
    """Add the farthest first: recursive halving. A power of two of parts.

    >>> halving([0, 1, 2, 3])
    ((0, 2), (1, 3))
    """
    level = list(parts)
    while len(level) > 1:
        half = len(level) // 2
        level = [(level[i], level[i + half]) for i in range(half)]
    return level[0]


def exchanged(ranks: int, receiver: int, *, own_first: bool) -> Tree:
    """Recursive doubling as one rank computes it, its own part always on the same side: ranks may differ in NaN.

    >>> exchanged(4, 2, own_first=True)
    ((2, 3), (0, 1))
    """
    power = 1 << (ranks.bit_length() - 1)
    extra = ranks - power
    place = receiver // 2 if receiver < 2 * extra else receiver - extra

    def value(at: int, distance: int) -> Tree:
        if distance == 0:
            if at >= extra:
                return at + extra
            own, received = 2 * at + 1, 2 * at
        else:
            own, received = value(at, distance // 2), value(at ^ distance, distance // 2)  # type: ignore[assignment]
        return (own, received) if own_first else (received, own)

    return value(place, power // 2)


def subtree(children: Callable[[int], Sequence[int]], node: int) -> Tree:
    """Build a rooted tree: a node's own value, then its children's sums in order."""
    return chain([node, *(subtree(children, child) for child in children(node))])


def relabel(tree: Tree, ranks: Sequence[int]) -> Tree:
    """Replace place i by ranks[i]."""
    return ranks[tree] if isinstance(tree, int) else tuple(relabel(part, ranks) for part in tree)


def chain_onto(parts: Sequence[Tree]) -> Tree:
    """Left to right, each new part as the first operand: the same sums, other NaN.

    >>> chain_onto([3, 0, 1])
    (1, (0, 3))
    """
    return reduce(lambda a, b: (b, a), parts)


def mirrored(tree: Tree) -> Tree:
    """Every pair of operands swapped: the same sums, other NaN.

    >>> mirrored(((0, 1), 2))
    (2, (1, 0))
    """
    return tree if isinstance(tree, int) else tuple(mirrored(part) for part in reversed(tree))


def binomial(n: int) -> Tree:
    """Children 1, 2, 4, ... away, added in this order.

    >>> binomial(4)
    ((0, 1), (2, 3))
    """

    def children(v: int) -> list[int]:
        limit = v & -v or 1 << n.bit_length()
        return [v + (1 << k) for k in range(n.bit_length()) if 1 << k < limit and v + (1 << k) < n]

    return subtree(children, 0)


def knomial(n: int) -> Tree:
    """MPICH's knomial_1 with k = 2: the largest subtree first, numbered in preorder.

    >>> knomial(4)
    ((0, (1, 2)), 3)
    """

    def part(first: int, size: int) -> Tree:
        parts: list[Tree] = [first]
        at, left = first + 1, size - 1
        share = 1 << (size - 1).bit_length() >> 1
        while left:
            parts.append(part(at, min(share, left)))
            at, left, share = at + min(share, left), left - min(share, left), share >> 1
        return chain(parts)

    return part(0, n)


def kary(n: int, k: int = 2) -> Tree:
    """Children k v + 1, ..., k v + k.

    >>> kary(4)
    ((0, (1, 3)), 2)
    """
    return subtree(lambda v: [c for c in range(k * v + 1, k * v + k + 1) if c < n], 0)


def level_binary(n: int) -> Tree:
    """Open MPI's binary tree: on level l the children of v are v + 2^l and v + 2^(l + 1).

    >>> level_binary(5)
    ((0, (1, 3)), (2, 4))
    """

    def children(v: int) -> list[int]:
        step = 1 << ((v + 1).bit_length() - 1)
        return [c for c in (v + step, v + 2 * step) if c < n]

    return subtree(children, 0)


def in_order_binary(n: int) -> Tree:
    """Open MPI's in-order binary tree: the last rank, its right part, then its left.

    >>> in_order_binary(4)
    ((3, 2), (1, 0))
    """

    def part(low: int, high: int) -> Tree:
        left = (high - low) // 2
        parts: list[Tree] = [high - 1]
        if low + left < high - 1:
            parts.append(part(low + left, high - 1))
        if left:
            parts.append(part(low, low + left))
        return chain(parts)

    return part(0, n)


def fans(n: int, chains: int) -> Tree:
    """Open MPI's chain: the others cut into right chains, the longer first, added to the root from left to right.

    >>> fans(6, 2)
    ((0, (1, (2, 3))), (4, 5))
    """
    parts: list[Tree] = [0]
    at, left = 1, n - 1
    for i in range(min(chains, n - 1), 0, -1):
        size = -(-left // i)
        parts.append(right_chain(list(range(at, at + size))))
        at, left = at + size, left - size
    return chain(parts)


def multiplied(n: int, k: int = 3) -> Tree:
    """MPICH's recursive multiplying up to one round: right chains of ranks i, i + k, ..., added left to right.

    >>> multiplied(5)
    (((0, 3), (1, 4)), 2)
    """
    return chain([right_chain(list(range(i, n, k))) for i in range(min(k, n))])


def double_binary(n: int, which: int) -> tuple[int, dict[int, list[int]]]:
    """NCCL's double binary tree over nodes: the root and the children of every node, in the order of addition.

    In the first tree node v with lowest set bit b has children v - b / 2 and v + b / 2, the latter halved until it
    exists; node 0 has one, the largest power of two below n. The second is mirrored (n even) or shifted by one.

    >>> double_binary(4, 0)
    (0, {0: [2], 1: [], 2: [1, 3], 3: []})
    """

    def name(v: int) -> int:
        if not which:
            return v
        return n - 1 - v if n % 2 == 0 else (v + 1) % n

    children: dict[int, list[int]] = {}
    for v in range(n):
        if v == 0:
            found = [1 << (n - 1).bit_length() >> 1] if n > 1 else []
        else:
            half = (v & -v) >> 1
            found = [v - half] if half else []
            while half and v + half >= n:
                half >>= 1
            found += [v + half] if half else []
        children[name(v)] = [name(c) for c in found]
    return name(0), children


def double_binary_tree(n: int, which: int) -> Tree:
    """Association of one of the two trees.

    >>> double_binary_tree(4, 0)
    (0, ((2, 1), 3))
    """
    root, children = double_binary(n, which)
    return subtree(lambda v: children[v], root)


def pat(n: int, destination: int, aggregation: int = 1) -> Tree:
    """NCCL's PAT reduce-scatter: a binomial tree on the distance to the destination.

    >>> pat(4, 0)
    (3, ((1, 2), 0))
    """
    power = 1 << (n - 1).bit_length()
    depth = max(power // aggregation, 1).bit_length() - 1
    last = power.bit_length() - 2
    order = [*range(depth - 1, 0, -1), *range(depth, last + 1), 0] if last >= 0 else []

    def value(s: int) -> Tree:
        tree: Tree = (destination - s) % n
        limit = s & -s or power
        for k in order:
            if 1 << k < limit and s + (1 << k) < n:
                tree = (value(s + (1 << k)), tree)
        return tree

    return value(0)
