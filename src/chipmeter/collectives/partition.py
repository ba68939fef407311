"""Where a library cuts a vector into chunks; the cut decides the association of every element."""

from __future__ import annotations

from itertools import pairwise

Bounds = tuple[tuple[int, int], ...]


def first_larger(count: int, parts: int) -> Bounds:
    """Open MPI's ring: the first count mod parts blocks hold one element more.

    >>> first_larger(7, 3)
    ((0, 3), (3, 5), (5, 7))
    """
    size, more = divmod(count, parts)
    edges = [size * i + min(i, more) for i in range(parts + 1)]
    return tuple(pairwise(edges))


def ceiling(count: int, parts: int) -> Bounds:
    """MPICH's ring: blocks of ceil(count / parts), the last shorter or empty.

    >>> ceiling(7, 3)
    ((0, 3), (3, 6), (6, 7))
    """
    size = -(-count // parts)
    return tuple((min(count, size * i), min(count, size * (i + 1))) for i in range(parts))


def gloo(count: int, item: int, ranks: int) -> Bounds:
    """Gloo's ring: segments of about 1 MiB or less, the same number to each chunk.

    >>> gloo(7, 4, 3)
    ((0, 4), (4, 7), (7, 7))
    """
    total = count * item
    segments = max(-(-total // (1 << 20)), 2 * ranks)
    segments = -(-segments // ranks) * ranks
    size = -(-total // segments)
    size = -(-size // item) * item // item * (segments // ranks)
    return tuple((min(count, size * i), min(count, size * (i + 1))) for i in range(ranks))
