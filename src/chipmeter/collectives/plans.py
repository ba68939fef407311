"""Plans: which elements have which association, by the rules of each algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from chipmeter.collectives import partition, trees
from chipmeter.collectives.build_grids import Axis, check_grid, squarest
from chipmeter.collectives.schedule import Tree

if TYPE_CHECKING:
    from chipmeter.collectives.nccl import Nccl


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
    grid: tuple[int, ...] = ()
    """Lengths of the axes of a grid, neighbouring ranks first; empty: the squarest of two axes (or three)."""
    nccl: Nccl | None = None
    """Channels, protocol and group of an NCCL algorithm; None: its defaults."""
    op: str = "sum"
    """The operation: where NaN or zeros of both signs meet, a library's operand order shows."""


Plan = tuple[tuple[Segment, ...], ...]
"""One tuple of segments that all ranks share, or one for each rank."""


def whole(tree: Callable[[int], Tree]) -> Callable[[Shape], Plan]:
    """One association for all elements."""
    return lambda s: ((Segment(0, s.count, tree(s.ranks)),),)


def rooted(tree: Callable[[int], Tree]) -> Callable[[Shape], Plan]:
    """One association for all elements, turned by the root."""
    return lambda s: ((Segment(0, s.count, tree(s.ranks), s.root),),)


def rotated(
    bounds: Callable[[Shape], partition.Bounds], order: Callable[[int], Sequence[Tree]]
) -> Callable[[Shape], Plan]:
    """Chunk c is one chain for all chunks, turned by c."""

    def plan(s: Shape) -> Plan:
        tree = trees.chain(order(s.ranks))
        cut = s.bounds or bounds(s)
        return (tuple(Segment(a, b, tree, c % s.ranks) for c, (a, b) in enumerate(cut) if a < b),)

    return plan


def open_mpi_block(s: Shape, a: int, b: int, own_first: Tree, received_first: Tree, turn: int) -> list[Segment]:
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


def open_mpi(s: Shape) -> Plan:
    """Open MPI's ring, with its operand order."""
    order = list(range(s.ranks))
    both = trees.chain_onto(order), trees.chain(order)
    cut = enumerate(larger(s))
    return (tuple(part for c, (a, b) in cut for part in open_mpi_block(s, a, b, *both, c)),)


def open_mpi_doubling(s: Shape) -> Plan:
    """Open MPI's recursive doubling, with its operand order."""
    tree = doubled(s.ranks)
    return (tuple(open_mpi_block(s, 0, s.count, trees.mirrored(tree), tree, 0)),)


def onto(
    bounds: Callable[[Shape], partition.Bounds], order: Callable[[int], Sequence[Tree]]
) -> Callable[[Shape], Plan]:
    """As `rotated`, own + received."""

    def plan(s: Shape) -> Plan:
        tree = trees.chain_onto(order(s.ranks))
        return (tuple(Segment(a, b, tree, c % s.ranks) for c, (a, b) in enumerate(bounds(s)) if a < b),)

    return plan


def after_order(n: int) -> list[Tree]:
    """Ranks 1, 2, ..., 0: the owner last."""
    return [*range(1, n), 0]


def from_order(n: int) -> list[Tree]:
    """Ranks 0, 1, 2, ..."""
    return list(range(n))


def down_to_order(n: int) -> list[Tree]:
    """Descending, the owner last."""
    return [*range(n - 1, 0, -1), 0]


def down_from_order(n: int) -> list[Tree]:
    """Descending, the owner first."""
    return [0, *range(n - 1, 0, -1)]


def larger(s: Shape) -> partition.Bounds:
    """Blocks of Open MPI."""
    return partition.first_larger(s.count, s.ranks)


def ceiling(s: Shape) -> partition.Bounds:
    """Blocks of MPICH."""
    return partition.ceiling(s.count, s.ranks)


def gloo(s: Shape) -> partition.Bounds:
    """Blocks of gloo."""
    return partition.gloo(s.count, s.item, s.ranks)


def each(own_first: bool) -> Callable[[Shape], Plan]:
    """Recursive doubling as each rank computes it."""

    def plan(s: Shape) -> Plan:
        return tuple(
            (Segment(0, s.count, trees.exchanged(s.ranks, rank, own_first=own_first)),) for rank in range(s.ranks)
        )

    return plan


def own_first(s: Shape) -> Plan:
    """Mscclpp's allpair: each rank adds the others, ascending, to its own."""
    order = [[r, *(i for i in range(s.ranks) if i != r)] for r in range(s.ranks)]
    return tuple((Segment(0, s.count, trees.chain(parts)),) for parts in order)


def doubled(n: int) -> Tree:
    """Fold, then distances 1, 2, 4, ..."""
    return trees.doubling(trees.folded(n))


def halved(n: int) -> Tree:
    """Fold, then the farthest first."""
    return trees.halving(trees.folded(n))


def multi_exchange(n: int, k: int = 4) -> Tree:
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


def multiplied(n: int) -> Tree:
    """MPICH's recursive multiplying with k = 3."""
    if n > 8:
        raise ValueError(f"the order of recursive multiplying with k = 3 is established up to 8 ranks, got {n}")
    return trees.multiplied(n)


