"""Predictions of collectives: what their schedules are priced at on the topology that a row states."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from chipmeter.collectives import timing, tuning
from chipmeter.collectives.topology import Level, Topology, topology
from chipmeter.validate.hardware import hardware, kin
from chipmeter.validate.ops import US, Sheet
from chipmeter.validate.score import Answers
from chipmeter.validate.tables import Row as Cells
from chipmeter.validate.tables import Table

TABLES = ("op_collectives", "collectives")

OPERATIONS = {"alltoall": "all_to_all", "alltoallv": "all_to_all", "allreduce": "all_reduce", "allgather": "all_gather",
              "allgatherv": "all_gather", "reducescatter": "reduce_scatter", "permute": "send_recv",
              "ringkangaringhop": "send_recv", "efapointtopoint": "send_recv"}  # fmt: skip

CARDS = 12.5e9
"""Bytes/s of the network for each GPU of rows that do not state it: 4 cards of 200 Gbit/s a node are assumed. With 8 the
rows would reach 46 % of it, where published 4-node runs on known networks reach 95 %; with 4 of 100, more than all."""

CORES = 32
"""Neuron cores of the machine that rows do not name (trn1.32xlarge is assumed); where more share a node, trn2.48xlarge."""


@dataclass(frozen=True)
class Row:
    """One measurement: `fabric` is what its constants belong to, `alone` whether it is a plain run that can be fitted."""

    on: Topology
    fabric: str
    operation: str
    ranks: int
    bytes: int
    seconds: float
    algorithm: str | None
    label: str
    alone: bool = True


def _first(text: str | None, default: float) -> float:
    """Read the first positive number in a cell."""
    found = re.search(r"\d+(\.\d+)?", text or "")
    return float(found.group()) if found and float(found.group()) > 0 else default


def _operation(cells: Cells) -> str:
    name = re.sub(r"\W|_", "", (cells.get("op") or "").lower().split("(")[0])
    return OPERATIONS.get(name, "all_reduce")


def read_rows(table: Table) -> list[Row]:
    """Understand every row of a table of collectives; blanks take what is usual."""
    table.need("op", "ranks", "time_us")
    if table.name == "collectives":
        return [_neuron(cells) for cells in table.rows]
    return [_gpu(cells, table.number(row, "time_us") * US) for row, cells in enumerate(table.rows)]


def _gpu(cells: Cells, seconds: float) -> Row:
    nodes = round(_first(cells.get("nodes"), 1))
    ranks = max(2, round(_first(cells.get("ranks"), 8 * nodes)))
    on = topology(kin(hardware(cells.get("accel") or "")))
    if nodes > 1:
        name = f"{nodes} nodes of 8, network not stated"
        on = Topology(name, (*on.levels[:1], Level("network not stated", "switch", CARDS)), on.library, on.chip)
    fabric = "network" if nodes > 1 else tuning.fabric(on.levels[0].name, on.library)[0]
    label = f"{(cells.get('accel') or '').split(' ')[0]}, {cells.get('lib') or ''}"
    algorithm = "ring" if (cells.get("algo") or "").startswith("Ring") else None
    size = round(_first(cells.get("bytes"), 16384))
    return Row(on, fabric, _operation(cells), ranks, size, seconds, algorithm, label)


def _neuron(cells: Cells) -> Row:
    nodes = round(_first(cells.get("nodes"), 1))
    ranks = max(2, round(_first(cells.get("ranks"), 64)))
    on = topology("trn1.32xlarge" if ranks <= CORES * nodes else "trn2.48xlarge")
    if nodes > 1 and ranks < CORES * nodes:
        on = on.spaced(CORES * nodes // ranks)
    fabric = "NeuronLink EFA" if nodes > 1 else "NeuronLink DMA" if ranks == 2 else "NeuronLink"
    algorithm = f"neuron/{cells['algorithm']}" if cells.get("algorithm") else None
    label = "Neuron, nccom-test, 2 nodes" if nodes > 1 else "Neuron, nccom-test"
    # Two collectives share the links in rows of a second stream; a size in words is none, but for a hop's latency.
    sized = re.fullmatch(r"\d+", cells.get("size_bytes") or "") is not None
    operation = _operation(cells)
    alone = (sized or operation == "send_recv") and "stream 1" not in (cells.get("note") or "")
    size, seconds = round(_first(cells.get("size_bytes"), 1024)), _first(cells.get("time_us"), 1.0) * US
    return Row(on, fabric, operation, ranks, size, seconds, algorithm, label, alone)


AT = (512, 2**16, 2**20, 2**24)
PUBLISHED = {
    ("rtx_pro_6000", "all_reduce"): ((24, 34, 132, 1248),),
    ("rtx_pro_6000", "all_gather"): ((14, 19, 75, 655),),
    ("rtx_pro_6000", "reduce_scatter"): ((15, 19, 72, 647),),
    ("rtx_pro_6000", "all_to_all"): ((10, 26, 78, 986),),
    ("a100_80", "engine"): ((5.7, 8.4, 21.7, 214),),
    ("h100", "engine"): ((3.2, 4.6, 26, 122), (4.7, 6.4, 15, 92)),
    ("b200", "engine"): ((5.0, 6.0, 17.8, 85), (7.4, 8.6, 17.2, 63)),
}  # fmt: skip
"""Microseconds on 8 GPUs at the sizes `AT` that the tables do not carry (ai-dynamo/aiconfigurator@095f58a5): NCCL 2.29.2
over PCIe, and all-reduces by the kernels of serving engines, TensorRT-LLM's and vLLM's in a CUDA graph."""


def published() -> list[Row]:
    """Rows of `PUBLISHED`."""
    found = []
    for (system, what), curves in PUBLISHED.items():
        on = topology(system)
        fabric = tuning.fabric(on.levels[0].name, "nccl")[0]
        operation = "all_reduce" if what == "engine" else what
        if what == "engine":
            on = replace(on, library="engine")
        found += [
            Row(on, fabric, operation, 8, size, us * US, None, what)
            for curve in curves
            for size, us in zip(AT, curve, strict=True)
        ]
    return found


def collective_table(table: Table) -> list[Answers]:
    """Predict the time of every collective."""
    rows = read_rows(table)
    sheet = Sheet(table, np.array([row.seconds for row in rows]))
    for k, row in enumerate(rows):
        timed = timing.time(row.algorithm, row.operation, row.bytes, system=row.on, ranks=row.ranks)
        sheet.expected[k], sheet.low[k], sheet.high[k] = timed.seconds, timed.low, timed.high
        sheet.outside[k] = timed.evidence.grade == "assumed" and row.fabric == "network"
        sheet.work[k] = row.bytes
        sheet.slices[k] = sheet.chips[k] = f"{row.on.chip} {row.operation}"
        sheet.models[k] = str(row.bytes)
    return [sheet.answers()]
