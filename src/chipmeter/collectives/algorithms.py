"""Algorithms by name: the association of every element, with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from chipmeter._names import unknown_name
from chipmeter.collectives import partition, trees
from chipmeter.collectives.schedule import Schedule, Tree, check
from chipmeter.evidence import Evidence

Accumulate = Literal["storage", "float32"]


@dataclass(frozen=True)
class Segment:
    """Elements begin..end have the association `tree`, where rank r stands for (r + rotation) mod ranks."""

    begin: int
    end: int
    tree: Tree
    rotation: int = 0


@dataclass(frozen=True)
class Shape:
    """What an association may depend on."""

    ranks: int
    count: int
    item: int
    root: int = 0
    bounds: partition.Bounds = ()
    """Chunks given by the caller: NCCL's, from its channels and protocol."""
    op: str = "sum"
    """The operation: where NaN or zeros of both signs meet, a library's operand order shows."""


Plan = tuple[tuple[Segment, ...], ...]
"""One tuple of segments that all ranks share, or one for each rank."""


@dataclass(frozen=True)
class Algorithm:
    """A named association.

    Parameters
    ----------
    name : str
    segments : callable
        Segments of the result for a shape; for a plan that differs by rank, one list for each.
    evidence : Evidence
    accumulate : {"storage", "float32"}
        Whether partial sums are rounded to the ranks' type at every addition, or once at the end.
    note : str
    """

    name: str
    plan: Callable[[Shape], Plan]
    evidence: Evidence
    accumulate: Accumulate = "storage"
    note: str = ""


def _whole(tree: Callable[[int], Tree]) -> Callable[[Shape], Plan]:
    return lambda s: ((Segment(0, s.count, tree(s.ranks)),),)


def _rooted(tree: Callable[[int], Tree]) -> Callable[[Shape], Plan]:
    return lambda s: ((Segment(0, s.count, tree(s.ranks), s.root),),)


def _rotated(
    bounds: Callable[[Shape], partition.Bounds], order: Callable[[int], Sequence[Tree]]
) -> Callable[[Shape], Plan]:
    """Chunk c is one chain for all chunks, turned by c."""

    def plan(s: Shape) -> Plan:
        tree = trees.chain(order(s.ranks))
        cut = s.bounds or bounds(s)
        return (tuple(Segment(a, b, tree, c % s.ranks) for c, (a, b) in enumerate(cut) if a < b),)

    return plan


def _open_mpi_block(s: Shape, a: int, b: int, own_first: Tree, received_first: Tree, turn: int) -> list[Segment]:
    """Own op received, but received op own in some of its vector loops (as recordings of the x86 build show).

    Minimum and maximum: in all but the last count mod 4 elements. Product: in the loop of 8 lanes that follows the
    one of 16.
    """
    size = b - a
    low, high = 0, 0
    if s.op in ("min_select", "max_select"):
        high = size - size % 4
    elif s.op == "prod":
        low = size - size % 16
        high = low + size % 16 // 8 * 8
    parts = [(a, a + low, own_first), (a + low, a + high, received_first), (a + high, b, own_first)]
    return [Segment(begin, end, tree, turn) for begin, end, tree in parts if begin < end]


def _open_mpi(s: Shape) -> Plan:
    order = list(range(s.ranks))
    both = trees.chain_onto(order), trees.chain(order)
    cut = enumerate(_larger(s))
    return (tuple(part for c, (a, b) in cut for part in _open_mpi_block(s, a, b, *both, c)),)


def _open_mpi_doubling(s: Shape) -> Plan:
    tree = _doubled(s.ranks)
    return (tuple(_open_mpi_block(s, 0, s.count, trees.mirrored(tree), tree, 0)),)


