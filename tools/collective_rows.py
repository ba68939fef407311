"""Rows of measured collectives, and what is predicted for them."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chipmeter.collectives import timing, tuning
from chipmeter.collectives.topology import Level, Topology, topology

SYSTEMS = {"A100-SXM": "a100_80", "H100-SXM": "h100", "B200-SXM": "b200", "MI300X": "mi300x"}
OPERATIONS = {"alltoall": "all_to_all", "alltoallv": "all_to_all", "allreduce": "all_reduce", "allgather": "all_gather",
              "allgatherv": "all_gather", "permute": "send_recv"}  # fmt: skip
CARDS = 12.5e9
"""Bytes/s of the network for each GPU of rows that do not state it: 4 cards of 200 Gbit/s a node are assumed. With 8 the
rows would reach 46 % of it, where published 4-node runs on known networks reach 95 %; with 4 of 100, more than all."""


@dataclass(frozen=True)
class Row:
    """One measurement: `fabric` is what its constants belong to."""

    on: Topology
    fabric: str
    operation: str
    ranks: int
    bytes: float
    seconds: float
    algorithm: str | None
    label: str
    waits: bool = False
    """Whether the row is one of two collectives that share the links: scored, but not fitted."""


def rows(folder: Path) -> list[Row]:
    """Read what both tables measure of collectives; rows that are no measurement of one are left out."""
    found = []
    with (folder / "op_collectives.csv").open() as file:
        for cells in csv.DictReader(file):
            nodes = int(cells["nodes"])
            ranks = int(cells["ranks"] or 8 * nodes)
            on = topology(SYSTEMS.get(cells["accel"], "a100_80"))
            if nodes > 1:
                on = Topology(
                    "4 nodes of 8 A100, network not stated", (*on.levels[:1], Level(on.levels[1].name, "switch", CARDS))
                )
            operation = OPERATIONS.get(cells["op"], cells["op"])
            algorithm = "ring" if cells["algo"].startswith("Ring") else None
            name = on.levels[0].name if nodes == 1 else "network"
            label = f"{cells['accel'].split(' ')[0]}, {cells['lib']}"
            found.append(
                Row(on, name, operation, ranks, float(cells["bytes"]), float(cells["time_us"]) * 1e-6, algorithm, label)
            )
    with (folder / "collectives.csv").open() as file:
        for cells in csv.DictReader(file):
            size = re.fullmatch(r"\d+", cells["size_bytes"])
            if not size or cells["op"] not in OPERATIONS:
                continue
            ranks, nodes = int(cells["ranks"] or 64), int(cells["nodes"])
            on = topology("trn1.32xlarge" if ranks <= 32 * nodes else "trn2.48xlarge")
            operation = OPERATIONS[cells["op"]]
            name = "NeuronLink EFA" if nodes > 1 else "NeuronLink DMA" if ranks == 2 else "NeuronLink"
            algorithm = f"neuron/{cells['algorithm']}" if cells["algorithm"] else None
            label = "Neuron, nccom-test, 2 nodes" if nodes > 1 else "Neuron, nccom-test"
            found.append(Row(on, name, operation, ranks, float(size[0]), float(cells["time_us"]) * 1e-6, algorithm, label,
                             "stream 1" in cells["note"]))  # fmt: skip
    return found


def candidates(row: Row) -> tuple[tuning.Choice, ...]:
    """List what may have run."""
    if row.algorithm == "ring":
        return tuple(tuning.Choice("ring", p) for p in tuning.protocols(row.on))
    return tuning.choices(row.on, row.operation, row.ranks)


SMALL = 2**20
SHOWN = (512, 2**16, 2**20, 2**24, 2**29, 2**33)


def errors(folder: Path) -> list[tuple[Row, float]]:
    """Predict every row with the packaged constants."""
    return [
        (row, float(timing.seconds(row.operation, row.bytes, row.on, row.ranks, row.algorithm))) for row in rows(folder)
    ]


def medians(found: list[tuple[Row, float]]) -> tuple[float, float]:
    """Median |predicted / measured - 1| below 1 MiB and from there on; NaN without rows."""
    sized = [(row.bytes < SMALL, abs(took / row.seconds - 1)) for row, took in found]
    return tuple(
        float(np.median(part)) if (part := [e for s, e in sized if s is small]) else np.nan for small in (True, False)
    )  # type: ignore[return-value]


def table(folder: Path) -> str:
    """Lay out the errors by source and operation, and some rows of 8 and more ranks beside what is predicted."""
    found = errors(folder)
    lines = ["| source | operation | rows | below 1 MiB | from 1 MiB |", "|---|---|---|---|---|"]
    grouped: dict[tuple[str, str], list[tuple[Row, float]]] = defaultdict(list)
    for row, took in found:
        grouped[row.label, row.operation].append((row, took))
        grouped["op_collectives.csv" if "Neuron" not in row.label else "collectives.csv", "all"].append((row, took))
    whole = [key for key in grouped if key[1] == "all"]
    for key in [*whole, *(key for key in grouped if key not in whole)]:
        cells = ["-" if np.isnan(e) else f"{100 * e:.1f} %" for e in medians(grouped[key])]
        name = f"**{key[0]}**" if key in whole else key[0]
        lines.append(f"| {name} | {key[1]} | {len(grouped[key])} | {cells[0]} | {cells[1]} |")
    lines += [
        "",
        "| source | operation | ranks | bytes | measured us | predicted us | algorithm |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, took in found:
        if row.ranks >= 8 and row.bytes in SHOWN:
            quotes = timing.quotes(row.on, row.operation, row.ranks, row.algorithm)
            chosen = quotes[int(timing._best(quotes, np.array([row.bytes]))[1][0])].choice
            lines.append(
                f"| {row.label} | {row.operation} | {row.ranks} | {row.bytes:.0f} | {row.seconds * 1e6:.4g} | "
                f"{took * 1e6:.4g} | {chosen.algorithm} {chosen.protocol} |"
            )
    return "\n".join(lines) + "\n"
