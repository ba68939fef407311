"""Builders of schedules: the symbolic rounds of each algorithm, and its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from chipmeter._names import unknown_name
from chipmeter.collectives.schedule import Action, Round, Schedule, Transfer
from chipmeter.evidence import Evidence

NCCL = Evidence("documented", "NVIDIA/nccl 5067397 (2.30.7), source", "2026-11")
MPI = Evidence("hardware", "recorded runs of Open MPI 5.0.11 and MPICH 5.0.2", "2026-11")
Build = tuple[int, tuple[Round, ...], Iterator[Transfer]]


def _ring(n: int, operation: str) -> Build:
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

    return n, rounds, messages()


def _doubling(n: int, operation: str) -> Build:
    p = 1 << (n.bit_length() - 1)
    rem = n - p
    whole = Fraction(1)
    rounds = []
    if rem:
        rounds.append(Round("up", 1, whole, 1, True, n, limit=2 * rem))
    distance = 1
    while distance < p:
        # the folded ranks stand at 2 i + 1 of the first 2 rem, hence pairs where the fold breaks the pattern
        if rem:
            pairs = tuple((_place(i, rem), _place(i ^ distance, rem)) for i in range(p))
            rounds.append(Round("pairs", distance, whole, 1, True, n, pairs=pairs))
        else:
            rounds.append(Round("xor", distance, whole, 1, True, n))
        distance *= 2
    if rem:
        rounds.append(Round("down", 1, whole, 1, False, n, limit=2 * rem))

    def messages() -> Iterator[Transfer]:
        step = 0
        for i in range(rem):
            yield Transfer(step, 2 * i + 1, 2 * i, 0, "own+received")
        step += bool(rem)
        d = 1
        while d < p:
            for i in range(p):
                lower: Action = "own+received" if i & d else "received+own"  # the receiver is i ^ d
                yield Transfer(step, _place(i, rem), _place(i ^ d, rem), 0, lower)
            step, d = step + 1, 2 * d
        for i in range(rem):
            yield Transfer(step, 2 * i, 2 * i + 1, 0)

    return 1, tuple(rounds), messages()


def _place(i: int, rem: int) -> int:
    """Rank that stands for place i of the power of two: the pairs (0, 1), (2, 3), ... are one place each."""
    return 2 * i if i < rem else i + rem


_BUILDERS: dict[tuple[str, str], tuple[Callable[[int, str], Build], Evidence]] = {
    ("all_reduce", "ring"): (_ring, NCCL),
    ("reduce_scatter", "ring"): (_ring, NCCL),
    ("all_gather", "ring"): (_ring, NCCL),
    ("all_reduce", "recursive_doubling"): (_doubling, MPI),
}


def schedule(operation: str, algorithm: str, ranks: int, *, expand: bool = True) -> Schedule:
    """Build the schedule of an algorithm.

    Parameters
    ----------
    operation : str
        "all_reduce", "reduce_scatter", "all_gather", ...
    algorithm : str
    ranks : int
        At least 2.
    expand : bool
        Whether to list the messages too. Without them the cost does not grow with the square of the ranks.

    Raises
    ------
    UnknownNameError
        If the algorithm does not exist for the operation.
    ValueError
        If `ranks` is less than 2.

    Examples
    --------
    >>> schedule("all_reduce", "ring", 100_000, expand=False).steps
    199998
    """
    known = [name for of, name in _BUILDERS if of == operation]
    if (operation, algorithm) not in _BUILDERS:
        raise unknown_name(f"{operation} schedule", algorithm, known)
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {ranks!r}")
    build, evidence = _BUILDERS[operation, algorithm]
    chunks, rounds, messages = build(ranks, operation)
    return Schedule(algorithm, operation, ranks, chunks, tuple(messages) if expand else (), rounds, evidence=evidence)
