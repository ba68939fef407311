"""Time, memory, energy and dollars of generating an image or a video with a diffusion transformer."""

from __future__ import annotations

import msgspec

from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.breakdown import with_joules
from chipmeter.cost.calibration import efficiency
from chipmeter.cost.constants import book, nearest_chip
from chipmeter.cost.device import device
from chipmeter.cost.diffusion import generation_parts
from chipmeter.cost.energy import power_model
from chipmeter.cost.memory import footprint
from chipmeter.cost.predict import Prediction, weigh
from chipmeter.cost.ranges import Range
from chipmeter.cost.records import Estimate, OpEstimate
from chipmeter.cost.result import pay, result
from chipmeter.cost.roofline import LIMITS, Limit, peak_of
from chipmeter.cost.whole import Basis, figures_doubt, roofline
from chipmeter.workloads import Formats
from chipmeter.workloads.pictures import Denoiser, Generation, generation

_BOUND: dict[str, Limit] = {
    "linear": "compute", "attention": "compute", "pointwise": "memory bandwidth", "launch": "latency",
    "exchange": "network", "ring": "network", "decode": "compute", "fixed": "latency",
}  # fmt: skip
_TITLES = {
    "launch": "kernel launches", "exchange": "exchange of heads", "ring": "ring of sequences",
    "decode": "autoencoder", "fixed": "text encoder and host",
}  # fmt: skip


def picture_seconds(model: Denoiser, chip: Chip | str, job: Generation) -> Prediction:
    """Predict the seconds of generating one picture.

    Examples
    --------
    >>> from chipmeter.workloads.pictures import DENOISERS
    >>> video = Generation(width=1280, height=720, frames=129, steps=50)
    >>> 1500 < picture_seconds(DENOISERS["hunyuanvideo"], "h100", video).seconds < 2300
    True
    """
    on = device(chip)
    found = book("serving")["pictures"]["direct"]
    near, runtime = nearest_chip(on.id, found.values), "compiled" if job.compiled else "eager"
    parts = generation_parts(model, on, job)
    tokens = model.tokens(job.width, job.height, job.frames)
    guided = model.guided if job.guided is None else job.guided
    passes = job.steps * (2.0 if guided else 1.0)
    floor = passes * 2.0 * tokens * model.per_token / job.chips / on.rate(job.format)
    factors = {f"chip:{near}": 1.0, f"runtime:{runtime}": 1.0}
    group = "video" if job.frames > 1 else "image"
    return weigh(found, parts, factors, floor, (model.name, on.id), group).one()


def estimate_picture(
    model: Denoiser, chip: Chip, system: System | None, job: Generation, *, price: PriceKind | Price,
    date: str | None = None, region: str | None = None, pue: float | None = None,
) -> Estimate:  # fmt: skip
    """Estimate an image or a video; see `chipmeter.estimate`, whose units are then images or frames."""
    formats = Formats.of(job.format, weight="bf16" if job.format == "fp8" else None)
    peak_of(chip, formats.gemm)
    if job.ulysses == 1 and job.chips % job.ring == 0:
        job = msgspec.structs.replace(job, ulysses=job.chips // job.ring)
    if job.ulysses * job.ring != job.chips:
        raise ValueError(f"ulysses x ring must be the {job.chips} chips, got {job.ulysses} x {job.ring}")
    step = generation(model, job)
    found = picture_seconds(model, chip, job)
    doubt = figures_doubt(chip, formats)
    seconds = (found.range * Range.around(1.0, -doubt, doubt)).at_least(roofline(step, chip, formats, job.chips))
    ops = {op.name: op for op in step.ops}
    scale = seconds.expected / sum(found.parts.values())
    lines = []
    for part, time in found.parts.items():
        if time > 0:
            times = dict.fromkeys(LIMITS, 0.0)
            times[_BOUND[part]] = time * scale
            op = ops.get(part)
            lines.append(
                OpEstimate(
                    name=_TITLES.get(part, part), count=1 if op is None else op.count,
                    flops=0.0 if op is None else op.flops / job.chips,
                    bytes=0.0 if op is None else op.bytes(formats) / job.chips,
                    joules=None, time_by_limit=times, grade="inferred",
                )
            )  # fmt: skip
    power = power_model(chip, formats)
    basis = Basis(seconds, f"runs of {found.source}", found.outside)
    each = f"{job.width:.0f} x {job.height:.0f}" + (f", {job.frames:.0f} frames" if job.frames > 1 else "")
    guided = model.guided if job.guided is None else job.guided
    notes = (
        f"time from {basis.source}" + ("; model or chip is outside what was measured" if basis.outside else ""),
        f"{each}: {step.seq} tokens, {job.steps:.0f} steps" + (", each with and without the prompt" if guided else ""),
        "passes run as compiled graphs" if job.compiled else "passes run kernel by kernel",
        "energy unknown: no power figure of this chip is published"
        if power is None
        else f"{power.assumption}; accelerator boards only, without hosts, network and cooling",
    )
    # Passes are split by tokens: every chip holds all weights.
    memory = msgspec.structs.replace(
        footprint(step, chip, formats, efficiency(chip)), activations=step.seq * model.hidden * 24.0 / job.chips
    )
    return result(
        step, with_joules(tuple(lines), step, chip, formats, job.chips, power), basis, chip=chip, system=system,
        formats=formats, chips=job.chips, grade="inferred", power=power, memory=memory,
        paid=pay(chip, system, price, date=date, region=region), pue=pue, notes=notes,
    )  # fmt: skip
