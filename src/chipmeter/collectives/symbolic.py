"""Symbolic schedules: the rounds of every algorithm that is priced, their number growing with steps, not with ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from chipmeter._names import unknown_name
from chipmeter.collectives import build
from chipmeter.collectives.schedule import Round, Schedule
from chipmeter.evidence import Evidence

OPERATIONS = (
    "all_reduce",
    "reduce_scatter",
    "all_gather",
    "all_to_all",
    "broadcast",
    "reduce",
    "send_recv",
    "barrier",
)
"""Collectives that have a time."""

_TEXTBOOK = Evidence("documented", "textbook step table", "2026-11")
_NCCL = Evidence("documented", "NVIDIA/nccl 5067397 (2.30.7), source", "2026-11")
_SWITCH = Evidence("inferred", "NCCL's NVLS; traffic of in-switch reduction and multicast", "2026-11")
_NEURON = Evidence("inferred", "AWS Neuron documentation; roles and sizes of messages not published", "2026-11")
_EXACT = 1024
"""Up to so many ranks the folded places of recursive doubling are listed one by one."""

Rounds = tuple[Round, ...]
Shape = tuple[int, ...]
"""Ranks of a node, or the sides of a torus, the fastest first."""
ONE = Fraction(1)


def _log(n: int) -> int:
    return (n - 1).bit_length()


def _split(n: int, shape: Shape) -> tuple[int, int]:
    """Ranks inside a group and number of groups; one level where the ranks cannot be cut evenly."""
    group = shape[0] if shape else 0
    return (group, n // group) if 1 < group < n and n % group == 0 else (n, 1)


def _direct(n: int, op: str, shape: Shape) -> Rounds:
    part = Fraction(1, n)
    scatter, gather = Round("direct", 0, part, 1, True, n), Round("direct", 0, part, 1, False, n)
    return {"all_reduce": (scatter, gather), "reduce_scatter": (scatter,)}.get(op, (gather,))


def _one_shot(n: int, op: str, shape: Shape) -> Rounds:
    return (Round("direct", 0, ONE, 1, True, n),)


def _doubling(n: int, op: str, shape: Shape) -> Rounds:
    if n & (n - 1) == 0 or n <= _EXACT:
        return build.schedule(op, "recursive_doubling", n, expand=False).rounds
    power = 1 << (n.bit_length() - 1)
    rem = n - power
    steps = [Round("xor", 1 << k, ONE, 1, True, n, limit=power) for k in range(power.bit_length() - 1)]
    return (
        Round("up", 1, ONE, 1, True, n, limit=2 * rem),
        *steps,
        Round("down", 1, ONE, 1, False, n, limit=2 * rem),
    )


def _halving(n: int, op: str, shape: Shape) -> Rounds:
    """Vector halving: each step half the bytes of the one before; a fold where n is no power of two."""
    power = 1 << (n.bit_length() - 1)
    levels = power.bit_length() - 1
    # MPI's Rabenseifner starts with neighbours; recursive halving with the farthest.
    near = op == "all_reduce"
    down = [
        Round("xor", 1 << (k if near else levels - 1 - k), Fraction(1, 2 << k), 1, True, n, limit=power)
        for k in range(levels)
    ]
    up = [Round(r.pattern, r.distance, r.fraction, 1, False, n, limit=power) for r in reversed(down)]
    fold: Rounds = (Round("up", 1, ONE, 1, True, n, limit=2 * (n - power)),) if n > power else ()
    unfold: Rounds = (Round("down", 1, ONE, 1, False, n, limit=2 * (n - power)),) if n > power else ()
    if op == "all_reduce":
        return (*fold, *down, *up, *unfold)
    return (*fold, *down) if op == "reduce_scatter" else (*up, *unfold)


def _bruck(n: int, op: str, shape: Shape) -> Rounds:
    """all_gather: blocks double. all_to_all: half of the blocks move at each of log2 n steps."""
    if op == "all_to_all":
        moved = [sum(1 for i in range(n) if i >> k & 1) if n <= _EXACT else n // 2 for k in range(_log(n))]
        return tuple(Round("shift", 1 << k, Fraction(m, n), 1, False, n) for k, m in enumerate(moved))
    return tuple(Round("shift", 1 << k, Fraction(min(1 << k, n - (1 << k)), n), 1, False, n) for k in range(_log(n)))


def _pairwise(n: int, op: str, shape: Shape) -> Rounds:
    """One partner at each of n - 1 steps; the mean distance stands for all, the steps being alike on a switch."""
    return (Round("shift", max(1, n // 2), Fraction(1, n), n - 1, op == "reduce_scatter", n),)


def _stream(n: int, op: str, shape: Shape) -> Rounds:
    return (Round("shift", 1, ONE, n - 1, op == "reduce", n, pipelined=True),)


def _binomial(n: int, op: str, shape: Shape) -> Rounds:
    if op == "reduce":
        return tuple(Round("up", 1 << k, ONE, 1, True, n) for k in range(_log(n)))
    return tuple(Round("down", 1 << k, ONE, 1, False, n) for k in reversed(range(_log(n))))


def _tree(n: int, op: str, shape: Shape) -> Rounds:
    """NCCL's tree: a chain inside the node, a double binary tree over nodes, everything in flight at once.

    Each of the two trees carries half, and a rank is a leaf of one: so one whole vector passes each port each way.
    """
    inside, nodes = _split(n, shape)
    up = [Round("shift", 1, ONE, inside - 1, True, inside, pipelined=True)] if inside > 1 else []
    up += [Round("up", 1 << k, ONE, 1, True, nodes, stride=inside, pipelined=True) for k in range(_log(nodes))]
    down = [
        Round(
            "down" if r.pattern == "up" else "shift", r.distance, ONE, r.repeat, False, r.size, r.stride, pipelined=True
        )
        for r in reversed(up)
    ]
    return (*up, *down)


def _nvls(n: int, op: str, shape: Shape) -> Rounds:
    """Let the switch read every rank's whole vector, own slice included, and multicast the owners' results."""
    part = Fraction(1, n)
    read = (Round("direct", 0, part, 1, True, n), Round("shift", 1, part, 1, True, n))
    write = (Round("shift", 1, part, 1, False, n),)
    return {"all_reduce": (*read, *write), "reduce_scatter": read}.get(op, write)


def _nvls_tree(n: int, op: str, shape: Shape) -> Rounds:
    """In the switch inside a node, then a double binary tree over nodes for the slice of each rank."""
    inside, nodes = _split(n, shape)
    if nodes == 1:
        return _nvls(n, op, shape)
    part = Fraction(1, inside)
    up = [Round("up", 1 << k, part, 1, True, nodes, stride=inside, pipelined=True) for k in range(_log(nodes))]
    down = [Round("down", r.distance, part, 1, False, nodes, stride=inside, pipelined=True) for r in reversed(up)]
    switch = _nvls(inside, op, shape)
    return (*switch[:2], *up, *down, *switch[2:])


def _hierarchical(n: int, op: str, shape: Shape) -> Rounds:
    """Ring inside groups, then a ring over the groups for each shard."""
    inside, groups = _split(n, shape)
    if groups == 1:
        return build.schedule(op, "ring", n, expand=False).rounds
    near = Round("shift", 1, Fraction(1, inside), inside - 1, True, inside)
    far = Round("shift", 1, Fraction(1, n), groups - 1, True, groups, stride=inside)
    back = tuple(Round("shift", 1, r.fraction, r.repeat, False, r.size, r.stride) for r in (far, near))
    return {"all_reduce": (near, far, *back), "reduce_scatter": (near, far)}.get(op, back)


def _torus(n: int, op: str, shape: Shape) -> Rounds:
    """Ring along each axis in turn, then back; the vector is cut so that all axes and directions are busy at once."""
    if math.prod(shape) != n:
        return build.schedule(op, "ring", n, expand=False).rounds
    down, share, stride = [], ONE, 1
    for side in shape:
        share /= side
        if side > 1:
            down.append(Round("shift", 1, share, side - 1, True, side, stride))
        stride *= side
    back = tuple(Round("shift", 1, r.fraction, r.repeat, False, r.size, r.stride) for r in reversed(down))
    return {"all_reduce": (*down, *back), "reduce_scatter": tuple(down)}.get(op, back)


def _pat(n: int, op: str, shape: Shape) -> Rounds:
    """Binomial steps whose messages together carry what a ring's do."""
    return tuple(
        Round("shift", 1 << k, Fraction(min(1 << k, n - (1 << k)), n), 1, op == "reduce_scatter", n)
        for k in range(_log(n))
    )


