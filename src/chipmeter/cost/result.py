"""From a timed step to its estimate: joules, dollars and their ranges put beside the seconds."""

from __future__ import annotations

from typing import NamedTuple

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.energy import PowerModel
from chipmeter.cost.memory import Footprint
from chipmeter.cost.money import dollars, offers, price_range
from chipmeter.cost.ranges import Range
from chipmeter.cost.records import Estimate, OpEstimate
from chipmeter.cost.roofline import LIMITS, Limit
from chipmeter.cost.site import cooling, facility_joules, ownership
from chipmeter.cost.whole import Basis
from chipmeter.evidence import Grade
from chipmeter.workloads import Formats, Workload


class Paid(NamedTuple):
    """The price used, its range per chip-hour, and a sentence on it; without a price, why there is none."""

    price: Price | None
    range: Range | None
    note: str


def pay(
    chip: Chip, system: System | None, asked: PriceKind | Price, *, date: str | None = None, region: str | None = None
) -> Paid:
    """Find the price of a chip-hour: one given, the lowest quoted, or for what one buys the cost of owning it."""
    if isinstance(asked, Price):
        return Paid(asked, price_range(asked), _note(asked))
    known = offers(chip, system, asked, date=date, region=region)
    if known:
        return Paid(known[0], price_range(known[0], known[1:]), _note(known[0]))
    if asked == "owned" and system is not None and system.capex is not None and date is None and region is None:
        own = ownership(system)
        return Paid(own.price, own.total, _note(own.price))
    when = "".join(f" {word} {value}" for word, value in (("of", date), ("in", region)) if value)
    return Paid(None, None, f"no {asked} price of {(system or chip).id}{when} is known")


def _note(used: Price) -> str:
    said = ", ".join(part for part in (used.kind, used.region, used.date) if part)
    return f"price: ${used.dollars_per_chip_hour:.2f} per chip-hour, {said}; every second is paid and used"


def result(
    step: Workload, lines: tuple[OpEstimate, ...], found: Basis, *, chip: Chip, system: System | None, formats: Formats,
    chips: int, grade: Grade, power: PowerModel | None, memory: Footprint, paid: Paid, pue: float | None,
    notes: tuple[str, ...],
) -> Estimate:  # fmt: skip
    """Put an estimate together."""
    cooling(pue)  # an impossible one is refused also where no power is known
    seconds = found.seconds.expected
    by_limit: dict[Limit, float] = {limit: sum(line.time_by_limit[limit] for line in lines) for limit in LIMITS}
    joules = joules_range = facility = None
    grades: dict[str, Grade] = {"seconds": grade}
    if power is not None:
        joules = chips * sum(line.joules or 0.0 for line in lines)
        joules_range = joules_within(joules, found.seconds, chips, power)
        facility = facility_joules(joules_range, found.seconds, chips, pue)
        grades["joules"] = power.grade
    if paid.price is not None:
        grades["dollars"] = paid.price.grade
    return Estimate(
        model=step.model.name,
        chip=chip.id,
        phase=step.phase,
        system=None if system is None else system.id,
        batch=step.batch,
        seq=step.seq,
        context=step.context,
        tensor_parallel=chips,
        formats=formats,
        unit=step.unit,
        units=step.units,
        tokens=step.tokens,
        seconds=seconds,
        seconds_range=found.seconds,
        basis=found.source,
        outside=found.outside,
        flops=step.matrix_flops,
        mfu=step.model_flops / (seconds * chip.peak[formats.gemm].value * chips),
        memory=memory,
        joules=joules,
        joules_range=joules_range,
        facility_range=facility,
        price=paid.price,
        dollars=None if paid.price is None else dollars(seconds, chips, paid.price),
        dollars_range=None if paid.range is None else found.seconds * paid.range * (chips / 3600.0),
        bottleneck=max(by_limit, key=lambda limit: by_limit[limit]),
        time_by_limit=by_limit,
        ops=lines,
        grades=grades,
        assumptions=(*notes, paid.note),
    )


def joules_within(joules: float, seconds: Range, chips: int, power: PowerModel) -> Range:
    """Put the doubts of time and power around joules; boards at their limit for the longest time take the most."""
    free = seconds * (Range.around(joules, *power.doubt) / seconds.expected)
    return Range(free.low, joules, max(joules, min(free.high, chips * power.limit * seconds.high)))
