"""Training and serving times with their intervals: the physical parts weighed by the constants fitted on measured runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np

from chipmeter.chips import Chip
from chipmeter.cost.constants import Constants, book, log_bounds, nearest_chip, run_on
from chipmeter.cost.device import Device, device, one_core
from chipmeter.cost.distinct import Value
from chipmeter.cost.fitting import Array
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.ranges import Range
from chipmeter.cost.serving import (
    BUNDLING,
    GROWING,
    Serving,
    capacity,
    decode_parts,
    eager_seconds,
    first_parts,
    prompt_seconds,
    wait_of,
)
from chipmeter.cost.shape import Shape
from chipmeter.cost.training import PRIORS, model_flops, step_parts
from chipmeter.workloads import Architecture, preset

Model = Architecture | Shape | str


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """A time with its nominal 90 % interval, and where it goes.

    Attributes
    ----------
    seconds, low, high : float
    outside : bool
        Whether the model, the chip or the software on it is outside what the constants were fitted on; the interval is
        wider then.
    parts : dict of str to float
        Seconds of each part; they add up to `seconds` unless the floor of the chip's peak holds.
    source : str
        The tables that the constants come from.
    """

    seconds: float
    low: float
    high: float
    outside: bool
    parts: dict[str, float]
    source: str

    @property
    def range(self) -> Range:
        """Low, expected and high seconds."""
        return Range(self.low, self.seconds, self.high)


def _shape(model: Model) -> Shape:
    if isinstance(model, Shape):
        return model
    return Shape.of(preset(model) if isinstance(model, str) else model)


class Predictions(NamedTuple):
    """Times of many programs at once, with the bounds of their nominal 90 % intervals; see `Prediction`."""

    seconds: Array
    low: Array
    high: Array
    outside: bool
    parts: dict[str, Array]
    source: str

    def one(self, *index: int) -> Prediction:
        """Return one of them."""
        shape = self.seconds.shape
        return Prediction(
            seconds=float(self.seconds[index]),
            low=float(self.low[index]),
            high=float(self.high[index]),
            outside=self.outside,
            parts={name: float(np.broadcast_to(part, shape)[index]) for name, part in self.parts.items()},
            source=self.source,
        )


def weigh(
    found: Constants, parts: Mapping[str, Value], factors: Mapping[str, Value], floor: Value, names: tuple[str, str, str] | tuple[str, str],
    group: str, unseen: Mapping[str, float] = MappingProxyType({}),
) -> Predictions:  # fmt: skip
    """Weigh the parts of programs by fitted constants, and put the interval of a group around the sums.

    Parameters
    ----------
    found : Constants
    parts : mapping of str to float or ndarray
        Seconds at full speed.
    factors : mapping of str to float or ndarray
        Exponents of the factors that apply.
    floor : float or ndarray
        Seconds that nothing may fall below.
    names : (str, str, str) or (str, str)
        Model, chip and, where several were measured, software on the chip, as the constants know them.
    group : str
    unseen : mapping of str to float
        The log error of parts whose weight no measured run determined.
    """
    scale: Value = 1.0
    for name, power in factors.items():
        scale = scale * found.values.get(name, 1.0) ** power
    weighed = {name: np.asarray(found.values.get(name, 0.0) * seconds * scale) for name, seconds in parts.items()}
    total: Value = 0.0
    for part in weighed.values():
        total = total + part
    total = np.maximum(total, floor)
    model, chip = names[0] in found.known, set(names[1:]) <= set(found.known)
    low, high = (min(bound, 0.0) if side == 0 else max(bound, 0.0) for side, bound in enumerate(
        log_bounds(found, group, model=model, chip=chip)
    ))  # fmt: skip
    doubt = sum(weighed[name] * spread for name, spread in unseen.items()) / total
    return Predictions(
        seconds=total,
        low=np.maximum(total * np.exp(-np.hypot(low, doubt)), floor),
        high=total * np.exp(np.hypot(high, doubt)),
        outside=not (model and chip),
        parts=weighed,
        source=found.source,
    )


def training_step(model: Model, chip: Chip | str, plan: Plan, *, software: str = "mbridge") -> Prediction:
    """Predict the seconds of one training step under a plan.

    Parameters
    ----------
    model : Architecture, Shape or str
        Or the name of a preset.
    chip : Chip or str
    plan : Plan
        Its `format` selects the products' rate: ``"bf16"``, ``"fp8"`` or ``"nvfp4"``.
    software : str
        Whose runs to go by: ``"mbridge"``, ``"dgxc"``, ``"megatron"``, ``"mlperf"``, ``"llmfoundry"``,
        ``"torchtitan"``; anything else takes none's factor.

    Examples
    --------
    >>> plan = Plan(chips=64, batch=128, seq=8192, tensor=4, pipeline=4, virtual=5, context=2)
    >>> step = training_step("llama-3.1-70b", "h100", plan)
    >>> step.low < step.seconds < step.high, step.outside
    (True, False)
    """
    return training_steps(_shape(model), device(chip), Plans.of([plan.kept_by(software)]), software=software).one(0)


def training_steps(shape: Shape, on: Device, plans: Plans, *, software: str = "mbridge") -> Predictions:
    """Predict the seconds of one training step under each of many plans; see `training_step`.

    Examples
    --------
    >>> plans = Plans.of([Plan(chips=64, batch=128, seq=8192, tensor=t) for t in (1, 2, 4, 8)])
    >>> steps = training_steps(Shape.of(preset("llama-3.1-8b")), device("h100"), plans)
    >>> steps.seconds.shape, bool((steps.low < steps.seconds).all())
    ((4,), True)
    """
    found = book("training")["training"][on.family]
    near = nearest_chip(on.id, found.values)
    kind = "moe" if shape.experts else "adapters" if plans.adapters else ""
    low = "" if plans.format == "bf16" else f"{plans.format}{' moe' if shape.experts else ''}"
    factors: dict[str, Value] = {
        f"software:{software}": 1.0, f"chip:{near}": 1.0, f"format:{low}": 1.0, f"kind:{kind}": 1.0,
    }  # fmt: skip
    factors["doubling"] = np.log2(np.maximum(1.0, plans.chips / 8)) / 10
    if shape.experts:
        factors[f"moe on:{near}"] = 1.0
    work = plans.batch * plans.seq * model_flops(shape, plans.seq) * (2 / 3 if plans.adapters else 1.0)
    group = f"{'bf16' if plans.format == 'bf16' else 'low'} {kind or 'dense'} of {software}"
    parts = step_parts(shape, on, plans)
    # A weight that stands where its fit began was moved by no measured run.
    unseen = {name: spread for name, (start, spread) in PRIORS.items() if found.values.get(name) == start}
    names = shape.name, on.id, run_on(software, on.id)
    return weigh(found, parts, factors, work / plans.chips / on.rate(plans.format), names, group, unseen)


LEAST_ROWS = 100
"""Rows below which a fit does not tell what a prompt takes from what it waits for."""


class _Software(msgspec.Struct, frozen=True):
    """Whose serving runs describe a family: the constants, the one engine measured, the names of both ways to serve."""

    together: str
    apart: str
    engine: str | None = None
    modes: tuple[str, str] = ("agg", "disagg")


SOFTWARE = {
    "gpu": _Software("together", "apart"),
    "trainium": _Software("neuron", "neuron", "transformers", ("", "")),
    "tpu": _Software("tpu", "tpu", "vllm-tpu", ("", "")),
}
"""By family of chips; those with an engine have runs of that one only."""


class _Runs(msgspec.Struct, frozen=True):
    """Everything that the serving formulas read: the model, the chip or its cores, the load on them, the software."""

    shape: Shape
    on: Device
    load: Serving
    engine: str
    mode: str
    name: str

    @classmethod
    def of(cls, model: Model, chip: Chip | str, load: Serving, engine: str) -> _Runs:
        on = device(chip)
        software = SOFTWARE[on.family]
        cores = on.logical_cores
        return cls(
            _shape(model),
            one_core(on),
            load if cores == 1 else msgspec.structs.replace(load, chips=load.chips * cores),
            software.engine or engine,
            software.modes[load.pools],
            software.apart if load.pools else software.together,
        )

    @property
    def kind(self) -> str:
        return "latent" if self.shape.latent else "moe" if self.shape.experts else "dense"

    @property
    def group(self) -> str:
        return f"{self.engine} {self.mode} {self.kind}"

    def factors(self, values: Mapping[str, float]) -> dict[str, float]:
        """Name the factors that apply, with their exponents."""
        engine, load, near = self.engine, self.load, nearest_chip(self.on.id, values)
        names = [f"engine:{engine}", f"chip:{near}", f"mode:{self.mode}", f"format:{load.format}"]
        names += [f"engine on:{engine} {near}"]
        names += [f"split:{engine} {self.mode}"] if load.split_requests else []
        return dict.fromkeys(names, 1.0)

    @property
    def names(self) -> tuple[str, str, str]:
        return self.shape.name, self.on.id, run_on(self.engine, self.on.id)

    @property
    def room(self) -> float:
        """Count the requests that the memory holds at once."""
        return capacity(self.shape, self.on, self.load, grows=self.engine in GROWING)

    @property
    def floor(self) -> float:
        """Seconds below which no step lies: the weights that every token uses, read once."""
        dense = self.shape.dense_weights + self.shape.moe_layers * self.shape.active * self.shape.expert_weights
        return dense * self.load.stored / (self.load.chips * self.on.bandwidth)


def decode_step(
    model: Model, chip: Chip | str, load: Serving, *, engine: str = "vllm", alone: bool = False
) -> Prediction:
    """Predict the seconds between two tokens of a request while `load` is served.

    Parameters
    ----------
    model : Architecture, Shape or str
    chip : Chip or str
    load : Serving
    engine : str
        ``"vllm"``, ``"trtllm"`` or ``"sglang"``; anything else takes none's factor. On Trainium and TPUs the engines
        that were measured there are meant.
    alone : bool
        Leave out the prompts that are read between steps, and run all sequences asked for, whether or not their cache
        fits: one step by itself.

    Examples
    --------
    >>> load = Serving(chips=8, sequences=64, prompt=1024, answer=1024, format="fp8")
    >>> step = decode_step("llama-3.1-70b", "h100", load)
    >>> 0.005 < step.seconds < 0.03
    True
    """
    runs = _Runs.of(model, chip, load, engine)
    found = book("serving")["serving"][runs.name]
    batch = load.sequences if alone else min(load.sequences, runs.room)
    parts = decode_parts(runs.shape, runs.on, runs.load, batch)
    if alone:
        parts["prefill"] = 0.0
    return weigh(found, parts, runs.factors(found.values), runs.floor, runs.names, runs.group).one()


def first_token(model: Model, chip: Chip | str, load: Serving, *, engine: str = "vllm") -> Prediction:
    """Predict the seconds from a request to its first token, waiting behind other requests included.

    Examples
    --------
    >>> load = Serving(chips=8, sequences=64, prompt=1024, answer=1024, format="fp8")
    >>> 0.02 < first_token("llama-3.1-70b", "h100", load).seconds < 2
    True
    """
    runs = _Runs.of(model, chip, load, engine)
    found = book("serving")["serving"][f"first_{runs.name}"]
    step = decode_step(runs.shape, chip, load, engine=engine).seconds
    factors = runs.factors(found.values) | {"crowd": float(np.log2(max(load.sequences, 1.0))) / 10}
    parts = first_parts(runs.shape, runs.on, runs.load, step, runs.room, bundles=runs.engine in BUNDLING)
    parts[wait_of(runs.engine, found.values)] = parts.pop("wait")
    return weigh(found, parts, factors, 0.0, runs.names, runs.group).one()


def prompt_step(
    model: Model, chip: Chip | str, load: Serving, *, before: float = 0.0, engine: str = "vllm"
) -> Prediction | None:
    """Predict the seconds of reading the prompts of `load` at once, nothing else in progress.

    The part of the time to the first token that the prompt itself takes. None where too few rows tell it from waiting.

    Parameters
    ----------
    model : Architecture, Shape or str
    chip : Chip or str
    load : Serving
        Of whose prompts `sequences` are read at once.
    before : float
        Tokens of each that were read already.
    engine : str
        See `decode_step`.

    Examples
    --------
    >>> load = Serving(chips=4, sequences=1, prompt=8192, answer=2, format="fp8")
    >>> 0.2 < prompt_step("llama-3.1-70b", "h100", load).seconds < 0.8
    True
    """
    runs = _Runs.of(model, chip, load, engine)
    found = book("serving")["serving"][f"first_{runs.name}"]
    if found.rows < LEAST_ROWS:
        return None
    factors = runs.factors(found.values)
    parts = {"own": prompt_seconds(runs.shape, runs.on, runs.load, prompts=load.sequences, before=before)}
    parts["eager"] = eager_seconds(runs.shape)
    return weigh(found, parts, factors, 0.0, runs.names, runs.group).one()
