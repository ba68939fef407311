"""Fit the constants of collectives and write their table of measured against predicted.

`python tools/collective_times.py fit TABLES` fits src/chipmeter/collectives/data/timing.toml on op_collectives.csv and
collectives.csv in the folder TABLES; `... table TABLES` writes the table of docs/collectives-time.md anew.
"""

from __future__ import annotations

import datetime
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from collective_rows import Row, candidates, rows, table
from scipy.optimize import least_squares

from chipmeter.collectives import pricing, symbolic, timing, tuning
from chipmeter.collectives.tuning import Fit, Protocol

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src/chipmeter/collectives/data/timing.toml"
DOC = ROOT / "docs/collectives-time.md"
PRIORS = {
    "LL": Protocol(6.6, 0.6, 0.3, 0.1, 0.3),
    "LL128": Protocol(8.0, 1.5, 0.6, 0.3, 0.5),
    "Simple": Protocol(8.4, 2.5, 0.75, 0.6, 0.5),
}
"""Where the fit starts and is drawn to where rows say little: NCCL's own constants in part."""

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


class Model:
    """Times of the rows of one fabric and operation, as a function of the logs of its constants."""

    def __init__(self, group: list[Row]) -> None:
        self.group = group
        self.names = sorted({f"{c.algorithm} {c.protocol}" for r in group for c in candidates(r)})
        shape = (len(self.names), len(group))
        self.hops, self.wire, self.own = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
        for k, row in enumerate(group):
            for choice in candidates(row):
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
            chosen = candidates(row) if row.algorithm in (None, "ring") else (tuning.Choice(row.algorithm, "Simple"),)
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
