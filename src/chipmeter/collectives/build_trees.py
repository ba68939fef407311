"""Schedules on powers of two and on trees: doubling, halving, Rabenseifner, binomial, NCCL's double binary tree, PAT."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from chipmeter.collectives.build_rings import Build
from chipmeter.collectives.schedule import Action, Round, Transfer
from chipmeter.collectives.trees import double_binary

WHOLE = Fraction(1)


def _places(n: int) -> tuple[int, int]:
    power = 1 << (n.bit_length() - 1)
    return power, n - power


def _place(i: int, rem: int) -> int:
    """Rank that stands for place i of the power of two: the pairs (0, 1), (2, 3), ... are one place each."""
    return 2 * i if i < rem else i + rem


def _exchange(n: int, distance: int, fraction: Fraction, reduces: bool) -> Round:
    """Places exchange with place xor distance; where ranks are folded, pairs, as the fold breaks the pattern."""
    p, rem = _places(n)
    if not rem:
        return Round("xor", distance, fraction, 1, reduces, n)
    pairs = tuple((_place(i, rem), _place(i ^ distance, rem)) for i in range(p))
    return Round("pairs", distance, fraction, 1, reduces, n, pairs=pairs)


def _fold(n: int, fraction: Fraction = WHOLE) -> tuple[Round, ...]:
    rem = _places(n)[1]
    return (Round("up", 1, fraction, 1, True, n, limit=2 * rem),) if rem else ()


def _unfold(n: int, fraction: Fraction = WHOLE) -> tuple[Round, ...]:
    rem = _places(n)[1]
    return (Round("down", 1, fraction, 1, False, n, limit=2 * rem),) if rem else ()


def _added(sender: int, distance: int) -> Action:
    """Add so that the lower place's part is the first operand."""
    return "own+received" if sender & distance else "received+own"


def doubling(n: int, operation: str) -> Build:
    """Exchange whole vectors at distance 1, 2, 4, ..."""
    p, rem = _places(n)
    distances = [1 << k for k in range(p.bit_length() - 1)]
    rounds = (*_fold(n), *(_exchange(n, d, WHOLE, True) for d in distances), *_unfold(n))

    def messages() -> Iterator[Transfer]:
        step = 0
        for i in range(rem):
            yield Transfer(step, 2 * i + 1, 2 * i, 0, "own+received")
        step += bool(rem)
        for d in distances:
            for i in range(p):
                yield Transfer(step, _place(i, rem), _place(i ^ d, rem), 0, _added(i, d))
            step += 1
        for i in range(rem):
            yield Transfer(step, 2 * i, 2 * i + 1, 0)

    return 1, rounds, messages(), ()


def rabenseifner(n: int, operation: str) -> Build:
    """Halve the vector at distance 1, 2, 4, ..., then gather it the same way back."""
    p, rem = _places(n)
    levels = p.bit_length() - 1
    down = [_exchange(n, 1 << k, Fraction(1, 2 << k), True) for k in range(levels)]
    up = [_exchange(n, 1 << k, Fraction(1, 2 << k), False) for k in reversed(range(levels))]

    def agree(place: int, chunk: int, bits: int) -> bool:
        """Whether a place is responsible for a chunk after `bits` halvings; the chunk's bits are taken from the top."""
        return all((place >> k & 1) == (chunk >> (levels - 1 - k) & 1) for k in range(bits))

    def messages() -> Iterator[Transfer]:
        step = 0
        for i in range(rem):
            for c in range(p):
                yield Transfer(step, 2 * i + 1, 2 * i, c, "own+received")
        step += bool(rem)
        for k in range(levels):
            for i in range(p):
                for c in range(p):
                    if agree(i, c, k) and agree(i ^ 1 << k, c, k + 1):
                        yield Transfer(step, _place(i, rem), _place(i ^ 1 << k, rem), c, _added(i, 1 << k))
            step += 1
        for k in reversed(range(levels)):
            for i in range(p):
                for c in range(p):
                    if agree(i, c, k + 1):
                        yield Transfer(step, _place(i, rem), _place(i ^ 1 << k, rem), c)
            step += 1
        for i in range(rem):
            for c in range(p):
                yield Transfer(step, 2 * i, 2 * i + 1, c)

    return p, (*_fold(n), *down, *up, *_unfold(n)), messages(), ()


