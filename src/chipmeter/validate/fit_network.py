"""Fitting the constants of collectives, per fabric and operation, on the rows that measured them."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter.collectives import pricing, timing, tuning
from chipmeter.collectives.tuning import Fit, Protocol
from chipmeter.validate.network import Row, published

Array = NDArray[np.float64]
Books = dict[str, dict[str, Fit]]

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


def caps(names: list[str]) -> Array:
    """Upper bounds of the logs of the constants."""
    return np.concatenate([[9.0, 7.0, np.log(CAPS[n.split()[1]]), 1.6, 2.0] for n in names])


def candidates(row: Row) -> tuple[tuning.Choice, ...]:
    """List what may have run."""
    if row.algorithm == "ring":
        return tuple(tuning.Choice("ring", p) for p in tuning.protocols(row.on))
    if row.algorithm:
        return (tuning.Choice(row.algorithm, "Simple"),)
    return tuning.choices(row.on, row.operation, row.ranks)


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
                counted = timing.counted(row.on, row.operation, row.ranks, choice.algorithm)
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

    def times(self, logs: Array) -> Array:
        """Time each row under each algorithm and protocol; NaN where it is not considered."""
        start, hop, reach, ramp, own = np.exp(logs.reshape(len(self.names), 5)).T[:, :, None]
        latency = (start + hop * self.hops) * 1e-6
        moved = self.wire / reach + own * self.own
        found: Array = latency + moved + ramp * np.sqrt(latency * moved)
        return found

    def predict(self, logs: Array) -> Array:
        """Log of the least time of each row."""
        found: Array = np.log(np.nanmin(self.times(logs), axis=0))
        return found

    def fit(self) -> Array:
        """Find the logs of the constants."""
        x0 = np.log(self.prior).ravel()
        width = np.tile([PULL, PULL, 0.5, PULL, PULL], len(self.names))
        high = caps(self.names)

        def residuals(x: Array) -> Array:
            with np.errstate(invalid="ignore"):
                soft = -np.log(np.nansum(self.times(x) ** -24.0, axis=0)) / 24
            error = (soft - self.log) / ERROR
            robust = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1))
            return np.concatenate([robust, (x - x0) / width, self.disorder(x)])

        from scipy.optimize import least_squares

        found: Array = least_squares(residuals, x0, bounds=(-12.0, high)).x
        return found

    def disorder(self, logs: Array) -> Array:
        """Penalise a quicker protocol for long vectors that starts sooner, too: rows alone hardly tell them apart."""
        table = np.exp(logs.reshape(-1, 5))
        found = [table[k, :2] for k, n in enumerate(self.names) if not n.startswith("nvls")]
        spans = [(start + hop, start + 14 * hop) for start, hop in found]
        late = [np.log(LATER * a / b) for low, high in pairwise(spans) for a, b in zip(low, high, strict=True)]
        return 10 * np.maximum(0.0, late)

    def protocols(self, logs: Array) -> dict[str, Protocol]:
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
    low, high = np.quantile(np.concatenate(outside), [0.05, 0.95])
    return _summed_up(group, error, float(low), float(high), model.protocols(x))


def _summed_up(group: list[Row], error: Array, low: float, high: float, found: dict[str, Protocol]) -> Fit:
    median, p90 = np.quantile(np.abs(error), [0.5, 0.9])
    most = max(r.ranks for r in group)
    return Fit(len(group), round(float(median), 4), round(float(p90), 4), round(low, 4), round(high, 4), most, found)


class Layered:
    """Times of rows that cross several fabrics, as a function of the constants of one; the others are known."""

    def __init__(self, group: list[Row], fits: Books, name: str, operation: str, prior: dict[str, Protocol]) -> None:
        self.group, self.fits, self.name, self.operation, self.prior = group, fits, name, operation, prior
        self.log = np.log([r.seconds for r in group])
        self.plans = [
            [
                (timing.counted(row.on, operation, row.ranks, c.algorithm), c)
                for c in candidates(row)
                if f"{c.algorithm} {c.protocol}" in prior
            ]
            for row in group
        ]

    def book(self, logs: Array) -> Books:
        """Put constants beside those that are known."""
        table = np.exp(logs.reshape(-1, 5))
        found = {n: Protocol(*map(float, line)) for n, line in zip(self.prior, table, strict=True)}
        out = {k: dict(v) for k, v in self.fits.items()}
        out.setdefault(self.name, {})[self.operation] = Fit(len(self.group), 0.0, 0.0, 0.0, 0.0, 0, found)
        return out

    def predict(self, logs: Array) -> Array:
        """Log of the least time of each row."""
        book = self.book(logs)
        times = []
        for row, plans in zip(self.group, self.plans, strict=True):
            found = [pricing.quote(counted, row.on, self.operation, choice, book) for counted, choice in plans]
            times.append(float(timing.best(found, np.array([row.bytes]))[0][0]))
        return np.log(times)

    def fit(self, pull: float = PULL) -> Fit:
        """Find the constants."""
        x0 = np.log([np.maximum(msgspec.structs.astuple(p), 1e-3) for p in self.prior.values()]).ravel()
        high = caps(list(self.prior))

        def residuals(x: Array) -> Array:
            error = (self.predict(x) - self.log) / ERROR
            robust = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1))
            return np.concatenate([robust, (x - x0) / pull])

        from scipy.optimize import least_squares

        x = least_squares(residuals, x0, bounds=(-12.0, high), diff_step=1e-3).x
        error = self.predict(x) - self.log
        low, over = np.quantile(-error, [0.05, 0.95]) + np.array([-ALONE, ALONE])
        kept = self.book(x)[self.name][self.operation].protocols
        return _summed_up(self.group, error, float(low), float(over), kept)


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
OPERATIONS = ("all_gather", "all_reduce", "all_to_all", "reduce_scatter")
ENGINE = {
    "one_shot Simple": Protocol(3.0, 1.0, 0.7, 0.5, 0.001),
    "two_shot Simple": Protocol(3.0, 1.0, 0.7, 0.5, 0.001),
}
LAYERS = (
    ("network", "all_reduce", NETWORK),
    ("NeuronLink DMA", "all_reduce", CHIP),
    ("NeuronLink", "all_reduce", INSTANCE),
    ("NeuronLink", "all_gather", {"direct Simple": Protocol(5.0, 1.5, 0.6, 0.2, 0.001)}),
    ("NeuronLink EFA", "all_reduce", EFA),
    ("NeuronLink", "send_recv", {"point_to_point Simple": Protocol(0.5, 1.0, 0.6, 0.1, 0.001)}),
    ("NeuronLink EFA", "send_recv", {"point_to_point Simple": Protocol(0.5, 15.0, 0.6, 0.1, 0.001)}),
)
TPU = Fit(0, 0.0, 0.0, -0.4, 0.4, 0, {"torus Simple": Protocol(12.0, 1.0, 0.9, 0.3, 0.0)})
"""Not fitted: a floor of 12 us and 89 % of the links as in published all_gathers of Ironwood, 1 us a hop."""


def fit(rows: Sequence[Row]) -> Books:
    """Fit all fabrics that the rows and the published ones measure."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.alone:
            groups[row.fabric, row.operation].append(row)
    out: Books = defaultdict(dict)
    for (name, operation), group in sorted(groups.items()):
        if name.startswith("NVLink"):
            out[name][operation] = fit_group(group)
    near = out["NVLink3"]["all_reduce"].protocols
    mesh = Layered(groups["Infinity Fabric", "all_reduce"], out, "Infinity Fabric", "all_reduce",
                   {n: near[n] for n in ("ring LL", "ring Simple")})  # fmt: skip
    out["Infinity Fabric"]["all_reduce"] = mesh.fit(0.3)
    for row in published():
        groups[row.fabric, row.operation if row.on.library == "nccl" else "engine"].append(row)
    for operation in OPERATIONS:
        kept = out["NVLink3"][operation].protocols
        prior = {n: p for n, p in kept.items() if not n.endswith("LL128")}
        out["PCIe"][operation] = Layered(groups["PCIe", operation], out, "PCIe", operation, prior).fit()
    for name in ("NVLink3", "NVLink4", "NVLink5"):
        of = out[name]["all_reduce"]
        found = Layered(groups[name, "engine"], out, name, "all_reduce", ENGINE).fit()
        out[name]["all_reduce"] = msgspec.structs.replace(of, protocols=of.protocols | found.protocols)
    for name, operation, prior in LAYERS:
        out[name][operation] = Layered(groups[name, operation], out, name, operation, prior).fit()
    out["ICI"]["all_reduce"] = TPU
    return dict(out)


def write(found: Books, path: Path) -> None:
    """Write the constants: plain numbers, one line for each algorithm and protocol."""
    lines = [
        "# Constants of collectives by fabric and operation, fitted by `chipmeter calibrate`; start and hop in",
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
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
