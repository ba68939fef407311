"""What a search answers: plans in order, each with its breakdown, and how the others fell away."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import msgspec

from chipmeter.chips import Price
from chipmeter.cost.plan import Plan
from chipmeter.cost.ranges import Range

Objective = Literal["seconds", "dollars", "joules", "pareto"]

LIMITS: dict[str, tuple[str, ...]] = {
    "matrix products": ("linear", "head", "experts"),
    "attention": ("attention",),
    "memory bandwidth": ("pointwise", "optimizer"),
    "tensor, context and expert traffic": ("tensor", "context", "expert_traffic"),
    "replicas' traffic": ("data", "shard"),
    "pipeline": ("pipeline", "bubble"),
    "launches": ("launch",),
}
"""What a step may be limited by, and its parts."""


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One plan and what a step under it takes.

    Attributes
    ----------
    chip : str
    plan : Plan
    seconds, low, high : float
        Of one step, with the bounds of the nominal 90 % interval.
    parts : dict of str to float
        Seconds by part; they add up to `seconds` unless the floor of the chip's peak holds.
    memory : dict of str to float
        Bytes on each chip of the fullest pipeline stage, by part.
    stages : tuple of float
        Bytes on each chip of every pipeline stage.
    capacity : float
        Bytes of memory that a chip has.
    mfu : float
        Model FLOP/s, causal attention counted half and nothing repeated, as a fraction of the chips' dense peak.
    tokens_per_second : float
        Of all chips.
    joules : float or None
        Of the accelerator boards, of one step; None where no power is published.
    dollars : float or None
        Of one step; None where no price is known.
    joules_range, dollars_range : Range or None
        The same with the bounds of their nominal 90 % intervals.
    """

    unit: ClassVar[str] = "token"

    chip: str
    plan: Plan
    seconds: float
    low: float
    high: float
    parts: dict[str, float]
    memory: dict[str, float]
    stages: tuple[float, ...]
    capacity: float
    mfu: float
    tokens_per_second: float
    joules: float | None
    dollars: float | None
    joules_range: Range | None
    dollars_range: Range | None

    @property
    def chips(self) -> int:
        """Chips of the plan."""
        return self.plan.chips

    @property
    def units(self) -> float:
        """Tokens of one step."""
        return self.plan.batch * self.plan.seq

    @property
    def seconds_range(self) -> Range:
        """Low, expected and high seconds of one step."""
        return Range(self.low, self.seconds, self.high)

    @property
    def limits(self) -> dict[str, float]:
        """Seconds by what limits the step, greatest first."""
        sums = {name: sum(self.parts[part] for part in parts) for name, parts in LIMITS.items()}
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    @property
    def bytes(self) -> float:
        """Memory of the fullest stage."""
        return sum(self.memory.values())

    def against(self, other: Ranked) -> dict[str, float]:
        """Seconds by which each part of another plan is longer, largest difference first."""
        gaps = {name: other.parts[name] - seconds for name, seconds in self.parts.items()}
        return dict(sorted(gaps.items(), key=lambda item: -abs(item[1])))


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that somebody asked about.

    Attributes
    ----------
    plan : Plan
    faults : tuple of str
        The rules that it breaks; empty if it works.
    nearest : Ranked or None
        The plan itself if it works, else the nearest plan that does.
    """

    plan: Plan
    faults: tuple[str, ...]
    nearest: Ranked | None


class PlanSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a search.

    Attributes
    ----------
    plans : tuple of Ranked
        Best first; for ``"pareto"`` the plans that no other beats in seconds, dollars and joules at once.
    examined, legal, unfit : int
        Plans looked at, plans that work, and plans that keep every other rule but do not fit the memory.
    broken : dict of str to int
        Plans by the first rule that each broke.
    asked : Asked or None
    outside : bool
        Whether model or chip is outside what the constants were fitted on; intervals are wider then.
    price : Price or None
    assumptions : tuple of str
    """

    model: str
    chip: str
    system: str | None
    chips: tuple[int, ...]
    batch: int
    seq: int
    objective: Objective
    plans: tuple[Ranked, ...]
    examined: int
    legal: int
    unfit: int
    broken: dict[str, int]
    asked: Asked | None
    outside: bool
    price: Price | None
    assumptions: tuple[str, ...]

    @property
    def best(self) -> Ranked:
        """The first plan."""
        return self.plans[0]


def layout(plan: Plan) -> str:
    """Write a plan in one line.

    >>> layout(Plan(chips=64, batch=128, seq=8192, tensor=4, pipeline=4, virtual=5))
    'TP 4, PP 4 x 5 interleaved, DP 4, ZeRO 1, microbatch 1 x 32'
    """
    words = [f"TP {plan.tensor}"] if plan.tensor > 1 else []
    if plan.pipeline > 1:
        virtual = f" x {plan.virtual}" if plan.virtual > 1 else ""
        words.append(f"PP {plan.pipeline}{virtual} {plan.schedule}")
    words += [f"CP {plan.context}"] if plan.context > 1 else []
    words += [f"EP {plan.expert}"] if plan.expert > 1 else []
    words += [f"DP {plan.data:g}", f"ZeRO {plan.zero}", f"microbatch {plan.micro:g} x {math.ceil(plan.microbatches)}"]
    words += [f"recompute {plan.recompute}"] if plan.recompute != "none" else []
    words += [plan.format] if plan.format != "bf16" else []
    return ", ".join(words)
