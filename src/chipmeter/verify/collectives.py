"""Recordings of MPI libraries and gloo: every result again, in the association of the library's algorithm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chipmeter._arrays import AnyArray, dtype_of
from chipmeter.collectives.algorithms import ALGORITHMS
from chipmeter.collectives.plans import Shape
from chipmeter.collectives.run import Arithmetic, reduce_shards
from chipmeter.verify.compare import Emulated, compare
from chipmeter.verify.layout import CollectiveRecord, CollectivesIndex, Recording
from chipmeter.verify.report import Row

_NAMES = {
    "openmpi allreduce basic_linear": "linear",
    "openmpi allreduce segmented_ring_256B": "segmented_ring",
    "openmpi reduce chain_fanout2": "chain2",
    "openmpi reduce_scatter ring": "reduce_scatter_ring",
    "openmpi reduce_scatter_block basic_linear": "reduce_scatter_block_linear",
    "openmpi reduce_scatter_block recursive_doubling": "reduce_scatter_recursive_doubling",
    "mpich allreduce k_reduce_scatter_allgather_k2": "rabenseifner",
    "mpich allreduce recexch_k2": "recursive_doubling",
    "mpich allreduce recexch_k4": "recexch4",
    "mpich allreduce recursive_multiplying_k3": "recursive_multiplying3",
    "mpich allreduce reduce_scatter_allgather(rabenseifner)": "rabenseifner",
    "mpich allreduce tree_kary_k2": "kary2",
    "mpich allreduce tree_knomial_1_k2": "knomial2",
    "mpich reduce reduce_scatter_gather(rabenseifner)": "rabenseifner",
    "mpich reduce_scatter recursive_doubling": "reduce_scatter_recursive_doubling",
}
"""Where a recording's name is not that of the algorithm in its library."""

_OPS = {"max": "max_select", "min": "min_select"}
_SIXTY_FOURTH = "x/64 in float32 then round-to-nearest float16"
_TRANSFORMS = ("none", "cast", "round-to-nearest-even bfloat16 (stored as uint16 bits)", _SIXTY_FOURTH)
_DTYPES = ("float64", "float32", "float16", "bfloat16")


def collective_rows(recording: Recording, index: CollectivesIndex) -> Iterator[Row]:
    """Emulate every record; the records of "special" values have one row for each operation."""
    for record in index.records:
        for op in record.ops or (record.op or "sum",):
            name = record.file if record.key == "y" else f"{record.file}:{record.key}"
            yield _row(recording, record, op, f"{name} {op}" if record.ops else name)


def _row(recording: Recording, record: CollectiveRecord, op: str, name: str) -> Row:
    key = f"{record.library_key} {record.collective} {record.name}"
    algorithm = ALGORITHMS.get(f"{record.library_key}/{_NAMES.get(key, record.name)}")
    missing = None
    if algorithm is None:
        missing = f"the algorithm {key}"
    elif record.dtype not in _DTYPES or record.input_transform not in _TRANSFORMS:
        missing = f"{record.dtype} made by {record.input_transform!r}"
    elif op not in ("sum", "prod", "min", "max"):
        missing = f"the operation {op}"
    if missing is not None or algorithm is None:
        return Row(name, 0, 0, record.count, f"not supported: {missing}")
    if (record.root or 0) >= record.n:
        raise ValueError(f"{record.file}: root {record.root} is not one of {record.n} ranks")
    recorded_key = op if record.ops else record.key
    x = _input(recording, record)
    op = _OPS.get(op, op)
    try:
        plan = algorithm.plan(Shape(len(x), record.count, x.dtype.itemsize, record.root or 0, op=op))
    except ValueError as error:
        return Row(name, 0, 0, record.count, f"not supported: {error}")
    recorded = recording.archive(record.file).numbers(recorded_key, x.dtype.itemsize)
    rows = 1 if recorded.ndim == 1 else len(recorded)
    if recorded.shape not in ((record.count,), (1, record.count), (record.n, record.count)):
        raise ValueError(
            f"{record.file}: recorded shape {recorded.shape} does not fit {record.n} ranks of {record.count}"
        )
    emulated = np.empty_like(x)
    reduce_shards(x, plan, Arithmetic(op), emulated, len(x), 1)  # type: ignore[arg-type]
    bits = emulated.view(recorded.dtype)[:rows].reshape(recorded.shape)
    return compare(name, Emulated(bits, f"all_reduce, algorithm {algorithm.name}"), recorded)


def _input(recording: Recording, record: CollectiveRecord) -> AnyArray:
    given = recording.archive(record.input).numbers(record.input_key, 4)
    if given.ndim != 2 or len(given) != record.n or record.n < 2:
        raise ValueError(f"{record.input}: input shape {given.shape} does not fit {record.n} ranks")
    low, high = record.input_columns or (0, given.shape[1])
    if high - low != record.count or high > given.shape[1]:
        raise ValueError(f"{record.file}: {record.count} elements do not fit columns {low} to {high} of {given.shape}")
    x = given.view(np.float32)[:, low:high]
    if record.input_transform == _SIXTY_FOURTH:
        x = x / np.float32(64)
    return np.ascontiguousarray(x.astype(dtype_of(record.dtype)))
