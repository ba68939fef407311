"""Schedules of rings, chains and Neuron's three-input ring."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from chipmeter.collectives.schedule import Round, Transfer
from chipmeter.evidence import Evidence

NCCL = Evidence("documented", "NVIDIA/nccl 5067397 (2.30.7), source", "2026-11")
MPI = Evidence("hardware", "recorded runs of Open MPI 5.0.11 and MPICH 5.0.2", "2026-11")
ASSUMED = Evidence("assumed", "order not published; a choice of ours", "2026-11")
Build = tuple[int, tuple[Round, ...], Iterator[Transfer], tuple[int, ...]]
"""Chunks, the symbolic rounds, the messages, and the owners of chunks (empty: chunk c belongs to rank c)."""

PIECES = 4
"""Parts that a pipeline's vector is cut into here."""


def ring(n: int, operation: str) -> Build:
    """Chunk c is the chain c + 1, ..., c; then every finished chunk goes round."""
    part = Fraction(1, n)
    hop = Round("shift", 1, part, n - 1, size=n)
    add = Round("shift", 1, part, n - 1, True, n)
    rounds = {"all_reduce": (add, hop), "reduce_scatter": (add,), "all_gather": (hop,)}[operation]

    def messages() -> Iterator[Transfer]:
        first = 0
        if operation != "all_gather":
            first = n - 1
            for step in range(n - 1):
                for r in range(n):
                    yield Transfer(step, r, (r + 1) % n, (r - 1 - step) % n, "own+received")
        if operation != "reduce_scatter":
            for step in range(n - 1):
                for r in range(n):
                    yield Transfer(first + step, r, (r + 1) % n, (r - step) % n)

    return n, rounds, messages(), ()


def pipeline(n: int, operation: str) -> Build:
    """From the last rank to rank 0, or from 0 on: each rank hands the pieces to its neighbour as they come."""
    adds = operation == "reduce"
    links = tuple((i + 1, i) if adds else (i, i + 1) for i in range(n - 1))
    hop = Round("pairs", 1, Fraction(1), n - 1, adds, n, pairs=links, pipelined=True)

    def messages() -> Iterator[Transfer]:
        for piece in range(PIECES):
            for i in range(n - 1):
                if adds:
                    yield Transfer(piece + i, n - 1 - i, n - 2 - i, piece, "own+received")
                else:
                    yield Transfer(piece + i, i, i + 1, piece)

    return PIECES, (hop,), messages(), ()


def kangaring(n: int, operation: str) -> Build:
    """Each hop adds the partial sum, the neighbour's part and the own with one rounding."""
    part = Fraction(1, n)
    hops, odd = divmod(n - 1, 2)
    both = tuple(pair for r in range(n) for pair in ((r, (r + 2) % n), (r, (r + 1) % n)))
    rounds = [Round("pairs", 1, part, hops, True, n, pairs=both)] if hops else []
    if odd:
        rounds.append(Round("shift", 1, part, 1, True, n))
    if operation == "all_reduce":
        rounds.append(Round("shift", 1, part, n - 1, False, n))

    def messages() -> Iterator[Transfer]:
        for step in range(hops):
            for c in range(n):
                at = c + 2 * step
                yield Transfer(step, at % n, (at + 2) % n, c, "fused")
                yield Transfer(step, (at + 1) % n, (at + 2) % n, c, "fused")
        if odd:
            for c in range(n):
                yield Transfer(hops, (c + n - 2) % n, (c + n - 1) % n, c, "received+own")
        if operation == "all_reduce":
            for step in range(n - 1):
                for c in range(n):
                    yield Transfer(hops + odd + step, (c - 1 + step) % n, (c + step) % n, c)

    return n, tuple(rounds), messages(), tuple((c - 1) % n for c in range(n))
