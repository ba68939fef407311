"""Fit the constants of collectives and write their table of measured against predicted.

`python tools/collective_times.py fit TABLES` fits src/chipmeter/collectives/data/timing.toml on op_collectives.csv and
collectives.csv in the folder TABLES; `... table TABLES` writes the table of docs/collectives-time.md anew.
"""

from __future__ import annotations

import csv
import datetime
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import least_squares

from chipmeter.collectives import pricing, symbolic, timing, tuning
from chipmeter.collectives.topology import Level, Topology, topology
from chipmeter.collectives.tuning import Fit, Protocol

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src/chipmeter/collectives/data/timing.toml"
DOC = ROOT / "docs/collectives-time.md"
SYSTEMS = {"A100-SXM": "a100_80", "H100-SXM": "h100", "B200-SXM": "b200", "MI300X": "mi300x"}
OPERATIONS = {"alltoall": "all_to_all", "alltoallv": "all_to_all", "allreduce": "all_reduce", "allgather": "all_gather",
              "allgatherv": "all_gather", "permute": "send_recv"}  # fmt: skip
PRIORS = {
    "LL": Protocol(6.6, 0.6, 0.3, 0.1, 0.3),
    "LL128": Protocol(8.0, 1.5, 0.6, 0.3, 0.5),
    "Simple": Protocol(8.4, 2.5, 0.75, 0.6, 0.5),
}
"""Where the fit starts and is drawn to where rows say little: NCCL's own constants in part."""

CARDS = 12.5e9
"""Bytes/s of the network for each GPU of rows that do not state it: 4 cards of 200 Gbit/s a node are assumed. With 8 the
rows would reach 46 % of it, where published 4-node runs on known networks reach 95 %; with 4 of 100, more than all."""

LATER = 1.1
"""By how much the latency of LL128 exceeds that of LL, and Simple's that of LL128, at least."""

CAPS = {"LL": 0.5, "LL128": 120 / 128, "Simple": 0.98}
"""Most that can be reached: LL sends a flag beside each word, LL128 8 bytes of flag in 128."""


def caps(names: list[str]) -> np.ndarray:
    """Upper bounds of the logs of the constants."""
    return np.concatenate([[9.0, 7.0, np.log(CAPS[n.split()[1]]), 1.6, 2.0] for n in names])


ERROR, PULL = 0.08, 0.8
ALONE = 0.2
"""Log error added to the interval where one number of ranks was measured: none can be left out."""


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


def _candidates(row: Row) -> tuple[tuning.Choice, ...]:
    if row.algorithm == "ring":
        return tuple(tuning.Choice("ring", p) for p in tuning.protocols(row.on))
    return tuning.choices(row.on, row.operation, row.ranks)


class Model:
    """Times of the rows of one fabric and operation, as a function of the logs of its constants."""

    def __init__(self, group: list[Row]) -> None:
        self.group = group
        self.names = sorted({f"{c.algorithm} {c.protocol}" for r in group for c in _candidates(r)})
        shape = (len(self.names), len(group))
        self.hops, self.wire, self.own = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
        for k, row in enumerate(group):
            for choice in _candidates(row):
                shaped = timing._shape(row.on, row.ranks)
                counted = pricing.plan(symbolic.symbolic(row.operation, choice.algorithm, row.ranks, shaped), row.on)
                at = self.names.index(f"{choice.algorithm} {choice.protocol}")
                if choice.least <= row.bytes < choice.most:
                    self.hops[at, k] = sum(counted.hops)
                self.wire[at, k] = sum(max(s) for s in counted.stages) * row.bytes
                self.own[at, k] = row.bytes / row.ranks / row.on.levels[0].bandwidth
        self.log = np.log([r.seconds for r in group])
        self.prior = np.array([msgspec.structs.astuple(PRIORS[n.split()[1]]) for n in self.names])
        for at, name in enumerate(self.names):
            if name.startswith("nvls"):
                self.prior[at] = (20, 2, 0.65, 0.7, 0.01)

    def times(self, logs: np.ndarray) -> np.ndarray:
        """Time each row under each algorithm and protocol; NaN where it is not considered."""
        start, hop, reach, ramp, own = np.exp(logs.reshape(len(self.names), 5)).T[:, :, None]
        latency = (start + hop * self.hops) * 1e-6
        moved = self.wire / reach + own * self.own
        return latency + moved + ramp * np.sqrt(latency * moved)

    def predict(self, logs: np.ndarray) -> np.ndarray:
        """Log of the least time of each row."""
        return np.log(np.nanmin(self.times(logs), axis=0))

    def fit(self) -> np.ndarray:
        """Find the logs of the constants."""
        x0 = np.log(self.prior).ravel()
        width = np.tile([PULL, PULL, 0.5, PULL, PULL], len(self.names))
        high = caps(self.names)

        def residuals(x: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                soft = -np.log(np.nansum(self.times(x) ** -24.0, axis=0)) / 24
            error = (soft - self.log) / ERROR
            robust = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1))
            return np.concatenate([robust, (x - x0) / width, self.disorder(x)])

        return least_squares(residuals, x0, bounds=(-12.0, high)).x

    def disorder(self, logs: np.ndarray) -> np.ndarray:
        """Penalise a quicker protocol for long vectors that starts sooner, too: rows alone hardly tell them apart."""
        table = np.exp(logs.reshape(-1, 5))
        found = [table[k, :2] for k, n in enumerate(self.names) if not n.startswith("nvls")]
        spans = [(start + hop, start + 14 * hop) for start, hop in found]
        late = [np.log(LATER * a / b) for low, high in pairwise(spans) for a, b in zip(low, high, strict=True)]
        return 10 * np.maximum(0.0, late)

    def protocols(self, logs: np.ndarray) -> dict[str, Protocol]:
        """Name the constants."""
        table = np.exp(logs.reshape(-1, 5))
        return {n: Protocol(*(float(f"{v:.4g}") for v in line)) for n, line in zip(self.names, table, strict=True)}


