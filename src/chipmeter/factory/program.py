"""The mixed-integer program: how many of which system, and which share of each workload runs where.

Variables, in this order: for each candidate the systems held for the whole plan (integer); for each pair of workload and
candidate that is possible the share of the workload that runs there; for each such pair that takes several systems at once
whether it is used (binary). Systems rented for training are paid by the hour until the deadline, so they are no integers:
their number follows from the share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

HOURS_PER_MONTH = 730.0
GAP = 1e-6
SECONDS = 8.0
"""Seconds after which the best plan found is given with its gap."""


@dataclass(frozen=True)
class Option:
    """A candidate with its figures: dollars per system over the plan, and what it takes of the limits.

    Attributes
    ----------
    whole : float
        Dollars for one system held for the whole plan, what remains of its value credited.
    month, hour : float
        Dollars of running costs per month of one held; dollars per hour of one rented for a while.
    capex, watts, floor : float
        At the start; on the own floor.
    """

    name: str
    own: bool
    whole: float
    month: float
    hour: float
    capex: float
    watts: float
    floor: float
    at_most: int


@dataclass(frozen=True)
class Program:
    """Everything the solver needs.

    Attributes
    ----------
    load : ndarray (workloads, options)
        Busy systems that the whole workload takes at the planned utilisation; infinity where it cannot run.
    least : ndarray (workloads, options)
        Systems that must work together.
    hours : ndarray (workloads,)
        Hours that a training run lasts; 0 for serving, which lasts the plan.
    limits : dict of str to float
        Of "power", "floor", "capex", "opex_per_month".
    """

    workloads: tuple[str, ...]
    options: tuple[Option, ...]
    load: NDArray[np.float64]
    least: NDArray[np.int64]
    hours: NDArray[np.float64]
    limits: dict[str, float]

    def without(self, *limits: str) -> Program:
        """Drop some limits."""
        return replace(self, limits={k: v for k, v in self.limits.items() if k not in limits})

    def only(self, own: bool) -> Program:
        """Keep owned options only, or rented ones only."""
        return self.dropping(*(j for j, option in enumerate(self.options) if option.own is not own))

    def dropping(self, *options: int) -> Program:
        """Leave some options unused."""
        load = self.load.copy()
        load[:, options] = np.inf
        return replace(self, load=load)


@dataclass(frozen=True)
class Solution:
    """A plan: systems held, shares, its cost and how far it may be from the best."""

    systems: NDArray[np.int64]
    share: NDArray[np.float64]
    cost: float
    gap: float

    @property
    def used(self) -> frozenset[int]:
        """Options in use."""
        return frozenset(int(j) for j in np.flatnonzero((self.systems > 0) | (self.share > 1e-9).any(axis=0)))


@dataclass(frozen=True)
class _Arrays:
    cost: NDArray[np.float64]
    matrix: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    upper: NDArray[np.float64]
    integer: NDArray[np.int64]
    pairs: list[tuple[int, int]]
    limit_rows: dict[str, int]


def usage(program: Program, resource: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give what one held system, and one system rented for training, take of a limit."""
    held = {
        "power": [o.watts for o in program.options],
        "floor": [o.floor for o in program.options],
        "capex": [o.capex for o in program.options],
        "opex_per_month": [o.month for o in program.options],
    }[resource]
    hired = [o.hour * HOURS_PER_MONTH if resource == "opex_per_month" and not o.own else 0.0 for o in program.options]
    return np.array(held), np.array(hired)