def _kangaring(n: int, op: str, shape: Shape) -> Rounds:
    """Three-input adds: two contributions join at each hop, hence half the steps and twice the bytes of each."""
    steps = n // 2
    part = Fraction(n - 1, n * steps)
    return tuple(Round("shift", 1, part, steps, adds, n) for adds in (True, False))


def _send(n: int, op: str, shape: Shape) -> Rounds:
    """Every rank to the next one, all at once."""
    return (Round("shift", 1, ONE, 1, False, n),)


def _dissemination(n: int, op: str, shape: Shape) -> Rounds:
    return tuple(Round("shift", 1 << k, Fraction(0), 1, False, n) for k in range(_log(n)))


def _ring(n: int, op: str, shape: Shape) -> Rounds:
    return (
        _stream(n, op, shape) if op in ("broadcast", "reduce") else build.schedule(op, "ring", n, expand=False).rounds
    )


_SHAPES = ("all_reduce", "reduce_scatter", "all_gather")
ALGORITHMS: dict[str, tuple[Callable[[int, str, Shape], Rounds], tuple[str, ...], Evidence]] = {
    "ring": (_ring, (*_SHAPES, "broadcast", "reduce"), _NCCL),
    "tree": (_tree, ("all_reduce",), _NCCL),
    "nvls": (_nvls, ("all_reduce",), _SWITCH),
    "nvls_tree": (_nvls_tree, ("all_reduce",), _SWITCH),
    "pat": (_pat, ("reduce_scatter", "all_gather"), _NCCL),
    "hierarchical": (_hierarchical, _SHAPES, _TEXTBOOK),
    "torus": (_torus, _SHAPES, _TEXTBOOK),
    "recursive_doubling": (_doubling, ("all_reduce",), _TEXTBOOK),
    "rabenseifner": (_halving, ("all_reduce",), _TEXTBOOK),
    "recursive_halving": (_halving, ("reduce_scatter", "all_gather"), _TEXTBOOK),
    "bruck": (_bruck, ("all_gather", "all_to_all"), _TEXTBOOK),
    "binomial": (_binomial, ("broadcast", "reduce"), _TEXTBOOK),
    "direct": (_direct, ("all_to_all", "reduce_scatter", "all_gather"), _TEXTBOOK),
    "pairwise": (_pairwise, ("all_to_all", "reduce_scatter"), _TEXTBOOK),
    "one_shot": (_one_shot, ("all_reduce",), _TEXTBOOK),
    "two_shot": (_direct, ("all_reduce",), _TEXTBOOK),
    "neuron/mesh": (_direct, ("all_reduce",), _NEURON),
    "neuron/rdh": (_halving, ("all_reduce",), _NEURON),
    "neuron/kangaring": (_kangaring, ("all_reduce",), _NEURON),
    "point_to_point": (_send, ("send_recv",), _TEXTBOOK),
    "dissemination": (_dissemination, ("barrier",), _TEXTBOOK),
}
"""By name: its rounds, the operations it serves, where the steps come from."""


def symbolic(operation: str, algorithm: str, ranks: int, shape: Shape = ()) -> Schedule:
    """Build the symbolic schedule of an algorithm.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`.
    algorithm : str
    ranks : int
        At least 2.
    shape : tuple of int
        Ranks of a node, for algorithms of two levels; sides of the torus, the fastest first, for "torus".

    Raises
    ------
    UnknownNameError
        If the operation is unknown, or the algorithm does not serve it.
    ValueError
        If `ranks` is less than 2.

    Examples
    --------
    >>> symbolic("all_reduce", "tree", 100_000, (8,)).steps
    42
    """
    check_operation(operation)
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {ranks!r}")
    known = [name for name, (_, serves, _) in ALGORITHMS.items() if operation in serves]
    if algorithm not in known:
        raise unknown_name(f"{operation} algorithm", algorithm, known)
    rounds, _, evidence = ALGORITHMS[algorithm]
    return Schedule(algorithm, operation, ranks, ranks, rounds=rounds(ranks, operation, shape), evidence=evidence)


def check_operation(operation: str) -> None:
    """Refuse an operation that has no time, naming the nearest."""
    if operation not in OPERATIONS:
        raise unknown_name("collective", operation, OPERATIONS)
