"""The plans that a search goes through: degrees along one axis, policies along the other, in blocks of bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from chipmeter.cost.device import Device
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import SCHEDULES, Integers, Plans, recompute_codes, schedule_codes
from chipmeter.cost.shape import Shape
from chipmeter.planning.rules import INTERLEAVED, ONE_STAGE, RULES, UNEVEN, Mask, legal

BLOCK = 1 << 15
"""Plans of one block at most, so that memory stays bounded and columns stay in cache."""

LARGEST_MICRO, LARGEST_CONTEXT = 64, 64
"""Sequences of a microbatch and chips that share a sequence, at most."""

LEAST_TENSOR = 8
"""Tensor groups reach over a scale-up domain, or over this many chips where the domain is smaller."""

POLICIES = ("none", "selective op", "selective layer", "full")
"""Policies of recomputation that a search tries: those whose memory is known and which differ with fused attention."""

BY_DEGREES = tuple(rule for rule in RULES if rule.by_degrees)
BY_POLICY = tuple(rule for rule in RULES if not rule.by_degrees)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """What a search may choose from; None for everything that the model and the chips allow.

    Attributes
    ----------
    tensor, pipeline, virtual, context, expert, micro : tuple of int or None
    schedule, recompute, format : tuple of str
    zero : tuple of int
    sequence_parallel : tuple of bool
    adapters : bool
        Whether only low-rank adapters are trained.
    gradient_bytes : {4, 2}
    """

    tensor: tuple[int, ...] | None = None
    pipeline: tuple[int, ...] | None = None
    virtual: tuple[int, ...] | None = None
    context: tuple[int, ...] | None = None
    expert: tuple[int, ...] | None = None
    micro: tuple[int, ...] | None = None
    schedule: tuple[str, ...] = tuple(SCHEDULES)
    recompute: tuple[str, ...] = POLICIES
    zero: tuple[int, ...] = (0, 1, 2, 3)
    sequence_parallel: tuple[bool, ...] = (True,)
    format: tuple[str, ...] = ("bf16",)
    adapters: bool = False
    gradient_bytes: int = Plans.gradient_bytes

    def __post_init__(self) -> None:
        for name in ("tensor", "pipeline", "virtual", "context", "expert", "micro"):
            for size in getattr(self, name) or (1,):
                if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                    raise ValueError(f"{name} must be integers of 1 or more, got {size!r}")
        for name in self.__struct_fields__:
            if getattr(self, name) == ():
                raise ValueError(f"{name} must name at least one choice")
        for value in self.zero:
            if value not in (0, 1, 2, 3):
                raise ValueError(f"zero must be 0, 1, 2 or 3, got {value!r}")
        if self.gradient_bytes not in (2, 4):
            raise ValueError(f"gradient_bytes must be 2 or 4, got {self.gradient_bytes!r}")
        schedule_codes(self.schedule)
        recompute_codes(self.recompute)


@dataclass
class Tally:
    """Plans looked at, and those that broke a rule by the first that each broke."""

    examined: int = 0
    broken: Counter[str] = field(default_factory=Counter)


def divisors(number: int, most: int) -> tuple[int, ...]:
    """List the divisors of a number up to a bound.

    >>> divisors(12, 6)
    (1, 2, 3, 4, 6)
    """
    return tuple(size for size in range(1, min(number, most) + 1) if number % size == 0)


def stages(layers: int, most: int) -> tuple[int, ...]:
    """List the numbers of stages that may hold some layers, where up to `UNEVEN` others stand for a layer.

    >>> stages(30, 12)
    (1, 2, 3, 4, 5, 6, 8, 10, 11)
    """
    return tuple(count for count in range(1, most + 1) if -(-layers // count) * count - layers <= UNEVEN)


def blocks(
    model: Shape, chip: Device, chips: int, batch: int, seq: int, space: Space, tally: Tally
) -> Iterator[tuple[Plans, Mask]]:
    """Go through every plan of a space: by number format and pipeline stages, then some degrees at a time.

    Degrees that break a rule by themselves are counted and left out; every policy is laid beside the others.

    Yields
    ------
    Plans
        Of shape (degrees, policies).
    ndarray of bool
        Those that keep the rules.
    """
    most = max(chip.domain, LEAST_TENSOR)
    axes = (
        space.tensor or divisors(model.heads, min(most, chips)),
        space.context or divisors(max(1, seq // 2), min(LARGEST_CONTEXT, chips)),
        space.expert or divisors(max(1, model.experts), chips),
        space.micro or divisors(batch, LARGEST_MICRO),
    )
    grid = np.meshgrid(*axes, space.sequence_parallel, indexing="ij")
    tensor, context, expert, micro = (column.astype(np.float64).reshape(-1, 1) for column in grid[:4])
    together = grid[4].reshape(-1, 1)
    for format in space.format:
        for pipeline in space.pipeline or stages(model.layers, min(model.layers, chips)):
            policies = _policies(model, pipeline, space)
            if policies is None:
                continue
            schedule, virtual, recompute, zero = policies
            whole = Plans(
                chips=_one(chips), batch=_one(batch), seq=_one(seq), pipeline=_one(pipeline),
                tensor=tensor, context=context, expert=expert, micro=micro, sequence_parallel=together,
                virtual=virtual.astype(np.float64), schedule=schedule, recompute=recompute, zero=zero, format=format,
                adapters=space.adapters, gradient_bytes=space.gradient_bytes,
            )  # fmt: skip
            kept, broken = legal(model, whole.cut(slice(None), slice(1)), BY_DEGREES)
            count = schedule.shape[1]
            tally.examined += kept.size * count
            tally.broken.update({name: times * count for name, times in broken.items()})
            rows = np.flatnonzero(kept)
            step = max(1, BLOCK // count)
            for start in range(0, len(rows), step):
                plans = whole.cut(rows[start : start + step], slice(None))
                block, broken = legal(model, plans, BY_POLICY)
                tally.broken.update(broken)
                yield plans, block


def _one(number: int) -> Array:
    return np.full((1, 1), float(number))


def _policies(model: Shape, pipeline: int, space: Space) -> tuple[Integers, ...] | None:
    """Lay out schedules with their virtual stages, recomputation and ZeRO, each (1, policies); None if none is left."""
    most = model.layers + UNEVEN
    equal = stages(model.layers, most)
    several = space.virtual or [count for count in range(1, most // pipeline + 1) if pipeline * count in equal]
    schedules = schedule_codes(space.schedule) if pipeline > 1 else np.array([ONE_STAGE])
    columns = [
        (schedule, virtual, policy, zero)
        for schedule in schedules
        for virtual in several
        if (virtual > 1) == (schedule == INTERLEAVED)
        for policy in recompute_codes(space.recompute)
        for zero in space.zero
    ]
    if not columns:
        return None
    return tuple(np.array([column], dtype=np.int64) for column in zip(*columns, strict=True))