def halving(n: int, operation: str) -> Build:
    """Reduce-scatter: exchange halves at distance p / 2, p / 4, ...; folded ranks get their block at the end."""
    p, rem = _places(n)
    distances = [1 << k for k in reversed(range(p.bit_length() - 1))]
    home = [c // 2 if c < 2 * rem else c - rem for c in range(n)]

    def sent(i: int, d: int) -> list[int]:
        """Chunks of the half that the partner keeps."""
        return [c for c in range(n) if home[c] // d == (i ^ d) // d]

    rounds = [_exchange(n, d, Fraction(max(len(sent(i, d)) for i in range(p)), n), True) for d in distances]

    def messages() -> Iterator[Transfer]:
        step = 0
        for i in range(rem):
            for c in range(n):
                yield Transfer(step, 2 * i + 1, 2 * i, c, "own+received")
        step += bool(rem)
        for d in distances:
            for i in range(p):
                for c in sent(i, d):
                    yield Transfer(step, _place(i, rem), _place(i ^ d, rem), c, _added(i, d))
            step += 1
        for i in range(rem):
            yield Transfer(step, 2 * i, 2 * i + 1, 2 * i + 1)

    return n, (*_fold(n), *rounds, *_unfold(n, Fraction(1, n))), messages(), ()


def binomial(n: int, operation: str) -> Build:
    """To rank 0 from 1, 2, 4, ... away, or from it in the opposite order."""
    distances = [1 << k for k in range((n - 1).bit_length())]
    adds = operation == "reduce"
    if not adds:
        distances.reverse()
    rounds = tuple(Round("up" if adds else "down", d, WHOLE, 1, adds, n) for d in distances)

    def messages() -> Iterator[Transfer]:
        for step, d in enumerate(distances):
            for low in range(0, n - d, 2 * d):
                yield Transfer(step, low + d, low, 0, "own+received") if adds else Transfer(step, low, low + d, 0)

    return 1, rounds, messages(), ()


def double_binary_tree(n: int, operation: str) -> Build:
    """NCCL's two trees over nodes of one GPU, each for half of the vector: up level by level, then down."""
    levels: list[list[Transfer]] = []
    for which in (0, 1):
        root, children = double_binary(n, which)
        level, depth = [root], 0
        while level:
            below = [(child, v) for v in level for child in children[v]]
            if below:
                if depth == len(levels):
                    levels.append([])
                levels[depth] += [Transfer(0, child, v, which, "own+received") for child, v in below]
            level, depth = [child for child, _ in below], depth + 1
    half = Fraction(1, 2)
    up = [tuple((t.source, t.target) for t in level) for level in reversed(levels)]
    down = [tuple((t.target, t.source) for t in level) for level in levels]
    rounds = [Round("pairs", 1, half, 1, True, n, pairs=pairs, pipelined=True) for pairs in up]
    rounds += [Round("pairs", 1, half, 1, False, n, pairs=pairs, pipelined=True) for pairs in down]

    def messages() -> Iterator[Transfer]:
        for step, level in enumerate(reversed(levels)):
            for t in level:
                yield Transfer(step, t.source, t.target, t.chunk, t.action)
        for step, level in enumerate(levels, len(levels)):
            for t in level:
                yield Transfer(step, t.target, t.source, t.chunk)

    return 2, tuple(rounds), messages(), ()


def pat(n: int, operation: str) -> Build:
    """NCCL's PAT without aggregation: one block of every destination's binomial tree in each step."""
    order: list[tuple[int, int]] = []

    def visit(s: int, limit: int) -> None:
        """Distances in the order in which their blocks may be sent: the largest child first, before its parent."""
        for k in reversed(range(limit)):
            child = s + (1 << k)
            if child < n:
                visit(child, k)
                order.append((child, 1 << k))

    visit(0, (n - 1).bit_length())
    adds = operation == "reduce_scatter"
    if not adds:
        order.reverse()
    rounds = tuple(Round("shift", d if adds else n - d, Fraction(1, n), 1, adds, n) for _, d in order)

    def messages() -> Iterator[Transfer]:
        for step, (s, d) in enumerate(order):
            for c in range(n):
                far, near = (c - s) % n, (c - s + d) % n
                yield Transfer(step, far, near, c, "received+own") if adds else Transfer(step, near, far, c)

    return n, rounds, messages(), ()
