"""Training and serving times with their intervals: the physical parts weighed by the constants fitted on measured runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np

from chipmeter.chips import Chip
from chipmeter.cost.constants import TRANSFER, Constants, book, nearest_chip
from chipmeter.cost.device import Device, device
from chipmeter.cost.distinct import Value
from chipmeter.cost.fitting import Array, widen
from chipmeter.cost.plan import Plan, Plans
from chipmeter.cost.serving import Serving, capacity, decode_parts, first_parts
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
        Whether model or chip is outside what the constants were fitted on; the interval is wider then.
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


def _weigh(
    found: Constants, parts: Mapping[str, Value], factors: Mapping[str, Value], floor: Value, outside: bool, group: str,
    unseen: Mapping[str, float] = MappingProxyType({}),
) -> Predictions:  # fmt: skip
    """Weigh parts by fitted constants; `unseen` gives the log error of those whose weight no measured run determined."""
    scale: Value = 1.0
    for name, power in factors.items():
        scale = scale * found.values.get(name, 1.0) ** power
    weighed = {name: np.asarray(found.values.get(name, 0.0) * seconds * scale) for name, seconds in parts.items()}
    total: Value = 0.0
    for part in weighed.values():
        total = total + part
    total = np.maximum(total, floor)
    low, high = found.groups.get(group, (found.low, found.high))
    if outside:
        low, high = widen(*found.groups.get("new", (low, high)), TRANSFER)
    doubt = sum(weighed[name] * spread for name, spread in unseen.items()) / total
    return Predictions(
        seconds=total,
        low=np.maximum(total * np.exp(low + abs(low) - np.hypot(low, doubt)), floor),
        high=total * np.exp(high - abs(high) + np.hypot(high, doubt)),
        outside=outside,
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
    return training_steps(_shape(model), device(chip), Plans.of([plan]), software=software).one(0)


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
        factors |= {f"moe on:{near}": 1.0, f"moe model:{shape.name}": 1.0}
    work = plans.batch * plans.seq * model_flops(shape, plans.seq) * (2 / 3 if plans.adapters else 1.0)
    group = f"{'bf16' if plans.format == 'bf16' else 'low'} {kind or 'dense'}"
    outside = not {shape.name, on.id} <= set(found.known)
    parts = step_parts(shape, on, plans)
    # A weight that stands where its fit began was moved by no measured run.
    unseen = {name: spread for name, (start, spread) in PRIORS.items() if found.values.get(name) == start}
    return _weigh(found, parts, factors, work / plans.chips / on.rate(plans.format), outside, group, unseen)


def _kind(shape: Shape) -> str:
    return "latent" if shape.latent else "moe" if shape.experts else "dense"


def _serving_factors(on: Device, load: Serving, engine: str, values: Mapping[str, float]) -> dict[str, float]:
    near, mode = nearest_chip(on.id, values), "disagg" if load.pools else "agg"
    names = [f"engine:{engine}", f"chip:{near}", f"mode:{mode}", f"format:{load.format}", f"engine on:{engine} {near}"]
    names += [f"split:{engine} {mode}"] if load.split_requests else []
    names += [f"apart:{engine} {near} {load.format}"] if load.pools else []
    factors = dict.fromkeys(names, 1.0)
    if load.pools:
        factors |= {"crowd apart": float(np.log2(max(load.sequences, 1.0))) / 10}
        factors |= {"size apart": float(np.log2(load.chips)) / 10}
    return factors


def decode_step(model: Model, chip: Chip | str, load: Serving, *, engine: str = "vllm") -> Prediction:
    """Predict the seconds between two tokens of a request while `load` is served.

    Parameters
    ----------
    model : Architecture, Shape or str
    chip : Chip or str
    load : Serving
    engine : str
        ``"vllm"``, ``"trtllm"`` or ``"sglang"``; anything else takes none's factor.

    Examples
    --------
    >>> load = Serving(chips=8, sequences=64, prompt=1024, answer=1024, format="fp8")
    >>> step = decode_step("llama-3.1-70b", "h100", load)
    >>> 0.005 < step.seconds < 0.03
    True
    """
    shape, on = _shape(model), device(chip)
    found = book("serving")["serving"]["apart" if load.pools else "together"]
    batch = min(load.sequences, capacity(shape, on, load))
    used = shape.dense_weights + shape.moe_layers * shape.active * shape.expert_weights
    floor = used * 0.5 / (load.chips * on.bandwidth) / 4.0
    factors = _serving_factors(on, load, engine, found.values)
    outside = not {shape.name, on.id} <= set(found.known)
    group = f"{engine} {'disagg' if load.pools else 'agg'} {_kind(shape)}"
    return _weigh(found, decode_parts(shape, on, load, batch), factors, floor, outside, group).one()


def first_token(model: Model, chip: Chip | str, load: Serving, *, engine: str = "vllm") -> Prediction:
    """Predict the seconds from a request to its first token, waiting behind other requests included.

    Examples
    --------
    >>> load = Serving(chips=8, sequences=64, prompt=1024, answer=1024, format="fp8")
    >>> 0.02 < first_token("llama-3.1-70b", "h100", load).seconds < 2
    True
    """
    shape, on = _shape(model), device(chip)
    found = book("serving")["serving"]["first_apart" if load.pools else "first_together"]
    step = decode_step(shape, chip, load, engine=engine).seconds
    mode = "disagg" if load.pools else "agg"
    factors = _serving_factors(on, load, engine, found.values) | {f"engine mode:{engine} {mode}": 1.0}
    factors[f"engine kind:{engine} {_kind(shape)}"] = 1.0
    factors["crowd"] = float(np.log2(max(load.sequences, 1.0))) / 10
    outside = not {shape.name, on.id} <= set(found.known)
    parts = first_parts(shape, on, load, step, capacity(shape, on, load))
    return _weigh(found, parts, factors, 0.0, outside, f"{engine} {mode} {_kind(shape)}").one()
