"""Workloads that are lists of operations: GEMM shapes in a CSV file, and ONNX graphs."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.ops import Gemm, Op
from chipmeter.workloads.weights import Weight
from chipmeter.workloads.workload import LARGEST_SEQUENCE, Workload

MOST_ROWS = 100_000


def operations(ops: Iterable[Op], name: str, *, weights: float = 0.0) -> Workload:
    """Make a workload of operations alone: one run of all of them, in order.

    Parameters
    ----------
    ops : iterable of Op
    name : str
    weights : float
        Parameters held in memory.

    Examples
    --------
    >>> step = operations([Gemm(128, 64, 32)], "one")
    >>> step.flops, step.unit, step.phase
    (524288, 'run', 'run')
    """
    shape = Architecture(
        name=name, model_type="graph", kind="graph", hidden=0, layers=0, heads=1, kv_heads=1, head_dim=1, value_dim=1,
        ffn=0, vocab=0, gated=False, norm="layer", norms_per_layer=0, norms_outside=0,
        weights=(Weight(role="graph", pattern="", n=math.ceil(weights), k=1),) if weights else (),
    )  # fmt: skip
    listed = tuple(ops)
    if not listed:
        raise ValueError(f"{name}: no operations to time")
    return Workload(model=shape, phase="run", batch=1, seq=1, context=0, unit="run", units=1, ops=listed)


def read_gemms(path: str | os.PathLike[str]) -> Workload:
    """Read GEMM shapes from a CSV file with the columns m, n, k, and if wanted count and name.

    Every row is one product (m, k) x (k, n), run `count` times, with weights of its own.

    Raises
    ------
    ValueError
        Naming line and column of what is wrong.
    """
    where = Path(path)
    with where.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        titles = [title.strip().lower() for title in rows.fieldnames or ()]
        missing = [title for title in ("m", "n", "k") if title not in titles]
        if missing:
            raise ValueError(f"{where}: no column {missing[0]}; needed: m, n, k; optional: count, name")
        rows.fieldnames = titles
        ops: list[Gemm] = []
        for row in rows:
            if len(ops) >= MOST_ROWS:
                raise ValueError(f"{where}: more than {MOST_ROWS} products")
            m, n, k, count = (
                _whole(row.get(title), f"{where}:{rows.line_num}: {title}", usual)
                for title, usual in (("m", None), ("n", None), ("k", None), ("count", 1))
            )
            name = (row.get("name") or "").strip() or f"{m} x {n} x {k}"
            ops.append(Gemm(m, n, k, count=count, name=f"{len(ops) + 1}: {name}"))
    return operations(ops, where.stem, weights=sum(float(op.n) * op.k * op.count for op in ops))


def _whole(text: str | None, where: str, usual: int | None) -> int:
    given = (text or "").strip()
    if not given and usual is not None:
        return usual
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= LARGEST_SEQUENCE:
        raise ValueError(f"{where} must be an integer from 1 to {LARGEST_SEQUENCE}, got {given!r}")
    return int(given)
