"""Schedules by name: the symbolic rounds of each algorithm, and its messages."""

from __future__ import annotations

from collections.abc import Callable

from chipmeter._names import unknown_name
from chipmeter.collectives import build_direct, build_grids, build_rings, build_trees
from chipmeter.collectives.build_grids import Axis, GridBuild, check_grid, chips_of_four, squarest
from chipmeter.collectives.build_rings import ASSUMED, MPI, NCCL, Build
from chipmeter.collectives.schedule import Schedule
from chipmeter.evidence import Evidence

_VLLM = Evidence("documented", "source of vLLM 0bf6342", "2026-11")
_MSCCLPP = Evidence("documented", "source of microsoft/mscclpp 1f5f065", "2026-11")
_NEURON = Evidence("documented", "AWS Neuron documentation", "2026-11")

_BUILDERS: dict[tuple[str, str], tuple[Callable[[int, str], Build], Evidence]] = {
    ("all_reduce", "recursive_doubling"): (build_trees.doubling, MPI),
    ("all_reduce", "rabenseifner"): (build_trees.rabenseifner, MPI),
    ("reduce_scatter", "recursive_halving"): (build_trees.halving, MPI),
    ("reduce", "binomial"): (build_trees.binomial, MPI),
    ("broadcast", "binomial"): (build_trees.binomial, MPI),
    ("reduce", "pipeline"): (build_rings.pipeline, MPI),
    ("broadcast", "pipeline"): (build_rings.pipeline, MPI),
    ("all_reduce", "double_binary_tree"): (build_trees.double_binary_tree, NCCL),
    ("reduce_scatter", "pat"): (build_trees.pat, NCCL),
    ("all_gather", "pat"): (build_trees.pat, NCCL),
    ("all_reduce", "one_shot"): (build_direct.one_shot("rank-order"), _VLLM),
    ("all_reduce", "mscclpp/allpair"): (build_direct.one_shot("own+received"), _MSCCLPP),
    ("all_gather", "bruck"): (build_direct.bruck_all_gather, MPI),
    ("all_to_all", "bruck"): (build_direct.bruck_all_to_all, MPI),
    ("all_to_all", "pairwise"): (build_direct.pairwise, MPI),
    ("barrier", "dissemination"): (build_direct.dissemination, MPI),
}
for _operation in ("all_reduce", "reduce_scatter", "all_gather"):
    _BUILDERS |= {
        (_operation, "ring"): (build_rings.ring, NCCL),
        (_operation, "neuron/ring"): (build_rings.ring, _NEURON),
        (_operation, "two_shot"): (build_direct.two_shot("own+received"), _VLLM),
        (_operation, "nvls"): (build_direct.two_shot("fused-rank-order"), ASSUMED),
    }
for _operation in ("all_reduce", "reduce_scatter"):
    _BUILDERS[_operation, "neuron/kangaring"] = build_rings.kangaring, ASSUMED


def _chip_then_halving(axis: int) -> Axis:
    return "halving" if axis else "mesh"


_GRIDS: dict[str, tuple[GridBuild, Callable[[int], tuple[int, ...]]]] = {
    "two_level": (build_grids.grid(lambda axis: "ring"), squarest),
    "torus": (build_grids.grid(lambda axis: "ring"), squarest),
    "torus3d": (build_grids.grid(lambda axis: "ring"), lambda n: squarest(n, 3)),
    "tpu/torus": (build_grids.grid(lambda axis: "both"), lambda n: squarest(n, 3)),
    "neuron/mesh": (build_grids.grid(lambda axis: "mesh"), chips_of_four),
    "neuron/rdh": (build_grids.grid(_chip_then_halving), chips_of_four),
}


def schedule(
    operation: str, algorithm: str, ranks: int, *, grid: tuple[int, ...] = (), expand: bool = True
) -> Schedule:
    """Build the schedule of an algorithm.

    Parameters
    ----------
    operation : str
        "all_reduce", "reduce_scatter", "all_gather", "reduce", "broadcast" (root 0), "all_to_all", "barrier".
    algorithm : str
    ranks : int
        At least 2.
    grid : tuple of int, optional
        For "two_level", tori and Neuron's mesh and RDH: ranks along each axis, neighbouring ranks first. By default
        the squarest grid of two axes (three for "torus3d" and "tpu/torus"), or chips of four cores.
    expand : bool
        Whether to list the messages too. Without them the cost does not grow with the square of the ranks.

    Raises
    ------
    UnknownNameError
        If the algorithm does not exist for the operation.
    ValueError
        If `ranks` is less than 2, or is not what the grid holds.

    Examples
    --------
    >>> schedule("all_reduce", "ring", 100_000, expand=False).steps
    199998
    >>> schedule("all_reduce", "two_level", 8, grid=(4, 2)).steps
    8
    """
    grids = _GRIDS if operation in ("all_reduce", "reduce_scatter", "all_gather") else {}
    if (operation, algorithm) not in _BUILDERS and algorithm not in grids:
        known = [name for of, name in _BUILDERS if of == operation]
        raise unknown_name(f"{operation} schedule", algorithm, [*known, *grids])
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {ranks!r}")
    if algorithm in grids:
        build_grid, default = grids[algorithm]
        dims = grid or default(ranks)
        check_grid(ranks, dims)
        if algorithm == "neuron/rdh" and any(d & d - 1 for d in dims[1:]):
            raise ValueError(f"neuron/rdh halves powers of two of chips, got {dims}")
        chunks, rounds, messages, owners = build_grid(ranks, operation, dims)
        evidence = ASSUMED
    else:
        if grid:
            raise ValueError(f"{algorithm} has no grid, got {grid}")
        build, evidence = _BUILDERS[operation, algorithm]
        chunks, rounds, messages, owners = build(ranks, operation)
    moved = tuple(messages) if expand else ()
    return Schedule(algorithm, operation, ranks, chunks, moved, rounds, owners=owners, evidence=evidence)


def schedule_names(operation: str) -> tuple[str, ...]:
    """Algorithms that have a schedule for an operation.

    >>> schedule_names("barrier")
    ('dissemination',)
    """
    grids = _GRIDS if operation in ("all_reduce", "reduce_scatter", "all_gather") else {}
    return (*(name for of, name in _BUILDERS if of == operation), *grids)
