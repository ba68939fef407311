"""How a training step is laid out over chips: one plan, many plans as columns, and schedules and policies as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from chipmeter._names import unknown_name
from chipmeter.cost.fitting import Array
from chipmeter.cost.software import GRADIENT_BYTES, gradient_bytes

Integers = NDArray[np.int64]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The order in which a pipeline's stages take microbatches.

    Attributes
    ----------
    filled : float
        Weight-gradient products of a microbatch that fill each idle slot of ``(p - 1) / (m v)``: p stages, m
        microbatches, v virtual stages.
    held, held_virtual : (float, float, float)
        Microbatches whose activations a stage of rank r holds at once, at most all of them: ``a p + b r + c``, and a
        second such sum divided by v.
    least : (float, float)
        Microbatches that it needs, ``a p + b``.
    source : str
    """

    held: tuple[float, float, float]
    source: str
    filled: float = 0.0
    held_virtual: tuple[float, float, float] = (0.0, 0.0, 0.0)
    least: tuple[float, float] = (0.0, 1.0)


_KORTHIKANTI, _QI = "Korthikanti et al. 2022, arXiv 2205.05198", "Qi et al. 2023, arXiv 2401.10241, table 2"

SCHEDULES: dict[str, Schedule] = {
    "gpipe": Schedule(held=(0.0, 0.0, math.inf), source="Huang et al. 2019, arXiv 1811.06965"),
    "1f1b": Schedule(held=(1.0, -1.0, 0.0), source="Narayanan et al. 2021, arXiv 2104.04473"),
    "interleaved": Schedule(
        held=(1.0, 0.0, 0.0), held_virtual=(1.0, -2.0, -1.0), least=(1.0, 0.0), source=_KORTHIKANTI
    ),
    "zb-h1": Schedule(held=(1.0, 0.0, 0.0), filled=2.0, least=(1.0, 0.0), source=_QI),
    "zb-h2": Schedule(held=(2.0, 0.0, -1.0), filled=3.0, least=(2.0, -1.0), source=_QI),
}
"""Of one virtual stage all but ``interleaved``. The two of zero bubble put off products of weights' gradients: H1 within
the memory of 1F1B, H2 without a bubble where forward, input's and weight's gradient take equally long."""


class Recompute(msgspec.Struct, frozen=True):
    """A policy of recomputation: forward passes repeated, and the share of a layer's activations kept beyond its input."""

    passes: float
    kept: float


RECOMPUTE: dict[str, Recompute] = {
    "none": Recompute(0.0, 1.0),
    "selective": Recompute(0.0, 1.0),
    "selective op": Recompute(0.15, 0.6),
    "selective layer": Recompute(0.5, 0.63),
    "custom": Recompute(0.6, 0.4),
    "qkv_proj_offloaded": Recompute(0.8, 0.2),
    "full": Recompute(1.0, 0.0),
}
"""``selective`` repeats attention's scores, which fused attention never keeps. ``selective op`` keeps half of the matrix
results and ``selective layer`` every second layer, as torchtitan does; their shares are set so that Llama-3-8B on 8 H100 takes the
published 82 GiB. The two of MaxText: what they repeat is fitted by hand on its runs, what they keep assumed."""

