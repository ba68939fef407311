"""From a problem to a plan, with what limits it, what it nearly was, and what it would be in the cloud or owned."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from chipmeter import chips
from chipmeter.evidence import Grade
from chipmeter.factory.capability import Capability, capability
from chipmeter.factory.options import name_of, option
from chipmeter.factory.program import (
    HOURS_PER_MONTH,
    Option,
    Program,
    Solution,
    conflicting_limits,
    shadow_prices,
    solve,
    usage,
)
from chipmeter.factory.read import read_plan
from chipmeter.factory.records import Problem, Serving
from chipmeter.workloads import find_model

UNITS = {"power": "W", "floor": "m2", "capex": "$", "opex_per_month": "$"}


@dataclass(frozen=True)
class Placement:
    """A share of a workload on an option: `systems` busy ones, and how the work runs there."""

    workload: str
    option: str
    share: float
    systems: float
    format: str
    note: str


@dataclass(frozen=True)
class Holding:
    """Systems held for the whole plan, and dollars over it."""

    option: str
    systems: int
    dollars: float
    grade: Grade
    source: str


@dataclass(frozen=True)
class Alternative:
    """Another plan: its holdings by option, and dollars over the plan; `gap` as in FactoryPlan."""

    systems: dict[str, int]
    dollars: float
    gap: float


@dataclass(frozen=True)
class LimitUse:
    """A limit: what the plan takes of it, and the dollars over the plan that one more unit would save."""

    limit: str
    unit: str
    used: float
    most: float
    shadow_price: float


@dataclass(frozen=True)
class FactoryPlan:
    """The cheapest plan found.

    Attributes
    ----------
    feasible : bool
        False: no plan keeps the limits; then `conflicts` and `notes` say why, and the rest is empty.
    dollars : float
        Over the plan's months; what remains of the value of owned systems is credited.
    gap : float
        Relative distance to the bound: at most 1e-6 means proved optimal.
    holdings, placements, limits
        What is held, what runs where, and what it takes of the limits.
    second : Alternative or None
        The cheapest plan that does without one of the systems used.
    by_month : dict of str to list of float
        Dollars spent up to the end of each month by this plan ("plan"), the cheapest that rents everything ("rent")
        and the cheapest that owns everything ("own"), as far as they exist; purchases count when they are made.
    break_even : dict of str to float
        For candidates without a price: dollars per hour of a system below which it would enter the plan.
    conflicts : tuple of str
        Limits that cannot be kept together, each with the least that a plan would need.
    notes : tuple of str
        What was left out and why, and what was assumed.
    """

    feasible: bool
    months: int
    dollars: float
    gap: float
    holdings: tuple[Holding, ...]
    placements: tuple[Placement, ...]
    limits: tuple[LimitUse, ...]
    second: Alternative | None
    by_month: dict[str, list[float]]
    break_even: dict[str, float]
    conflicts: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def optimal(self) -> bool:
        """Whether no cheaper plan exists."""
        return self.feasible and self.gap <= 1e-6


def plan_factory(problem: Problem | str | os.PathLike[str]) -> FactoryPlan:
    """Decide which systems to own and rent, how many, and what runs where, at the least cost.

    Parameters
    ----------
    problem : Problem or path
        A problem, or a plan file (`read_plan`).

    Raises
    ------
    ValueError
        If the file is no plan, or a name in it is unknown.
    """
    asked = problem if isinstance(problem, Problem) else read_plan(problem)
    systems = [chips.system(candidate.system) for candidate in asked.systems]
    models = {work.name: find_model(work.model) for work in asked.workloads}
    able = [
        [capability(work, models[work.name], system, asked.site.utilisation) for system in systems]
        for work in asked.workloads
    ]
    priced = [option(candidate, system, asked) for candidate, system in zip(asked.systems, systems, strict=True)]
    notes = [
        f"{name_of(c)} is left out: {why}" for c, (o, _, why) in zip(asked.systems, priced, strict=True) if o is None
    ]
    kept = [j for j, (found, _, _) in enumerate(priced) if found is not None]
    options = tuple(found for found, _, _ in priced if found is not None)
    program = _program(asked, options, [[row[j] for j in kept] for row in able])
    best = solve(program) if options else None
    if best is None:
        return _infeasible(asked, program, able, notes)
    marginal = shadow_prices(program)
    assert marginal is not None
    fewer = [found for j in best.used if (found := solve(program.dropping(j))) is not None]
    second = min(fewer, key=lambda found: found.cost, default=None)
    return FactoryPlan(
        feasible=True,
        months=asked.months,
        dollars=best.cost,
        gap=best.gap,
        holdings=tuple(
            Holding(options[i].name, int(best.systems[i]), float(best.systems[i]) * options[i].whole, *priced[j][1:])
            for i, j in enumerate(kept)
            if best.systems[i]
        ),
        placements=tuple(
            Placement(
                work.name,
                options[i].name,
                float(best.share[w, i]),
                float(best.share[w, i] * program.load[w, i]),
                able[w][j].format,
                able[w][j].note,
            )
            for w, work in enumerate(asked.workloads)
            for i, j in enumerate(kept)
            if best.share[w, i] > 0
        ),
        limits=tuple(
            LimitUse(name, UNITS[name], _used(program, best, name), most, max(0.0, marginal[0][name]))
            for name, most in program.limits.items()
        ),
        second=None if second is None else _alternative(program, second),
        by_month=_by_month(program, best, asked.months),
        break_even=_break_even(asked, able, priced, marginal[1]),
        conflicts=(),
        notes=(*notes, *_assumptions(asked)),
    )


def _program(asked: Problem, options: tuple[Option, ...], able: list[list[Capability]]) -> Program:
    load = np.array([[c.load for c in row] for row in able]).reshape(len(asked.workloads), len(options))
    for w, work in enumerate(asked.workloads):
        if work.on_premises:
            load[w, [not o.own for o in options]] = np.inf
    limits = asked.limits
    given = {name: getattr(limits, name) for name in UNITS}
    return Program(
        workloads=tuple(work.name for work in asked.workloads),
        options=options,
        load=load / asked.site.utilisation,
        least=np.array([[c.least for c in row] for row in able], np.int64).reshape(load.shape),
        hours=np.array([0.0 if isinstance(w, Serving) else w.deadline_days * 24 for w in asked.workloads]),
        limits={name: float(most) for name, most in given.items() if most is not None},
    )


def _infeasible(asked: Problem, program: Program, able: list[list[Capability]], notes: list[str]) -> FactoryPlan:
    said = list(notes)
    for w, work in enumerate(asked.workloads):
        if not np.isfinite(program.load[w]).any():
            reasons = sorted({c.note for c in able[w] if not c.possible})
            where = " on an owned system with known figures" if work.on_premises else ""
            said.append(f"{work.name} runs nowhere{where}" + (f": {'; '.join(reasons)}" if reasons else ""))
    conflicts = []
    for name in conflicting_limits(program) if program.options else ():
        least = solve(program.without(name), objective=name) or solve(program.without(*program.limits), objective=name)
        assert least is not None
        need = _used(program, least, name)
        conflicts.append(f"{name}: {program.limits[name]:,.0f} {UNITS[name]} allowed, {need:,.0f} needed at least")
    if not conflicts and len(said) == len(notes):
        said.append("the systems that can be had (at_most) are too few")
    return FactoryPlan(
        False, asked.months, float("nan"), float("nan"), (), (), (), None, {}, {}, tuple(conflicts), tuple(said)
    )


def _used(program: Program, solution: Solution, limit: str) -> float:
    held, hired = usage(program, limit)
    training = (program.hours > 0)[:, None] & ~np.array([o.own for o in program.options])[None, :]
    busy = np.where(
        training & (solution.share > 0), solution.share * np.where(np.isfinite(program.load), program.load, 0), 0
    )
    return float(held @ solution.systems + hired @ busy.sum(axis=0))


def _alternative(program: Program, solution: Solution) -> Alternative:
    names = {program.options[j].name: int(solution.systems[j]) for j in sorted(solution.used)}
    return Alternative(names, solution.cost, solution.gap)


def _by_month(program: Program, best: Solution, months: int) -> dict[str, list[float]]:
    plans = {"plan": best, "rent": solve(program.only(own=False)), "own": solve(program.only(own=True))}
    return {name: _spent(program, plan, months) for name, plan in plans.items() if plan is not None}


def _spent(program: Program, plan: Solution, months: int) -> list[float]:
    start = _used(program, plan, "capex")
    steady = sum(float(count) * o.month for count, o in zip(plan.systems, program.options, strict=True))
    spent, total = [], start
    for month in range(months):
        total += steady
        for w, hours in enumerate(program.hours):
            share = min(max(hours - month * HOURS_PER_MONTH, 0.0), HOURS_PER_MONTH)
            for j, o in enumerate(program.options):
                if not o.own and plan.share[w, j] > 0:
                    total += plan.share[w, j] * program.load[w, j] * share * o.hour
        spent.append(float(total))
    return spent


def _break_even(
    asked: Problem,
    able: list[list[Capability]],
    priced: list[tuple[Option | None, Grade, str]],
    marginal: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> dict[str, float]:
    """Value a system by the dearest workload it could do, at that workload's marginal cost."""
    worth = {}
    for j, (candidate, (found, _, _)) in enumerate(zip(asked.systems, priced, strict=True)):
        if found is not None:
            continue
        values = [
            marginal[w] * asked.site.utilisation / able[w][j].load
            for w, work in enumerate(asked.workloads)
            if able[w][j].possible and not (work.on_premises and candidate.tenure == "rent")
        ]
        if values:
            worth[name_of(candidate)] = float(max(values)) / (asked.months * HOURS_PER_MONTH)
    return worth


def _assumptions(asked: Problem) -> tuple[str, ...]:
    site = asked.site
    return (
        f"systems are planned to be busy {site.utilisation:.0%} of the time",
        (
            f"own floor: PUE {site.pue}, ${site.dollars_per_kwh} per kWh, {site.loading:.0%} of the purchase for network and "
            f"storage, {site.upkeep_per_year:.1%} a year for upkeep, {site.years:g} years of life"
        ),
        "serving: continuous batching, one queue per group of chips; training: fully sharded, full recomputation",
    )