def fit_group(group: list[Row]) -> Fit:
    """Fit one fabric and operation; the interval also holds rank counts that were left out in turn."""
    model = Model(group)
    x = model.fit()
    error = model.predict(x) - model.log
    outside = [-error]
    for n in sorted({r.ranks for r in group}):
        kept = [r for r in group if r.ranks != n]
        if len(kept) > 20:
            part = Model(kept)
            if part.names == model.names:
                found = part.fit()
                here = np.array([r.ranks == n for r in group])
                outside.append(-(model.predict(found) - model.log)[here])
    spread = np.concatenate(outside)
    low, high = np.quantile(spread, [0.05, 0.95])
    size = np.abs(error)
    return Fit(
        len(group),
        *(round(float(v), 4) for v in (np.median(size), np.quantile(size, 0.9), low, high)),
        max(r.ranks for r in group),
        model.protocols(x),
    )


class Layered:
    """Times of rows that cross several fabrics, as a function of the constants of one; the others are known."""

    def __init__(
        self, group: list[Row], fits: dict[str, dict[str, Fit]], name: str, operation: str, prior: dict[str, Protocol]
    ) -> None:
        self.group, self.fits, self.name, self.operation, self.prior = group, fits, name, operation, prior
        self.log = np.log([r.seconds for r in group])
        self.plans = []
        for row in group:
            chosen = _candidates(row) if row.algorithm in (None, "ring") else (tuning.Choice(row.algorithm, "Simple"),)
            shaped = timing._shape(row.on, row.ranks)
            self.plans.append(
                [
                    (pricing.plan(symbolic.symbolic(operation, c.algorithm, row.ranks, shaped), row.on), c)
                    for c in chosen
                ]
            )

    def book(self, logs: np.ndarray) -> dict[str, dict[str, Fit]]:
        """Put constants beside those that are known."""
        table = np.exp(logs.reshape(-1, 5))
        found = {n: Protocol(*map(float, line)) for n, line in zip(self.prior, table, strict=True)}
        out = {k: dict(v) for k, v in self.fits.items()}
        out.setdefault(self.name, {})[self.operation] = Fit(len(self.group), 0.0, 0.0, 0.0, 0.0, 0, found)
        return out

    def predict(self, logs: np.ndarray) -> np.ndarray:
        """Log of the least time of each row."""
        book = self.book(logs)
        times = []
        for row, plans in zip(self.group, self.plans, strict=True):
            found = [pricing.quote(counted, row.on, self.operation, choice, book) for counted, choice in plans]
            times.append(float(timing._best(found, np.array([row.bytes]))[0][0]))
        return np.log(times)

    def fit(self, pull: float = PULL) -> Fit:
        """Find the constants."""
        x0 = np.log([np.maximum(msgspec.structs.astuple(p), 1e-3) for p in self.prior.values()]).ravel()
        high = caps(list(self.prior))

        def residuals(x: np.ndarray) -> np.ndarray:
            error = (self.predict(x) - self.log) / ERROR
            robust = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1))
            return np.concatenate([robust, (x - x0) / pull])

        x = least_squares(residuals, x0, bounds=(-12.0, high), diff_step=1e-3).x
        error = self.predict(x) - self.log
        size = np.abs(error)
        low, high90 = np.quantile(-error, [0.05, 0.95]) + np.array([-ALONE, ALONE])
        figures = (float(np.median(size)), float(np.quantile(size, 0.9)), float(low), float(high90))
        kept = self.book(x)[self.name][self.operation].protocols
        return Fit(len(self.group), *(round(v, 4) for v in figures), max(r.ranks for r in self.group), kept)


