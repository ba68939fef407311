"""Schedules over grids: reduce-scatter axis by axis, then all-gather back; axis 0 are neighbouring ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import prod
from typing import Literal

from chipmeter.collectives.build_rings import Build
from chipmeter.collectives.schedule import Action, Round, Transfer

Axis = Literal["ring", "both", "mesh", "halving"]
GridBuild = Callable[[int, str, tuple[int, ...]], Build]


def check_grid(ranks: int, dims: tuple[int, ...]) -> None:
    """Refuse a grid that does not hold the ranks."""
    if not dims or any(isinstance(d, bool) or not isinstance(d, int) or d < 1 for d in dims) or prod(dims) != ranks:
        raise ValueError(f"a grid for {ranks} ranks must have positive lengths whose product is {ranks}, got {dims!r}")


def squarest(ranks: int, axes: int = 2) -> tuple[int, ...]:
    """Cut ranks into axes of lengths as equal as may be, the longest first.

    >>> squarest(12), squarest(64, 3)
    ((4, 3), (4, 4, 4))
    """
    dims: list[int] = []
    for left in range(axes, 0, -1):
        aim = round(ranks ** (1 / left), 9)
        dims.append(next(d for d in range(max(1, int(aim)), 0, -1) if ranks % d == 0) if left > 1 else ranks)
        ranks //= dims[-1]
    return tuple(sorted(dims, reverse=True))


def chips_of_four(ranks: int) -> tuple[int, ...]:
    """Four cores to a chip, then chips, where that comes out even; else one axis."""
    return (ranks,) if ranks % 4 else (4, ranks // 4)


def grid(kinds: Callable[[int], Axis]) -> GridBuild:
    """Build over a grid whose axis a is reduced as kinds(a) says: a ring, two opposite rings, direct, or halving."""

    def build(n: int, operation: str, dims: tuple[int, ...]) -> Build:
        two_way = kinds(0) == "both"
        ways = 2 if two_way else 1
        strides = [prod(dims[:a]) for a in range(len(dims))]
        weights = [n // prod(dims[: a + 1]) for a in range(len(dims))]  # of coordinate a in a chunk's number
        axes = [a for a in range(len(dims)) if dims[a] > 1]

        def phase(a: int, gathers: bool) -> Iterator[tuple[int, int, int, int, Action]]:
            """Step within the phase, source, target, chunk and action; a chunk of rank d ends at coordinate d."""
            size = dims[a]
            for step, i, j, c, action in _axis(kinds(a), size, gathers):
                for r in range(n):
                    if r // strides[a] % size != i:
                        continue
                    target = r + (j - i) * strides[a]
                    for way, chunk in _chunks(r, a, c, dims, strides, weights, ways):
                        turned = target
                        if way:  # the other direction: coordinates mirrored about 0
                            mirror_i, mirror_j = -i % size, -j % size
                            source = r + (mirror_i - i) * strides[a]
                            turned = r + (mirror_j - i) * strides[a]
                            yield step, source, turned, _mirror(chunk, a, n, dims, weights), action
                        else:
                            yield step, r, turned, chunk, action

        rounds, order = [], []
        for gathers in (False, True):
            if operation == ("all_gather" if not gathers else "reduce_scatter"):
                continue
            for a in axes if not gathers else reversed(axes):
                fraction = Fraction(1, prod(dims[:a]))
                rounds += _rounds(kinds(a), dims[a], strides[a], fraction, gathers, ways)
                order.append((a, gathers))

        def messages() -> Iterator[Transfer]:
            first = 0
            for a, gathers in order:
                last = first
                for step, i, j, c, action in phase(a, gathers):
                    yield Transfer(first + step, i, j, c, action)
                    last = max(last, first + step + 1)
                first = last

        owner = []
        for chunk in range(ways * n):
            rest = chunk % n
            owner.append(sum(rest // weights[a] % dims[a] * strides[a] for a in range(len(dims))))
        return ways * n, tuple(rounds), messages(), tuple(owner)

    return build


def _axis(kind: Axis, size: int, gathers: bool) -> Iterator[tuple[int, int, int, int, Action]]:
    """Step, source and target coordinate, chunk coordinate and action of one reduce-scatter or all-gather."""
    if kind == "mesh":
        for c in range(size):
            for i in range(size):
                if i != c:
                    yield (0, c, i, c, "copy") if gathers else (0, i, c, c, "fused-rank-order")
    elif kind == "halving":
        distances = [1 << k for k in reversed(range(size.bit_length() - 1))]
        for step, d in enumerate(distances[::-1] if gathers else distances):
            for i in range(size):
                for c in range(size):
                    if gathers and c // d == i // d:
                        yield step, i, i ^ d, c, "copy"
                    elif not gathers and c // d == (i ^ d) // d:
                        yield step, i, i ^ d, c, "own+received" if i & d else "received+own"
    else:
        for step in range(size - 1):
            for i in range(size):
                c = (i - step) % size if gathers else (i - 1 - step) % size
                yield step, i, (i + 1) % size, c, "copy" if gathers else "received+own"


def _rounds(kind: Axis, size: int, stride: int, share: Fraction, gathers: bool, ways: int) -> list[Round]:
    part, adds = share / size, not gathers
    if kind == "mesh":
        return [Round("direct", 0, part, 1, adds, size, stride)]
    if kind == "halving":
        steps = [Round("xor", size >> k, share / (1 << k), 1, adds, size, stride) for k in range(1, size.bit_length())]
        return steps[::-1] if gathers else steps
    if ways == 1 or size == 2:
        return [Round("shift", 1, part, size - 1, adds, size, stride)]
    both = tuple((i, (i + d) % size) for i in range(size) for d in (1, -1))
    return [Round("pairs", 1, part / 2, size - 1, adds, size, stride, pairs=both)]


def _chunks(
    rank: int, axis: int, c: int, dims: tuple[int, ...], strides: list[int], weights: list[int], ways: int
) -> Iterator[tuple[int, int]]:
    """Chunks with coordinate c on an axis that a rank still handles: on earlier axes, its own coordinate's."""
    base = sum(rank // strides[a] % dims[a] * weights[a] for a in range(axis)) + c * weights[axis]
    n = prod(dims)
    for way in range(ways):
        for later in range(weights[axis]):
            yield way, way * n + base + later


def _mirror(chunk: int, axis: int, n: int, dims: tuple[int, ...], weights: list[int]) -> int:
    """Mirror coordinate `axis` of a chunk about 0."""
    c = chunk % n // weights[axis] % dims[axis]
    return chunk + (-c % dims[axis] - c) * weights[axis]
