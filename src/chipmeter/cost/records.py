"""The result of an estimate: one record for the step, one per operation."""

from __future__ import annotations

import msgspec

from chipmeter.chips import Price
from chipmeter.cost.memory import Footprint
from chipmeter.cost.ranges import Range
from chipmeter.cost.roofline import Limit
from chipmeter.evidence import GRADES, Grade, weakest
from chipmeter.workloads import Formats
from chipmeter.workloads.workload import Unit


class OpEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the breakdown: an operation of one chip, all its executions in the step together.

    Attributes
    ----------
    name : str
    count : int
        Executions.
    flops, bytes : float
        Of one chip.
    joules : float or None
        Of one chip.
    time_by_limit : dict of str to float
        Seconds by limit; they add up to `seconds`.
    grade : str
        The weakest of the figures that the seconds rest on.
    """

    name: str
    count: int
    flops: float
    bytes: float
    joules: float | None
    time_by_limit: dict[Limit, float]
    grade: Grade

    @property
    def seconds(self) -> float:
        """Of all executions."""
        return sum(self.time_by_limit.values())

    @property
    def limit(self) -> Limit:
        """What takes most of the time."""
        return max(self.time_by_limit, key=lambda limit: self.time_by_limit[limit])


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What one step costs.

    Attributes
    ----------
    model, chip, phase : str
    system : str or None
    batch, seq, context, tensor_parallel : int
    formats : Formats
    unit : {"token", "sequence", "image", "frame", "run"}
    units, tokens : int
        Units of work and new tokens of one step.
    seconds : float
        Of one step, as expected.
    seconds_range, joules_range, facility_range, dollars_range : Range or None
        Low, expected and high: the nominal 90 % interval of the constants behind the time, and the doubt of power and
        price. `facility_range` is joules at the meter: boards, hosts, network, and cooling.
    basis : str
        What the time rests on: the runs whose fitted constants gave it, or its operations.
    outside : bool
        Whether model or chip is outside what those constants were fitted on; the ranges are wider then.
    flops : float
        Floating-point operations of the step on matrix units, over all chips; causal attention counts half.
    mfu : float
        Model FLOP/s as a fraction of the dense peak of all chips in the GEMM format.
    memory : Footprint
        Bytes on each chip by part; `memory.fits`.
    joules : float or None
        Of the accelerator boards of the group; None where no power is published.
    price : Price or None
        The price used; None when none of the kind asked for is known.
    dollars : float or None
    bottleneck : {"compute", "memory bandwidth", "network", "latency"}
        What most of the seconds go to.
    time_by_limit : dict of str to float
        Seconds by limit; they add up to `seconds`.
    ops : tuple of OpEstimate
    grades : dict of str to str
        Evidence grade of what each result rests on: "seconds" the weakest of the figures behind any operation,
        "joules" that of the power, "dollars" that of the price (both rest on the seconds as well).
    assumptions : tuple of str
        What was assumed, for people.
    """

    model: str
    chip: str
    phase: str
    system: str | None
    batch: int
    seq: int
    context: int
    tensor_parallel: int
    formats: Formats
    unit: Unit
    units: int
    tokens: int
    seconds: float
    seconds_range: Range
    basis: str
    outside: bool
    flops: float
    mfu: float
    memory: Footprint
    joules: float | None
    joules_range: Range | None
    facility_range: Range | None
    price: Price | None
    dollars: float | None
    dollars_range: Range | None
    bottleneck: Limit
    time_by_limit: dict[Limit, float]
    ops: tuple[OpEstimate, ...]
    grades: dict[str, Grade]
    assumptions: tuple[str, ...]

    @property
    def grade(self) -> Grade:
        """The weakest grade of all."""
        return weakest(*self.grades.values())

    @property
    def seconds_by_grade(self) -> dict[Grade, float]:
        """Seconds by the grade of what they rest on: how much of the estimate is assumed."""
        return {grade: sum(op.seconds for op in self.ops if op.grade == grade) for grade in GRADES}

    @property
    def assumed_share(self) -> float:
        """Share of the seconds that rests on an assumed figure, 0 to 1."""
        return self.seconds_by_grade["assumed"] / self.seconds

    @property
    def chips(self) -> int:
        """Chips that share the step."""
        return self.tensor_parallel

    @property
    def units_per_second_range(self) -> Range:
        """Low, expected and high units of work per second."""
        return self.units / self.seconds_range

    @property
    def tokens_per_second_range(self) -> Range:
        """Low, expected and high new tokens per second."""
        return self.tokens / self.seconds_range

    @property
    def joules_per_unit_range(self) -> Range | None:
        """Low, expected and high joules of the boards per unit of work."""
        return None if self.joules_range is None else self.joules_range / self.units

    @property
    def facility_joules_per_unit_range(self) -> Range | None:
        """Low, expected and high joules at the meter per unit of work."""
        return None if self.facility_range is None else self.facility_range / self.units

    @property
    def dollars_per_million_units_range(self) -> Range | None:
        """Low, expected and high dollars per million units of work."""
        return None if self.dollars_range is None else self.dollars_range * (1e6 / self.units)

    @property
    def fits(self) -> bool:
        """Whether the step fits the memory of each chip."""
        return self.memory.fits

    @property
    def units_per_second(self) -> float:
        """Units of work per second, of the whole group."""
        return self.units / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second, of the whole group."""
        return self.tokens / self.seconds

    @property
    def watts(self) -> float | None:
        """Mean power of the boards of the group."""
        return None if self.joules is None else self.joules / self.seconds

    @property
    def joules_per_unit(self) -> float | None:
        """Joules of the boards per unit of work."""
        return None if self.joules is None else self.joules / self.units

    @property
    def joules_per_token(self) -> float | None:
        """Joules of the boards per new token."""
        return None if self.joules is None else self.joules / self.tokens

    @property
    def dollars_per_million_units(self) -> float | None:
        """Dollars per million units of work."""
        return None if self.dollars is None else self.dollars / self.units * 1e6

    @property
    def dollars_per_million_tokens(self) -> float | None:
        """Dollars per million new tokens."""
        return None if self.dollars is None else self.dollars / self.tokens * 1e6
