"""Algorithms by name: the association of every element, with its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from chipmeter._names import unknown_name
from chipmeter.collectives import nccl, partition, plans, trees
from chipmeter.collectives.build_grids import Axis, chips_of_four
from chipmeter.collectives.plans import Plan, Segment, Shape
from chipmeter.collectives.schedule import Schedule, check
from chipmeter.evidence import Evidence

Accumulate = Literal["storage", "float32"]


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


def _seen(library: str) -> Evidence:
    return Evidence("hardware", f"recorded runs of {library}", "2026-11")


def _read(source: str) -> Evidence:
    return Evidence("documented", f"source of {source}", "2026-11")


def _rdh(axis: int) -> Axis:
    return "halving" if axis else "mesh"


_OMPI, _MPICH, _GLOO = _seen("Open MPI 5.0.11"), _seen("MPICH 5.0.2"), _seen("gloo in torch 2.13.0")
_NCCL = _read("NVIDIA/nccl 5067397 (2.30.7)")
_ASSUMED = Evidence("assumed", "order not published; a choice of ours", "2026-11")

ALGORITHMS: dict[str, Algorithm] = {
    a.name: a
    for a in (
        Algorithm("ring", plans.rotated(plans.ceiling, plans.after_order), _NCCL, note="chunk c is the chain c + 1, ..., c"),
        Algorithm("recursive_doubling", plans.whole(plans.doubled), _OMPI),
        Algorithm("rabenseifner", plans.whole(plans.doubled), _OMPI, note="same association as recursive doubling"),
        Algorithm("recursive_halving", plans.whole(plans.halved), _OMPI),
        Algorithm("linear", plans.whole(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("rank_order", plans.whole(lambda n: trees.chain(list(range(n)))), _seen("XLA CPU, jax 0.10.2"), "float32"),
        Algorithm("pipeline", plans.rooted(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("chain", plans.rooted(lambda n: trees.fans(n, 4)), _OMPI),
        Algorithm("binomial", plans.rooted(trees.binomial), _OMPI),
        Algorithm("binary", plans.rooted(trees.level_binary), _OMPI),
        Algorithm("tree", plans.whole(plans.nccl_tree), _NCCL, note="one node; several nodes: double_binary_tree"),
        Algorithm("pat", plans.pat, _NCCL, note="reduce_scatter, aggregation factor 1"),
        Algorithm("two_shot", plans.rotated(plans.larger, plans.from_order), _read("vLLM 0bf6342"), "float32"),
        Algorithm("one_shot", plans.whole(lambda n: trees.chain(list(range(n)))), _read("vLLM 0bf6342"), "float32"),
        Algorithm("trtllm", plans.whole(lambda n: trees.chain(list(range(n)))), _read("flashinfer fb28d72")),
        Algorithm("mscclpp/allpair", plans.own_first, _read("microsoft/mscclpp 1f5f065"), note="ranks differ"),
        Algorithm("mscclpp/rsag", plans.rotated(plans.larger, plans.from_order), _read("microsoft/mscclpp 1f5f065")),
        Algorithm("nccl/ring", nccl.ring_plan, _NCCL, note="chunks from size, channels, protocol and group"),
        Algorithm("nccl/tree", nccl.tree_plan, _NCCL, note="channels decide the tree; nodes of `per_node` GPUs"),
        Algorithm("nccl/symmetric", plans.whole(lambda n: trees.chain(list(range(n)))), _NCCL, "float32"),
        Algorithm("nvls", plans.whole(lambda n: tuple(range(n))), _ASSUMED, "float32", "a model: the switch's order is unknown"),
        Algorithm("collnet/direct", plans.collnet(True), _ASSUMED, note="inside nodes as NCCL's source; the switch's order is unknown"),
        Algorithm("collnet/chain", plans.collnet(False), _ASSUMED, note="inside nodes as NCCL's source; the switch's order is unknown"),
        Algorithm("double_binary_tree", plans.two_trees, _NCCL, note="nodes of one GPU; half of the vector to each tree"),
        Algorithm("two_level", plans.gridded(lambda a: "ring"), _ASSUMED, note="rings inside groups, then over groups"),
        Algorithm("torus", plans.gridded(lambda a: "ring"), _ASSUMED, note="rings along each axis, in turn"),
        Algorithm("torus3d", plans.gridded(lambda a: "ring", 3), _ASSUMED, note="rings along each axis, in turn"),
        Algorithm("tpu/torus", plans.gridded(lambda a: "both", 3), _ASSUMED, note="half of the vector each way round"),
        Algorithm("neuron/ring", plans.rotated(plans.ceiling, plans.after_order), Evidence("documented", "AWS Neuron documentation", "2026-11")),
        Algorithm("neuron/mesh", plans.gridded(lambda a: "mesh", 2, chips_of_four), _ASSUMED, "float32", "sources in rank order"),
        Algorithm("neuron/rdh", plans.gridded(_rdh, 2, chips_of_four), _ASSUMED, note="cores of a chip, then halving"),
        Algorithm("neuron/kangaring", plans.rotated(plans.ceiling, lambda n: [plans.kanga(n)]), _ASSUMED, note="roles and sizes unknown"),
        Algorithm("openmpi/ring", plans.open_mpi, _OMPI),
        Algorithm("openmpi/segmented_ring", plans.open_mpi, _OMPI),
        Algorithm("openmpi/recursive_doubling", plans.open_mpi_doubling, _OMPI),
        Algorithm("openmpi/rabenseifner", plans.whole(plans.doubled), _OMPI),
        Algorithm("openmpi/linear", plans.whole(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("openmpi/chain2", plans.rooted(lambda n: trees.fans(n, 2)), _OMPI),
        Algorithm("openmpi/pipeline", plans.rooted(lambda n: trees.right_chain(list(range(n)))), _OMPI),
        Algorithm("openmpi/binary", plans.rooted(trees.level_binary), _OMPI),
        Algorithm("openmpi/binomial", plans.rooted(trees.binomial), _OMPI),
        Algorithm("openmpi/in_order_binary", plans.whole(trees.in_order_binary), _OMPI),
        Algorithm("openmpi/recursive_halving", plans.whole(plans.halved), _OMPI),
        Algorithm("openmpi/butterfly", plans.whole(plans.doubled), _OMPI),
        Algorithm("openmpi/reduce_scatter_ring", plans.rotated(plans.larger, plans.after_order), _OMPI),
        Algorithm("openmpi/reduce_scatter_block_linear", plans.decided, _OMPI),
        Algorithm("openmpi/reduce_scatter_recursive_doubling", plans.whole(trees.binomial), _OMPI),
        Algorithm("mpich/ring", plans.onto(plans.ceiling, plans.after_order), _MPICH),
        Algorithm("mpich/recursive_doubling", plans.each(True), _MPICH, note="ranks differ for NaN and zeros of both signs"),
        Algorithm("mpich/rabenseifner", plans.whole(plans.doubled), _MPICH),
        Algorithm("mpich/recexch4", plans.whole(plans.multi_exchange), _MPICH),
        Algorithm("mpich/recursive_multiplying3", plans.whole(plans.multiplied), _MPICH),
        Algorithm("mpich/kary2", plans.whole(trees.kary), _MPICH),
        Algorithm("mpich/knomial2", plans.whole(trees.knomial), _MPICH),
        Algorithm("mpich/binomial", plans.rooted(trees.binomial), _MPICH),
        Algorithm("mpich/pairwise", plans.rotated(plans.larger, plans.down_from_order), _MPICH),
        Algorithm("mpich/recursive_halving", plans.whole(plans.halved), _MPICH),
        Algorithm("mpich/reduce_scatter_recursive_doubling", plans.whole(trees.binomial), _MPICH),
        Algorithm("gloo/ring", plans.rotated(plans.gloo, plans.down_to_order), _GLOO),
    )
}  # fmt: skip
"""Named associations; a bare name is the textbook form of the library that its evidence names."""


def algorithm(name: str) -> Algorithm:
    """Find an algorithm by name.

    >>> algorithm("gloo/ring").evidence.grade
    'hardware'
    """
    if not isinstance(name, str) or name not in ALGORITHMS:
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