def _arrays(program: Program, objective: str | None) -> _Arrays:
    n = len(program.options)
    pairs = [(int(w), int(j)) for w, j in np.argwhere(np.isfinite(program.load))]
    column = {pair: n + i for i, pair in enumerate(pairs)}

    def hired(w: int, j: int) -> bool:
        return program.hours[w] > 0 and not program.options[j].own

    several = [(w, j) for w, j in pairs if program.least[w, j] > 1 and not hired(w, j)]
    switch = {pair: n + len(pairs) + i for i, pair in enumerate(several)}
    size = n + len(pairs) + len(several)
    rows: list[NDArray[np.float64]] = []
    low: list[float] = []
    high: list[float] = []

    def add(entries: dict[int, float], least: float, most: float) -> int:
        row = np.zeros(size)
        for at, value in entries.items():
            row[at] = value
        rows.append(row)
        low.append(least)
        high.append(most)
        return len(rows) - 1

    for w in range(len(program.workloads)):
        add({column[w, j]: 1.0 for j in range(n) if (w, j) in column}, 1.0, 1.0)
    for j, option in enumerate(program.options):
        busy = {column[w, j]: program.load[w, j] for w in range(len(program.workloads)) if (w, j) in column}
        held = {at: value for (w, k), at in column.items() if k == j and not hired(w, j) for value in (busy[at],)}
        add({j: 1.0, **{at: -value for at, value in held.items()}}, 0.0, np.inf)
        add({j: 1.0, **{at: value for at, value in busy.items() if at not in held}}, 0.0, float(option.at_most))
    for (w, j), on in switch.items():
        add({column[w, j]: 1.0, on: -1.0}, -np.inf, 0.0)
        add({j: 1.0, on: -float(program.least[w, j])}, 0.0, np.inf)

    def resource(name: str) -> dict[int, float]:
        held_use, hired_use = usage(program, name)
        entries = {j: float(held_use[j]) for j in range(n)}
        entries.update({at: float(hired_use[j] * program.load[w, j]) for (w, j), at in column.items() if hired(w, j)})
        return entries

    limit_rows = {name: add(resource(name), -np.inf, most) for name, most in program.limits.items()}
    cost = np.zeros(size)
    if objective is None:
        cost[:n] = [option.whole for option in program.options]
        for (w, j), at in column.items():
            if hired(w, j):
                cost[at] = program.load[w, j] * program.hours[w] * program.options[j].hour
    else:
        for at, value in resource(objective).items():
            cost[at] = value
    upper = np.ones(size)
    upper[:n] = [option.at_most for option in program.options]
    integer = np.zeros(size, np.int64)
    integer[:n] = integer[n + len(pairs) :] = 1
    return _Arrays(cost, np.array(rows), np.array(low), np.array(high), upper, integer, pairs, limit_rows)


def solve(program: Program, objective: str | None = None) -> Solution | None:
    """Find the cheapest plan, or the one that takes least of a limit; None when there is none."""
    a = _arrays(program, objective)
    if not _every_workload_somewhere(program):
        return None
    scale = float(np.max(a.cost)) or 1.0
    found = milp(
        a.cost / scale,
        constraints=LinearConstraint(a.matrix, a.low, a.high),
        bounds=Bounds(0, a.upper),
        integrality=a.integer,
        options={"mip_rel_gap": GAP, "time_limit": SECONDS},
    )
    if found.x is None:
        return None
    n = len(program.options)
    share = np.zeros(program.load.shape)
    for (w, j), value in zip(a.pairs, found.x[n:], strict=False):
        share[w, j] = min(value, 1.0) if value > 1e-9 else 0.0
    systems = np.rint(found.x[:n]).astype(np.int64)
    return Solution(systems, share, float(a.cost @ found.x), float(found.mip_gap or 0.0))


def shadow_prices(program: Program) -> tuple[dict[str, float], NDArray[np.float64]] | None:
    """Solve the program without integrality.

    Returns the dollars that one more unit of each limit saves, and the dollars that each workload costs at the margin;
    None when there is no plan.
    """
    if not _every_workload_somewhere(program):
        return None
    a = _arrays(program, None)
    equal = a.low == a.high
    above, below = ~equal & np.isfinite(a.high), ~equal & np.isfinite(a.low)
    scale = float(np.max(a.cost)) or 1.0
    found: Any = linprog(
        a.cost / scale,
        A_ub=np.vstack([a.matrix[above], -a.matrix[below]]),
        b_ub=np.concatenate([a.high[above], -a.low[below]]),
        A_eq=a.matrix[equal],
        b_eq=a.high[equal],
        bounds=np.stack([np.zeros(len(a.upper)), a.upper], axis=1),
        method="highs",
    )
    if found.status != 0:
        return None
    place = np.cumsum(above) - 1
    limits = {name: -scale * float(found.ineqlin.marginals[place[row]]) for name, row in a.limit_rows.items()}
    return limits, scale * np.asarray(found.eqlin.marginals)


def conflicting_limits(program: Program) -> tuple[str, ...]:
    """Find limits that cannot be kept together, none of which can be left out; empty if it is not the limits."""
    if solve(program.without(*program.limits)) is None:
        return ()
    kept = program
    for name in program.limits:
        fewer = kept.without(name)
        if solve(fewer) is None:
            kept = fewer
    return tuple(kept.limits)


def _every_workload_somewhere(program: Program) -> bool:
    return bool(np.isfinite(program.load).any(axis=1).all())
