"""From candidates to options: what a system costs and takes, or why it cannot be priced."""

from __future__ import annotations

from chipmeter import chips
from chipmeter.chips import System
from chipmeter.cost import find_price
from chipmeter.evidence import Grade, weakest
from chipmeter.factory.program import HOURS_PER_MONTH, Option
from chipmeter.factory.records import Candidate, Problem, Site


def option(candidate: Candidate, system: System, problem: Problem) -> tuple[Option | None, Grade, str]:
    """Price a candidate: the option or None, the grade of its figures, and where they are from or what is missing."""
    return (_own if candidate.tenure == "own" else _rent)(candidate, system, problem)


def name_of(candidate: Candidate) -> str:
    """Name a candidate as plans print it."""
    return f"{candidate.system} ({'own' if candidate.tenure == 'own' else 'rent, ' + candidate.price})"


def _own(candidate: Candidate, system: System, problem: Problem) -> tuple[Option | None, Grade, str]:
    site = problem.site
    capex, grade, source = candidate.capex, weakest("assumed"), "capex given in the plan"
    if capex is None:
        if system.capex is None:
            return None, "assumed", f"no purchase price of {system.id} is known: give capex"
        capex, grade, source = system.capex.value, system.capex.grade, system.capex.source
    watts, power_grade = _watts(candidate, system)
    if watts is None:
        return None, "assumed", f"no power of {system.id} is known: give power in watts"
    bought = capex * (1 + site.loading)
    month = bought * site.upkeep_per_year / 12 + _electricity(watts, site)
    life = min(1.0, problem.months / 12 / site.years)
    return (
        Option(
            name=name_of(candidate),
            own=True,
            whole=bought * life + month * problem.months,
            month=month,
            hour=0.0,
            capex=bought,
            watts=watts * site.pue,
            floor=watts / 1e3 * site.floor_per_kilowatt,
            at_most=candidate.at_most,
        ),
        weakest(grade, power_grade),
        source,
    )


def _rent(candidate: Candidate, system: System, problem: Problem) -> tuple[Option | None, Grade, str]:
    hour, grade, source = candidate.dollars_per_hour, weakest("assumed"), "dollars_per_hour given in the plan"
    if hour is None:
        price = find_price(chips.chip(system.chip), system, candidate.price)
        if price is None:
            return None, "assumed", f"no {candidate.price} price of {system.id} is known: give dollars_per_hour"
        hour, grade, source = price.dollars_per_chip_hour * system.chips, price.grade, price.source
    month = hour * HOURS_PER_MONTH
    return (
        Option(
            name=name_of(candidate),
            own=False,
            whole=month * problem.months,
            month=month,
            hour=hour,
            capex=0.0,
            watts=0.0,
            floor=0.0,
            at_most=candidate.at_most,
        ),
        grade,
        source,
    )


def _watts(candidate: Candidate, system: System) -> tuple[float | None, Grade]:
    """Take the plan's figure, a measured one, or the rating."""
    if candidate.power is not None:
        return candidate.power, "assumed"
    figure = system.power_measured or system.power
    return (None, "assumed") if figure is None else (figure.value, figure.grade)


def _electricity(watts: float, site: Site) -> float:
    return watts / 1e3 * site.pue * site.dollars_per_kwh * HOURS_PER_MONTH