NETWORK = {f"{a} {p}": Protocol(s, h, r, 0.5, 0.001) for a in ("ring", "tree")
           for p, s, h, r in (("LL", 5.0, 4.0, 0.4), ("LL128", 8.0, 6.0, 0.8), ("Simple", 10.0, 14.0, 0.9))}  # fmt: skip
CHIP = {f"{a} Simple": Protocol(s, 1.5, 0.4, 0.2, 0.001) for a, s in
        (("neuron/mesh", 50.0), ("neuron/rdh", 60.0), ("neuron/kangaring", 80.0))}  # fmt: skip
INSTANCE = {f"{a} Simple": Protocol(s, 1.5, 0.6, 0.3, 0.001) for a, s in
            (("neuron/mesh", 90.0), ("neuron/rdh", 100.0), ("neuron/kangaring", 150.0))}  # fmt: skip
EFA = {
    "hierarchical LL": Protocol(400.0, 15.0, 0.1, 1.0, 0.001),
    "hierarchical Simple": Protocol(900.0, 15.0, 0.6, 0.1, 0.001),
}
LAYERS = (
    ("network", "all_reduce", NETWORK),
    ("NeuronLink DMA", "all_reduce", CHIP),
    ("NeuronLink", "all_reduce", INSTANCE),
    ("NeuronLink", "all_gather", {"direct Simple": Protocol(5.0, 1.5, 0.6, 0.2, 0.001)}),
    ("NeuronLink EFA", "all_reduce", EFA),
)
TPU = Fit(0, 0.0, 0.0, -0.4, 0.4, 0, {"torus Simple": Protocol(12.0, 1.0, 0.9, 0.3, 0.0)})
"""Not fitted: a floor of 12 us and 89 % of the links as in published all_gathers of Ironwood, 1 us a hop."""


def fit(folder: Path) -> dict[str, dict[str, Fit]]:
    """Fit all fabrics."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows(folder):
        if not row.waits:
            groups[row.fabric, row.operation].append(row)
    out: dict[str, dict[str, Fit]] = defaultdict(dict)
    for (name, operation), group in sorted(groups.items()):
        if name.startswith("NVLink"):
            out[name][operation] = fit_group(group)
    near = out["NVLink3"]["all_reduce"].protocols
    mesh = Layered(groups["Infinity Fabric", "all_reduce"], out, "Infinity Fabric", "all_reduce",
                   {n: near[n] for n in ("ring LL", "ring Simple")})  # fmt: skip
    out["Infinity Fabric"]["all_reduce"] = mesh.fit(0.3)
    for name, operation, prior in LAYERS:
        out[name][operation] = Layered(groups[name, operation], out, name, operation, prior).fit()
    out["ICI"]["all_reduce"] = TPU
    for name, of in out.items():
        for operation, one in of.items():
            print(f"{name:16} {operation:15}", one.rows, one.median_error, one.p90_error, one.low, one.high)
    return out


def write(found: dict[str, dict[str, Fit]]) -> None:
    """Write the constants: plain numbers, one line for each algorithm and protocol."""
    lines = [
        "# Constants of collectives by fabric and operation, fitted by tools/collective_times.py; start and hop in",
        "# microseconds, errors in logs. See docs/collectives-time.md.",
        f'date = "{datetime.date.today().isoformat()}"',
        'source = "fit to measured rows of nccl-tests (aiconfigurator, ml-engineering, issues) and nccom-test"',
    ]
    for name in sorted(found):
        for operation in sorted(found[name]):
            one = found[name][operation]
            lines += ["", f'[fabrics."{name}".{operation}]', f"rows = {one.rows}"]
            lines += [f"{f} = {getattr(one, f):.4f}" for f in ("median_error", "p90_error", "low", "high")]
            lines.append(f"ranks = {one.ranks}")
            lines.append(f'[fabrics."{name}".{operation}.protocols]')
            for protocol, p in one.protocols.items():
                inner = ", ".join(f"{f} = {float(getattr(p, f)):.4g}" for f in ("start", "hop", "reach", "ramp", "own"))
                lines.append(f'"{protocol}" = {{ {inner} }}')
    DATA.write_text("\n".join(lines) + "\n", encoding="utf-8")


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


def main(what: str, folder: Path) -> None:
    """Fit, or write the table."""
    if what == "fit":
        write(fit(folder))
        return
    text = DOC.read_text(encoding="utf-8")
    begin, end = "<!-- table: begin -->\n", "<!-- table: end -->"
    head, tail = text.index(begin) + len(begin), text.index(end)
    DOC.write_text(text[:head] + table(folder) + text[tail:], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