_SCHEDULE_NAMES, _RECOMPUTE_NAMES = tuple(SCHEDULES), tuple(RECOMPUTE)
_PASSES = np.array([policy.passes for policy in RECOMPUTE.values()])
_KEPT = np.array([policy.kept for policy in RECOMPUTE.values()])
_FILLED = np.array([one.filled for one in SCHEDULES.values()])
_HELD = np.array([one.held for one in SCHEDULES.values()])
_HELD_VIRTUAL = np.array([one.held_virtual for one in SCHEDULES.values()])
_LEAST = np.array([one.least for one in SCHEDULES.values()])


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a step is laid out.

    Attributes
    ----------
    chips, batch, micro, seq : int
        Chips in all, sequences per step and per microbatch, tokens of each.
    tensor, pipeline, virtual, context, expert : int
        Degrees of each kind of parallelism; `virtual` stages per pipeline rank. What is left of the chips are replicas.
    schedule : str
        Of the pipeline, a key of `SCHEDULES`; 1F1B with several virtual stages is ``"interleaved"`` whatever is given.
    recompute : str
        Activations computed again in the backward pass, a key of `RECOMPUTE`.
    zero : {0, 1, 2, 3}
        What is divided over the replicas: nothing, the optimizer's state, gradients too, parameters too (FSDP).
    sequence_parallel : bool
        Whether the tensor group divides norms and residuals by tokens.
    adapters : bool
        Whether only low-rank adapters are trained, so that weights need no gradients.
    format : str
        Number format of the products.
    gradient_bytes : {4, 2}, optional
        Bytes of a gradient as it is kept and reduced; by default as many as the software whose runs are gone by keeps.

    Examples
    --------
    >>> plan = Plan(chips=64, batch=128, seq=8192, tensor=4, pipeline=4, virtual=5)
    >>> plan.data, plan.microbatches, plan.schedule
    (4.0, 32.0, 'interleaved')
    """

    chips: int
    batch: float
    seq: int
    micro: float = 1
    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1
    context: int = 1
    expert: int = 1
    schedule: str = "1f1b"
    recompute: str = "none"
    zero: int = 1
    sequence_parallel: bool = True
    adapters: bool = False
    format: str = "bf16"
    gradient_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("chips", "batch", "seq", "micro", "tensor", "pipeline", "virtual", "context", "expert"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < math.inf:
                raise ValueError(f"{name} of a plan must be a positive number, got {size!r}")
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)
        if self.recompute not in RECOMPUTE:
            raise unknown_name("recomputation policy", self.recompute, RECOMPUTE)
        if self.zero not in (0, 1, 2, 3):
            raise ValueError(f"zero must be 0, 1, 2 or 3, got {self.zero!r}")
        if self.gradient_bytes not in (None, 2, 4):
            raise ValueError(f"gradient_bytes must be 2 or 4, got {self.gradient_bytes!r}")
        if self.virtual > 1 and self.schedule == "1f1b":
            msgspec.structs.force_setattr(self, "schedule", "interleaved")

    def kept_by(self, software: str) -> Plan:
        """Return the plan with gradients as a software keeps them, unless it says itself.

        >>> Plan(chips=8, batch=8, seq=4096).kept_by("mbridge").gradient_bytes
        2
        """
        if self.gradient_bytes is not None:
            return self
        return msgspec.structs.replace(self, gradient_bytes=gradient_bytes(software))

    @property
    def data(self) -> float:
        """Replicas that see different sequences."""
        return float(Plans.of([self]).data[0])

    @property
    def microbatches(self) -> float:
        """Microbatches that each replica works through in a step."""
        return float(Plans.of([self]).microbatches[0])


@dataclass(frozen=True, eq=False)
class Plans:
    """Many plans alike in format, adapters and gradients as columns, whose shapes need only broadcast: the fields of `Plan`, names as codes.

    A search lays degrees along one axis and policies along the other, so that what depends on degrees alone is
    computed once for all policies.
    """

    chips: Array
    batch: Array
    seq: Array
    micro: Array
    tensor: Array
    pipeline: Array
    virtual: Array
    context: Array
    expert: Array
    schedule: Integers
    recompute: Integers
    zero: Integers
    sequence_parallel: NDArray[np.bool_]
    adapters: bool = False
    format: str = "bf16"
    gradient_bytes: int = GRADIENT_BYTES

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> Plans:
        """Lay out plans, which must agree in what is no column, along one axis."""
        common: dict[str, Any] = {name: getattr(plans[0], name) for name in COMMON}
        common["gradient_bytes"] = common["gradient_bytes"] or cls.gradient_bytes
        if any(getattr(plan, name) != getattr(plans[0], name) for plan in plans for name in COMMON):
            raise ValueError(f"plans laid out together must agree in {', '.join(COMMON)}")
        columns: dict[str, Any] = {name: np.array([float(getattr(plan, name)) for plan in plans]) for name in NUMBERS}
        return cls(
            **columns,
            schedule=np.array([_SCHEDULE_NAMES.index(plan.schedule) for plan in plans]),
            recompute=np.array([_RECOMPUTE_NAMES.index(plan.recompute) for plan in plans]),
            zero=np.array([plan.zero for plan in plans]),
            sequence_parallel=np.array([plan.sequence_parallel for plan in plans]),
            **common,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all columns broadcast together."""
        return np.broadcast_shapes(*(getattr(self, name).shape for name in COLUMNS))

    def plan(self, *index: int) -> Plan:
        """Return one plan."""
        shape = self.shape
        cells = {name: np.broadcast_to(getattr(self, name), shape)[index].item() for name in COLUMNS}
        whole = {name: int(cells[name]) for name in NUMBERS if cells[name] == int(cells[name])}
        names = {
            "schedule": _SCHEDULE_NAMES[cells["schedule"]],
            "recompute": _RECOMPUTE_NAMES[cells["recompute"]],
        }
        return Plan(**{**cells, **whole, **names}, **{name: getattr(self, name) for name in COMMON})

    def cut(self, degrees: slice | Integers, policies: slice | Integers) -> Plans:
        """Cut plans laid along two axes to some rows and columns; what is single along an axis stays."""
        cells = {}
        for name in COLUMNS:
            column = getattr(self, name)
            column = column if column.shape[0] == 1 else column[degrees]
            cells[name] = column if column.shape[1] == 1 else column[:, policies]
        return replace(self, **cells)

    @property
    def data(self) -> Array:
        """Replicas that see different sequences."""
        return np.asarray(np.maximum(1.0, self.chips / (self.tensor * self.pipeline * self.context)))

    @property
    def microbatches(self) -> Array:
        """Microbatches that each replica works through in a step."""
        return np.asarray(np.maximum(1.0, self.batch / (self.data * self.micro)))

    @property
    def passes(self) -> Array:
        """Forward passes repeated in the backward pass."""
        return _PASSES[self.recompute]

    @property
    def kept(self) -> Array:
        """Share of a layer's activations kept beyond its input."""
        return _KEPT[self.recompute]

    @property
    def filled(self) -> Array:
        """Weight-gradient products that fill each idle slot of the pipeline; fewer where microbatches are too few."""
        return np.asarray(_FILLED[self.schedule] * np.minimum(1.0, self.microbatches / self.least_microbatches))

    @property
    def least_microbatches(self) -> Array:
        """Microbatches that the schedule needs."""
        return np.asarray(_LEAST[self.schedule, 0] * self.pipeline + _LEAST[self.schedule, 1])

    def in_flight(self, rank: Array) -> Array:
        """Microbatches whose activations the stage of a rank holds at once, in units of all its layers."""
        held, more = _HELD[self.schedule], _HELD_VIRTUAL[self.schedule]
        flat = held[..., 0] * self.pipeline + held[..., 1] * rank + held[..., 2]
        over = more[..., 0] * self.pipeline + more[..., 1] * rank + more[..., 2]
        return np.asarray(np.clip(flat + over / self.virtual, 1.0, self.microbatches))


NUMBERS = ("chips", "batch", "seq", "micro", "tensor", "pipeline", "virtual", "context", "expert")
COMMON = ("adapters", "format", "gradient_bytes")
COLUMNS = tuple(field.name for field in fields(Plans) if field.name not in COMMON)


def schedule_codes(names: Sequence[str]) -> Integers:
    """Codes of schedules, as `Plans` holds them."""
    return _codes("schedule", names, _SCHEDULE_NAMES)


def recompute_codes(names: Sequence[str]) -> Integers:
    """Codes of recomputation policies, as `Plans` holds them."""
    return _codes("recomputation policy", names, _RECOMPUTE_NAMES)


def _codes(kind: str, names: Sequence[str], known: tuple[str, ...]) -> Integers:
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
    return np.array([known.index(name) for name in names], dtype=np.int64)