def decided(s: Shape) -> Plan:
    """Open MPI's linear reduce_scatter_block: a reduce by its decision table."""
    small = s.count * s.item < (8192 if s.ranks == 8 else 4096)
    if s.ranks > 3 and not (s.ranks <= 8 and small):
        raise ValueError(
            "the order of openmpi/reduce_scatter_block_linear is established for 2 or 3 ranks, for 4 to 7 below 4096 "
            f"bytes and for 8 below 8192 bytes; got {s.ranks} ranks and {s.count * s.item} bytes"
        )
    tree = trees.right_chain(list(range(s.ranks))) if s.ranks < 4 else trees.level_binary(s.ranks)
    return ((Segment(0, s.count, tree),),)


def gridded(
    kinds: Callable[[int], Axis], axes: int = 2, default: Callable[[int], tuple[int, ...]] | None = None
) -> Callable[[Shape], Plan]:
    """Reduce over the axes of a grid, one after the other, each in its own way."""

    def plan(s: Shape) -> Plan:
        dims = s.grid or (default(s.ranks) if default else squarest(s.ranks, axes))
        check_grid(s.ranks, dims)
        ways = 2 if kinds(0) == "both" else 1
        segments = []
        for way, (low, high) in enumerate(partition.ceiling(s.count, ways)):
            for where, (a, b) in _cells(dims, high - low):
                if a < b:
                    segments.append(Segment(low + a, low + b, _grid_tree(kinds, dims, where, bool(way))))
        return (tuple(segments),)

    return plan


def _cells(dims: tuple[int, ...], count: int) -> Iterator[tuple[tuple[int, ...], tuple[int, int]]]:
    """Coordinates and elements of each chunk, cut axis by axis."""
    if not dims:
        yield (), (0, count)
        return
    for c, (low, high) in enumerate(partition.ceiling(count, dims[0])):
        for where, (a, b) in _cells(dims[1:], high - low):
            yield (c, *where), (low + a, low + b)


def _grid_tree(kinds: Callable[[int], Axis], dims: tuple[int, ...], where: tuple[int, ...], back: bool) -> Tree:
    """Tree of the chunk that ends at coordinates `where`; `back`: rings turn the other way."""

    def value(axis: int, first: int) -> Tree:
        """Sum over the axes up to `axis` of the ranks whose later coordinates give the offset `first`."""
        if axis < 0:
            return first
        size, stride, c = dims[axis], prod(dims[:axis]), where[axis]
        order = list(range(size))
        if kinds(axis) in ("ring", "both"):
            order = [(c - 1 - i if back else c + 1 + i) % size for i in range(size)]
        parts = [value(axis - 1, first + i * stride) for i in order]
        if size == 1:
            return parts[0]
        if kinds(axis) == "mesh":
            return tuple(parts)
        return trees.halving(parts) if kinds(axis) == "halving" else trees.chain(parts)

    return value(len(dims) - 1, 0)


def two_trees(s: Shape) -> Plan:
    """Half of the vector, or the even and the odd chunks that are given, to each tree of NCCL's pair."""
    built = [trees.double_binary_tree(s.ranks, which) for which in (0, 1)]
    cut = s.bounds or partition.first_larger(s.count, 2)
    return (tuple(Segment(a, b, built[c % 2]) for c, (a, b) in enumerate(cut) if a < b),)


def collnet(direct: bool) -> Callable[[Shape], Plan]:
    """NCCL's CollNet: sums inside the nodes of a grid (GPUs of a node, nodes), then one in the network's switches.

    direct: each local rank starts the chunk it is head of, and the peers follow in channel order; chain: one chain up to
    the first. The switches' own order and width are not published: one addition of all nodes.
    """

    def plan(s: Shape) -> Plan:
        dims = s.grid or (s.ranks, 1)
        check_grid(s.ranks, dims)
        if len(dims) != 2:
            raise ValueError(f"CollNet takes a grid of GPUs of a node and nodes, got {dims}")
        local, nodes = dims

        def node(first: int, head: int) -> Tree:
            ranks = list(range(first, first + local))
            return (
                trees.chain([first + head, *(r for r in ranks if r != first + head)])
                if direct
                else trees.right_chain(ranks)
            )

        def tree(head: int) -> Tree:
            sums = tuple(node(k * local, head) for k in range(nodes))
            return sums if nodes > 1 else sums[0]

        cut = s.bounds or partition.ceiling(s.count, local if direct else 1)
        built = [tree(head) for head in range(local if direct else 1)]
        return (tuple(Segment(a, b, built[c % len(built)]) for c, (a, b) in enumerate(cut) if a < b),)

    return plan


def kanga(n: int) -> Tree:
    """Three inputs at each hop: the partial sum, and two ranks."""
    tree: Tree = 0
    for i in range(1, n, 2):
        tree = (tree, *range(i, min(i + 2, n)))
    return tree


def nccl_tree(n: int) -> Tree:
    """One node: a chain to the first GPU."""
    return trees.right_chain(list(range(n)))


def pat(s: Shape) -> Plan:
    """NCCL's PAT without aggregation."""
    cut = s.bounds or partition.first_larger(s.count, s.ranks)
    return (tuple(Segment(a, b, trees.pat(s.ranks, c % s.ranks)) for c, (a, b) in enumerate(cut) if a < b),)