def _onto(
    bounds: Callable[[Shape], partition.Bounds], order: Callable[[int], Sequence[Tree]]
) -> Callable[[Shape], Plan]:
    """As `_rotated`, own + received."""

    def plan(s: Shape) -> Plan:
        tree = trees.chain_onto(order(s.ranks))
        return (tuple(Segment(a, b, tree, c % s.ranks) for c, (a, b) in enumerate(bounds(s)) if a < b),)

    return plan


def _after(n: int) -> list[Tree]:
    return [*range(1, n), 0]


def _from(n: int) -> list[Tree]:
    return list(range(n))


def _down_to(n: int) -> list[Tree]:
    return [*range(n - 1, 0, -1), 0]


def _down_from(n: int) -> list[Tree]:
    return [0, *range(n - 1, 0, -1)]


def _larger(s: Shape) -> partition.Bounds:
    return partition.first_larger(s.count, s.ranks)


def _ceiling(s: Shape) -> partition.Bounds:
    return partition.ceiling(s.count, s.ranks)


def _gloo(s: Shape) -> partition.Bounds:
    return partition.gloo(s.count, s.item, s.ranks)


def _each(own_first: bool) -> Callable[[Shape], Plan]:
    def plan(s: Shape) -> Plan:
        return tuple(
            (Segment(0, s.count, trees.exchanged(s.ranks, rank, own_first=own_first)),) for rank in range(s.ranks)
        )

    return plan


def _own_first(s: Shape) -> Plan:
    """Mscclpp's allpair: each rank adds the others, ascending, to its own."""
    order = [[r, *(i for i in range(s.ranks) if i != r)] for r in range(s.ranks)]
    return tuple((Segment(0, s.count, trees.chain(parts)),) for parts in order)


def _doubled(n: int) -> Tree:
    return trees.doubling(trees.folded(n))


def _halved(n: int) -> Tree:
    return trees.halving(trees.folded(n))


def _multi_exchange(n: int, k: int = 4) -> Tree:
    """MPICH's recexch: extras folded in right chains of at most k, then one left chain; one round (n < 2 k + 1)."""
    places = min(n, k)
    extra = n - places
    if n > 2 * k:
        raise ValueError(f"the order of recexch with k = {k} is established up to {2 * k} ranks, got {n}")
    parts: list[Tree] = []
    at = 0
    for _ in range(places):
        more = min(extra, k - 1)
        parts.append(trees.right_chain(list(range(at, at + more + 1))))
        at, extra = at + more + 1, extra - more
    return trees.chain(parts)


def _multiplied(n: int) -> Tree:
    if n > 8:
        raise ValueError(f"the order of recursive multiplying with k = 3 is established up to 8 ranks, got {n}")
    return trees.multiplied(n)


def _decided(s: Shape) -> Plan:
    """Open MPI's linear reduce_scatter_block: a reduce by its decision table."""
    small = s.count * s.item < (8192 if s.ranks == 8 else 4096)
    if s.ranks > 3 and not (s.ranks <= 8 and small):
        raise ValueError(
            "the order of openmpi/reduce_scatter_block_linear is established for 2 or 3 ranks, for 4 to 7 below 4096 "
            f"bytes and for 8 below 8192 bytes; got {s.ranks} ranks and {s.count * s.item} bytes"
        )
    tree = trees.right_chain(list(range(s.ranks))) if s.ranks < 4 else trees.level_binary(s.ranks)
    return ((Segment(0, s.count, tree),),)


