"""Reducing collectives over virtual ranks, bit for bit in the association of an algorithm or a schedule."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chipmeter import _kernels
from chipmeter._arrays import AnyArray, as_array, output_array
from chipmeter._names import unknown_name
from chipmeter._threads import split, thread_count
from chipmeter.collectives.algorithms import Accumulate, plan_of
from chipmeter.collectives.algorithms import algorithm as find
from chipmeter.collectives.nccl import Nccl, ll128_fused
from chipmeter.collectives.nccl import chunks as ring_chunks
from chipmeter.collectives.partition import Bounds
from chipmeter.collectives.plans import Plan, Segment, Shape
from chipmeter.collectives.program import compile_tree
from chipmeter.collectives.schedule import Schedule
from chipmeter.formats import FloatFormat, cast, format_of
from chipmeter.formats.policies import decode_spec, encode_spec

Op = Literal["sum", "prod", "min", "max", "avg", "min_select", "max_select"]
Average = Literal["pre", "fused", "post"]

_TYPES = {
    "float32": 0, "float64": 1, "bfloat16": 2, "float16": 3, "int8": 5, "uint8": 6, "int16": 7, "uint16": 8,
    "int32": 9, "uint32": 10, "int64": 11, "uint64": 12,
}  # fmt: skip
_OPS = {"sum": 0, "prod": 1, "min": 2, "max": 3, "min_select": 4, "max_select": 5, "avg": 0}
_Settings = tuple[int, int, bool, int, float, int, _kernels.EncodeSpec | None, _kernels.DecodeSpec | None, int]
_GRAIN, _STREAM_BYTES, _KEPT, _BLOCK = 1 << 16, 1 << 23, 32, 16384 * 8


@dataclass(frozen=True)
class Arithmetic:
    """How two partial results meet: the operation and the type of what lies between.

    Parameters
    ----------
    op : str
        "sum", "prod"; "min", "max": a number beats NaN, two NaN give the canonical one, -0 is less than +0;
        "min_select", "max_select": `a < b ? a : b` and `a > b ? a : b` as MPI libraries write it, so that NaN and
        zeros depend on the order; "avg".
    accumulate : {"storage", "float32"}
        Small floats: one rounding to their type at every addition, or one at the end.
    average : {"pre", "fused", "post"}
        "pre": every rank multiplies by 1 / ranks, rounded; "fused": as ncclAvg is compiled, one rounding for
        `own / ranks + received`; "post": the sum is divided. Integers: "post", toward zero.
    stochastic : bool
        Small floats: partial sums are rounded stochastically, from Philox words numbered by step and element.
    seed : int
    """

    op: Op = "sum"
    accumulate: Accumulate = "storage"
    average: Average = "fused"
    stochastic: bool = False
    seed: int = 0


def reduce_shards(x: AnyArray, plan: Plan, arithmetic: Arithmetic, out: AnyArray, rows: int, threads: int) -> None:
    """Write the reduction of x, (ranks, count), into the `rows` rows of out; every row its own if the plan says so."""
    ranks, count = x.shape
    settings = _settings(x.dtype, ranks, arithmetic)
    source = x.view(np.uint8).reshape(ranks, -1)
    into = out.view(np.uint8).reshape(rows, -1)
    if len(plan) > 1 and np.may_share_memory(source, into):
        source = source.copy()
    for k, segments in enumerate(plan):
        steps, depth, table = _programs(segments)
        target = into if len(plan) == 1 else into[k : k + 1]
        stream = target.size >= _STREAM_BYTES

        def work(
            i: int,
            j: int,
            target: NDArray[np.uint8] = target,
            steps: NDArray[np.int32] = steps,
            depth: int = depth,
            table: NDArray[np.int64] = table,
            stream: bool = stream,
        ) -> None:
            scratch = np.empty((depth + 3) * _BLOCK, np.uint8)
            _kernels.reduce(source, target, steps, depth, table, i, j, *settings, stream, scratch)

        split(work, count, threads, _GRAIN)


_Program = tuple[NDArray[np.int32], int, NDArray[np.int64]]
_compiled: dict[int, tuple[tuple[Segment, ...], _Program]] = {}
"""The programs of the segments used last, by identity: trees are too deep to be hashed."""


def _programs(segments: tuple[Segment, ...]) -> _Program:
    """Each tree once, and the table of segments."""
    known = _compiled.get(id(segments))
    if known is not None and known[0] is segments:
        return known[1]
    seen: dict[int, tuple[int, int]] = {}
    parts: list[NDArray[np.int32]] = []
    table = np.empty((len(segments), 5), np.int64)
    length = depth = 0
    for i, s in enumerate(segments):
        if id(s.tree) not in seen:
            steps, deep = compile_tree(s.tree)
            seen[id(s.tree)] = length, length + len(steps)
            parts.append(steps)
            length, depth = length + len(steps), max(depth, deep)
        table[i] = s.begin, s.end, *seen[id(s.tree)], s.rotation
    steps = np.concatenate(parts) if parts else np.zeros((1, 2), np.int32)
    program = steps, max(depth, 1), table
    while len(_compiled) >= _KEPT:
        _compiled.pop(next(iter(_compiled)), None)
    _compiled[id(segments)] = segments, program
    return program


def _settings(dtype: np.dtype[Any], ranks: int, a: Arithmetic) -> _Settings:
    encode = decode = None
    kind = _TYPES.get(_name(dtype), 4)
    small = 2 <= kind <= 4
    if small:
        fmt = format_of(_name(dtype))
        assert isinstance(fmt, FloatFormat)
        encode = encode_spec(fmt, "stochastic" if a.stochastic else "nearest-even", "saturate" if kind == 4 else "ofp8")
        decode = decode_spec(fmt)
    scaling, scale, divisor = 0, 1.0, 0
    if a.op == "avg":
        if kind > 4 or a.average == "post":
            divisor = ranks
        else:
            scaling = 2 if a.average == "fused" and kind != 4 and a.accumulate == "storage" else 1
            single = np.float32(1.0 / ranks)
            scale = 1.0 / ranks if kind == 1 else float(np.asarray(single).astype(dtype)) if small else float(single)
    return kind, _OPS[a.op], a.accumulate == "float32", scaling, scale, divisor, encode, decode, a.seed


def prepare(shards: ArrayLike, dtype: str | None) -> AnyArray:
    """Take shards of one dtype as a C-contiguous array (ranks, ...)."""
    if isinstance(shards, (list, tuple)):
        arrays = [as_array(s, "shards") for s in shards]
        kinds = {(a.dtype, a.shape) for a in arrays}
        if len(kinds) > 1:
            raise ValueError(f"ranks must hold arrays of one dtype and shape, got {sorted(map(str, kinds))}")
        x = np.stack(arrays) if arrays else np.empty((0, 0), np.float32)
    else:
        x = as_array(shards, "shards")
    if x.ndim < 2:
        raise ValueError(f"shards must have a shape (ranks, ...), got {x.shape}")
    if x.shape[0] < 2:
        raise ValueError(f"a collective needs at least 2 ranks, got {x.shape[0]}")
    if dtype is not None and not isinstance(dtype, str):
        raise TypeError(f"dtype must be the name of a format or None, got {dtype!r}")
    if dtype is not None and dtype != _name(x.dtype):
        x = x.astype(dtype) if dtype in ("float32", "float64") and x.dtype.kind != "c" else cast(x, dtype)
    name = _name(x.dtype)
    if (name not in _TYPES and not name.startswith("float8_e")) or name == "float8_e8m0fnu":
        raise TypeError(f"ranks must hold float64, float32, bfloat16, float16, an fp8 type or integers, got {x.dtype}")
    return np.ascontiguousarray(x)


def own_output(out: AnyArray | None, x: AnyArray) -> AnyArray:
    """Give the array that results are written to, which may be the shards themselves."""
    if out is None or out is not x:
        return output_array(out, x.shape, x.dtype, x)
    if not x.flags.writeable:
        raise ValueError("out is read-only")
    return x


def plan_for(how: str | Schedule, operation: str, shape: Shape) -> Plan:
    """Find the association of an algorithm, or prove and read that of a schedule."""
    if isinstance(how, Schedule):
        if (how.operation, how.ranks) != (operation, shape.ranks):
            raise ValueError(
                f"schedule {how.name!r} is a {how.operation} of {how.ranks} ranks, not a {operation} of {shape.ranks}"
            )
        return plan_of(how, shape.count)
    find(how)
    if shape.count == 0:
        return ()
    return _plan_named(how, operation, shape)


@functools.lru_cache(maxsize=_KEPT)
def _plan_named(name: str, operation: str, shape: Shape) -> Plan:
    return find(name).plan(shape)


@functools.cache
def _name(dtype: np.dtype[Any]) -> str:
    """Name a dtype; NumPy makes the name anew each time."""
    return dtype.name


def _arithmetic(
    op: Op, how: str | Schedule, accumulate: Accumulate | None, average: Average, stochastic: bool, seed: int
) -> Arithmetic:
    if not isinstance(op, str) or op not in _OPS:
        raise unknown_name("operation", op, _OPS)
    if accumulate is not None and (not isinstance(accumulate, str) or accumulate not in ("storage", "float32")):
        raise ValueError(f"accumulate must be 'storage' or 'float32', got {accumulate!r}")
    if not isinstance(average, str) or average not in ("pre", "fused", "post"):
        raise ValueError(f"average must be 'pre', 'fused' or 'post', got {average!r}")
    if accumulate is None:
        accumulate = "storage" if isinstance(how, Schedule) else find(how).accumulate
    return Arithmetic(op, accumulate, average, stochastic, seed)


def all_reduce(
    shards: ArrayLike,
    algorithm: str | Schedule = "ring",
    *,
    op: Op = "sum",
    dtype: str | None = None,
    accumulate: Accumulate | None = None,
    average: Average = "fused",
    stochastic: bool = False,
    seed: int = 0,
    chunks: Bounds = (),
    grid: tuple[int, ...] = (),
    nccl: Nccl | None = None,
    out: AnyArray | None = None,
    threads: int | None = None,
) -> AnyArray:
    """Reduce over ranks in the order of a collective algorithm; every rank gets a result.

    Rounding: each addition of the algorithm's association once, in the ranks' type, or (accumulate="float32") in
    float32 with one rounding at the end. Subnormals are kept; fp8 saturates; integers wrap. A NaN keeps the payload of
    the first operand that is one, quieted. Same bits on every tier and for any number of threads.

    Parameters
    ----------
    shards : array_like
        Shape (ranks, ...), or a list of arrays of one dtype and shape.
    algorithm : str or Schedule
        A name of `chipmeter.collectives.ALGORITHMS`, or a schedule of your own, which is proved complete first.
    op : str
        See `Arithmetic`, as `accumulate`, `average`, `stochastic` and `seed`.
    dtype : str, optional
        Cast the shards to this format first.
    chunks : tuple of (int, int), optional
        Element ranges of the chunks of a ring, instead of the algorithm's own cut: chunk i belongs to rank i mod ranks.
    grid : tuple of int, optional
        Ranks along each axis of "two_level", a torus, or Neuron's mesh and RDH, neighbouring ranks first.
    nccl : Nccl, optional
        Channels, protocol and group for "nccl/ring" and "nccl/tree". Under LL128 a fused average is fused in some
        elements only, as the shipped kernels are.
    out : ndarray, optional
        Of the shape of the shards; may be the shards themselves.
    threads : int, optional

    Returns
    -------
    ndarray
        Shape (ranks, ...): the result of each rank.

    Raises
    ------
    ValueError, TypeError
        For fewer than 2 ranks, mixed dtypes, an incomplete schedule, an unknown name; the arrays are then untouched.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1e8], [1.0], [-1e8], [1.0]], np.float32)
    >>> all_reduce(x, "recursive_doubling")[0], all_reduce(x, "linear")[0]
    (array([0.], dtype=float32), array([0.], dtype=float32))
    """
    x = prepare(shards, dtype)
    a = _arithmetic(op, algorithm, accumulate, average, stochastic, seed)
    flat = x.reshape(x.shape[0], -1)
    bounds = check_chunks(chunks, flat.shape[1])
    if nccl is not None and not isinstance(nccl, Nccl):
        raise TypeError(f"nccl must be a chipmeter.collectives.Nccl or None, got {nccl!r}")
    if not isinstance(grid, (tuple, list)) or not all(isinstance(n, (int, np.integer)) for n in grid):
        raise TypeError(f"grid must be a tuple of whole numbers, ranks along each axis, got {grid!r}")
    shape = Shape(*flat.shape, x.dtype.itemsize, bounds=bounds, grid=tuple(grid), nccl=nccl, op=op)
    plan = plan_for(algorithm, "all_reduce", shape)
    workers = thread_count(threads)
    result = own_output(out, x)
    if flat.shape[1]:
        mask = None
        if nccl is not None and nccl.protocol == "ll128" and algorithm == "nccl/ring" and op == "avg":
            mask = ll128_fused(ring_chunks(flat.shape[1], x.dtype.itemsize, len(x), nccl), flat.shape[1], x.itemsize)
        before = flat.copy() if mask is not None and result is x else flat
        reduce_shards(flat, plan, a, result.reshape(flat.shape), len(flat), workers)
        if mask is not None and average == "fused":
            rounded = np.empty_like(before)
            reduce_shards(before, plan, replace(a, average="pre"), rounded, len(before), workers)
            np.copyto(result.reshape(flat.shape), rounded, where=~mask)
    return result


def check_chunks(chunks: Bounds, count: int) -> Bounds:
    """Refuse chunks that do not cover the vector in order; give them as tuples."""
    try:
        bounds = tuple((int(low), int(high)) for low, high in chunks)
    except (TypeError, ValueError):
        raise TypeError(f"chunks must be pairs (first element, one past the last), got {chunks!r}") from None
    at = 0
    for low, high in bounds:
        if low != at or high < low:
            raise ValueError(f"chunks must follow each other from 0, got ({low}, {high}) at {at}")
        at = high
    if bounds and at != count:
        raise ValueError(f"chunks cover {at} of {count} elements")
    return bounds


def reduce(
    shards: ArrayLike,
    algorithm: str | Schedule = "binomial",
    *,
    root: int = 0,
    op: Op = "sum",
    dtype: str | None = None,
    accumulate: Accumulate | None = None,
    average: Average = "fused",
    out: AnyArray | None = None,
    threads: int | None = None,
) -> AnyArray:
    """Reduce over ranks to the root; parameters and rounding as `all_reduce`, `out` of the shape of one rank.

    Returns
    -------
    ndarray
        The root's result, of the shape of one rank.

    Examples
    --------
    >>> import numpy as np
    >>> reduce(np.ones((3, 2), np.float32))
    array([3., 3.], dtype=float32)
    """
    x = prepare(shards, dtype)
    if isinstance(root, bool) or not isinstance(root, int) or not 0 <= root < len(x):
        raise ValueError(f"root must be one of {len(x)} ranks, got {root!r}")
    a = _arithmetic(op, algorithm, accumulate, average, False, 0)
    flat = x.reshape(x.shape[0], -1)
    plan = plan_for(algorithm, "reduce", Shape(*flat.shape, x.dtype.itemsize, root, op=op))
    result = output_array(out, x.shape[1:], x.dtype, x)
    if flat.shape[1]:
        chosen = plan if len(plan) == 1 else plan[root : root + 1]
        reduce_shards(flat, chosen, a, result.reshape(1, -1), 1, thread_count(threads))
    return result


def reduce_scatter(
    shards: ArrayLike,
    algorithm: str | Schedule = "ring",
    *,
    op: Op = "sum",
    dtype: str | None = None,
    accumulate: Accumulate | None = None,
    average: Average = "fused",
    out: AnyArray | None = None,
    threads: int | None = None,
) -> AnyArray:
    """Reduce over ranks; rank r keeps block r. Parameters and rounding as `all_reduce`, `out` of the shape returned.

    Parameters
    ----------
    shards : array_like
        Shape (ranks, ranks x block, ...): axis 1 is cut into one block for each rank.

    Returns
    -------
    ndarray
        Shape (ranks, block, ...).

    Examples
    --------
    >>> import numpy as np
    >>> reduce_scatter(np.ones((2, 4), np.int32))
    array([[2, 2],
           [2, 2]], dtype=int32)
    """
    x = prepare(shards, dtype)
    ranks = len(x)
    if x.shape[1] % ranks:
        raise ValueError(f"axis 1 of {x.shape} must be a multiple of the {ranks} ranks")
    a = _arithmetic(op, algorithm, accumulate, average, False, 0)
    flat = x.reshape(ranks, -1)
    plan = plan_for(algorithm, "reduce_scatter", Shape(*flat.shape, x.dtype.itemsize, op=op))
    result = output_array(out, (ranks, x.shape[1] // ranks, *x.shape[2:]), x.dtype, x)
    if flat.shape[1]:
        if len(plan) > 1:
            raise ValueError("an algorithm whose ranks differ has no reduce_scatter")
        reduce_shards(flat, plan, a, result.reshape(1, -1), 1, thread_count(threads))
    return result