def _torus(s: Shape) -> Plan:
    """Two levels over the squarest grid: rings along rows, then along columns."""
    width = next(w for w in range(int(s.ranks**0.5), 0, -1) if s.ranks % w == 0)
    return two_level(s, s.ranks // width)


def two_level(s: Shape, group: int) -> Plan:
    """Ring inside groups of neighbours, then a ring over the groups for each shard."""
    if s.ranks % group:
        raise ValueError(f"{s.ranks} ranks cannot be cut into groups of {group}")
    groups = s.ranks // group
    segments = []
    for j, (low, high) in enumerate(partition.ceiling(s.count, group)):
        for k, (a, b) in enumerate(partition.ceiling(high - low, groups)):
            inner = [trees.chain([g * group + (j + 1 + i) % group for i in range(group)]) for g in range(groups)]
            tree = trees.chain([inner[(k + 1 + i) % groups] for i in range(groups)])
            if a < b:
                segments.append(Segment(low + a, low + b, tree))
    return (tuple(segments),)


def _kanga(n: int) -> Tree:
    """Three inputs at each hop: the partial sum, and two ranks."""
    tree: Tree = 0
    for i in range(1, n, 2):
        tree = (tree, *range(i, min(i + 2, n)))
    return tree


def _nccl_tree(n: int) -> Tree:
    """One node: a chain to the first GPU."""
    return trees.right_chain(list(range(n)))


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


def _pat(s: Shape) -> Plan:
    cut = s.bounds or partition.first_larger(s.count, s.ranks)
    return (tuple(Segment(a, b, pat(s.ranks, c % s.ranks)) for c, (a, b) in enumerate(cut) if a < b),)


def _seen(library: str) -> Evidence:
    return Evidence("hardware", f"recorded runs of {library}", "2026-11")


def _read(source: str) -> Evidence:
    return Evidence("documented", f"source of {source}", "2026-11")


_OMPI, _MPICH, _GLOO = _seen("Open MPI 5.0.11"), _seen("MPICH 5.0.2"), _seen("gloo in torch 2.13.0")
_NCCL = _read("NVIDIA/nccl 5067397 (2.30.7)")
_ASSUMED = Evidence("assumed", "order not published; a choice of ours", "2026-11")

ALGORITHMS: dict[str, Algorithm] = {
    a.name: a
    for a in (
        Algorithm("ring", _rotated(_ceiling, _after), _NCCL, note="chunk c is the chain c + 1, ..., c"),
        Algorithm("recursive_doubling", _whole(_doubled), _OMPI),
        Algorithm("rabenseifner", _whole(_doubled), _OMPI, note="same association as recursive doubling"),
        Algorithm("recursive_halving", _whole(_halved), _OMPI),
        Algorithm("linear", _whole(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("rank_order", _whole(lambda n: trees.chain(list(range(n)))), _seen("XLA CPU, jax 0.10.2"), "float32"),
        Algorithm("pipeline", _rooted(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("chain", _rooted(lambda n: trees.fans(n, 4)), _OMPI),
        Algorithm("binomial", _rooted(trees.binomial), _OMPI),
        Algorithm("binary", _rooted(trees.level_binary), _OMPI),
        Algorithm("tree", _whole(_nccl_tree), _NCCL, note="one node; several nodes: double_binary_tree"),
        Algorithm("pat", _pat, _NCCL, note="reduce_scatter, aggregation factor 1"),
        Algorithm("two_shot", _rotated(_larger, _from), _read("vLLM 0bf6342"), "float32"),
        Algorithm("one_shot", _whole(lambda n: trees.chain(list(range(n)))), _read("vLLM 0bf6342"), "float32"),
        Algorithm("trtllm", _whole(lambda n: trees.chain(list(range(n)))), _read("flashinfer fb28d72")),
        Algorithm("mscclpp/allpair", _own_first, _read("microsoft/mscclpp 1f5f065"), note="ranks differ"),
        Algorithm("mscclpp/rsag", _rotated(_larger, _from), _read("microsoft/mscclpp 1f5f065")),
        Algorithm("nccl/symmetric", _whole(lambda n: trees.chain(list(range(n)))), _NCCL, "float32"),
        Algorithm("nvls", _whole(lambda n: tuple(range(n))), _ASSUMED, "float32", "a model: the switch's order is unknown"),
        Algorithm("torus", _torus, _ASSUMED, note="rings along the rows of the squarest grid, then the columns"),
        Algorithm("neuron/ring", _rotated(_ceiling, _after), Evidence("documented", "AWS Neuron documentation", "2026-11")),
        Algorithm("neuron/kangaring", _rotated(_ceiling, lambda n: [_kanga(n)]), _ASSUMED, note="roles and sizes unknown"),
        Algorithm("openmpi/ring", _open_mpi, _OMPI),
        Algorithm("openmpi/segmented_ring", _open_mpi, _OMPI),
        Algorithm("openmpi/recursive_doubling", _open_mpi_doubling, _OMPI),
        Algorithm("openmpi/rabenseifner", _whole(_doubled), _OMPI),
        Algorithm("openmpi/linear", _whole(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("openmpi/chain2", _rooted(lambda n: trees.fans(n, 2)), _OMPI),
        Algorithm("openmpi/pipeline", _rooted(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("openmpi/binary", _rooted(trees.level_binary), _OMPI),
        Algorithm("openmpi/binomial", _rooted(trees.binomial), _OMPI),
        Algorithm("openmpi/in_order_binary", _whole(trees.in_order_binary), _OMPI),
        Algorithm("openmpi/recursive_halving", _whole(_halved), _OMPI),
        Algorithm("openmpi/butterfly", _whole(_doubled), _OMPI),
        Algorithm("openmpi/reduce_scatter_ring", _rotated(_larger, _after), _OMPI),
        Algorithm("openmpi/reduce_scatter_block_linear", _decided, _OMPI),
        Algorithm("openmpi/reduce_scatter_recursive_doubling", _whole(trees.binomial), _OMPI),
        Algorithm("mpich/ring", _onto(_ceiling, _after), _MPICH),
        Algorithm("mpich/recursive_doubling", _each(True), _MPICH, note="ranks differ for NaN and zeros of both signs"),
        Algorithm("mpich/rabenseifner", _whole(_doubled), _MPICH),
        Algorithm("mpich/recexch4", _whole(_multi_exchange), _MPICH),
        Algorithm("mpich/recursive_multiplying3", _whole(_multiplied), _MPICH),
        Algorithm("mpich/kary2", _whole(trees.kary), _MPICH),
        Algorithm("mpich/knomial2", _whole(trees.knomial), _MPICH),
        Algorithm("mpich/binomial", _rooted(trees.binomial), _MPICH),
        Algorithm("mpich/pairwise", _rotated(_larger, _down_from), _MPICH),
        Algorithm("mpich/recursive_halving", _whole(_halved), _MPICH),
        Algorithm("mpich/reduce_scatter_recursive_doubling", _whole(trees.binomial), _MPICH),
        Algorithm("gloo/ring", _rotated(_gloo, _down_to), _GLOO),
    )
}  # fmt: skip
"""Named associations; a bare name is the textbook form of the library that its evidence names."""


def algorithm(name: str) -> Algorithm:
    """Find an algorithm by name.

    >>> algorithm("gloo/ring").evidence.grade
    'hardware'
    """
    if name not in ALGORITHMS:
        raise unknown_name("algorithm", name, ALGORITHMS)
    return ALGORITHMS[name]


def plan_of(schedule: Schedule, count: int) -> Plan:
    """Segments that a user's schedule gives each rank, its chunks cut as evenly as may be; proves it complete first."""
    state = check(schedule)
    cut = partition.first_larger(count, schedule.chunks)
    ranks = sorted({rank for rank, _ in state})
    if schedule.operation == "reduce_scatter":
        return (
            tuple(
                Segment(*cut[c], state[schedule.owner(c), c]) for c in range(schedule.chunks) if cut[c][0] < cut[c][1]
            ),
        )
    plans = [
        tuple(Segment(*cut[c], state[r, c]) for c in range(schedule.chunks) if cut[c][0] < cut[c][1]) for r in ranks
    ]
    return tuple(plans[:1]) if all(p == plans[0] for p in plans) else tuple(plans)
