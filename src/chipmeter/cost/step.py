"""Time, memory, energy and dollars of one step of a model on one chip or a tensor-parallel group of chips."""

from __future__ import annotations

import os

import msgspec

from chipmeter import chips as catalogue
from chipmeter.chips import Chip, Link, Price, PriceKind, System
from chipmeter.cost.breakdown import assumptions, breakdown, settle, with_joules
from chipmeter.cost.calibration import Efficiency
from chipmeter.cost.calibration import efficiency as efficiency_of
from chipmeter.cost.energy import power_model
from chipmeter.cost.memory import footprint
from chipmeter.cost.pictures import estimate_picture
from chipmeter.cost.ranges import Range
from chipmeter.cost.records import Estimate
from chipmeter.cost.result import pay, result
from chipmeter.cost.roofline import peak_of
from chipmeter.cost.whole import Basis, basis
from chipmeter.workloads import Architecture, Formats, Workload, find_model, workload
from chipmeter.workloads.find import find_graph
from chipmeter.workloads.pictures import Denoiser, Generation, denoiser


def estimate(
    model: Architecture | Denoiser | Workload | str | os.PathLike[str],
    chip: Chip | str | None = None,
    *,
    system: System | str | None = None,
    phase: str | None = None,
    batch: int = 1,
    seq: int | None = None,
    context: int | None = None,
    source: int | None = None,
    picture: Generation | None = None,
    format: str = "bf16",
    weight_format: str | None = None,
    kv_format: str | None = None,
    tensor_parallel: int | None = None,
    price: PriceKind | Price = "on-demand",
    date: str | None = None,
    region: str | None = None,
    pue: float | None = None,
    accumulate: int = 1,
    recompute: str = "none",
    lora: int = 0,
    software: str | None = None,
    efficiency: Efficiency | None = None,
) -> Estimate:
    """Estimate the time, memory, energy and dollars of one step of a model.

    Parameters
    ----------
    model : Architecture, Denoiser, Workload, str or path
        An architecture, the name of a preset, or a path to a ``config.json`` or the folder that holds it; a diffusion
        transformer, by name or its configuration; or operations: a ``.csv`` file of GEMM shapes, an ``.onnx`` graph.
    chip : Chip or str, optional
    system : System or str, optional
        Something one rents: gives the chip, its network, and the price. One of `chip` and `system` is needed.
    phase : {"prefill", "decode", "encode", "train"}, optional
        By default "encode" for an encoder and "decode" for a decoder.
    batch, seq, context : int, optional
        Sequences, new tokens of each, and tokens of each already cached; see `workload` for what they default to.
    source : int, optional
        Tokens of each source that an encoder-decoder answers.
    picture : Generation, optional
        What a diffusion transformer generates, and how.
    format : str
        Number format of GEMM operands: it sets the matrix rate used and, unless `weight_format` is given, the bytes
        of the weights. Everything else stays in 16 bits when it is narrower.
    weight_format, kv_format : str, optional
        Formats in which weights and the key-value cache are stored.
    tensor_parallel : int, optional
        Chips that share each layer; must divide the attention heads. By default the fewest in whose memory the step
        fits, or one if it fits nowhere.
    price : str or Price
        Kind of price to look up, or a price of your own. ``"owned"`` works it out for a system one can buy.
    date, region : str, optional
        When and where the price was quoted; by default the lowest in force.
    pue : float, optional
        Power of the site over that of its machines, for joules at the meter.
    accumulate, recompute, lora
        Of training; see `workload`.
    software : str, optional
        Whose measured runs to go by: in decode ``"vllm"``, ``"trtllm"`` or ``"sglang"``; in training one of those of
        `training_step`.
    efficiency : Efficiency, optional
        Constants of your own: the time is then the plain sum of the operations.

    Raises
    ------
    ValueError
        If a name is unknown, the chip lacks the format, a size is out of range, or the group does not fit the network.

    Examples
    --------
    >>> e = estimate("llama-3.1-8b", "h100", phase="decode", batch=32, context=2048)
    >>> e.bottleneck, e.fits, e.unit
    ('memory bandwidth', True, 'token')
    >>> estimate("llama-3.1-8b", "trn2").joules is None
    True
    >>> e.seconds_range.low < e.seconds < e.seconds_range.high, e.basis
    (True, 'runs of inference_inferencex_silicon')
    """
    chip_record, system_record = hardware(chip, system)
    if not isinstance(model, Workload):
        painter = denoiser(model)
        if painter is not None:
            if phase not in (None, "generate"):
                raise ValueError(f"phase {phase!r} does not apply to {painter.name}, which generates pictures")
            job = msgspec.structs.replace(picture or Generation(), format=format)
            return estimate_picture(
                painter, chip_record, system_record, job, price=price, date=date, region=region, pue=pue
            )
        model = find_graph(model) or find_model(model)  # type: ignore[arg-type]  # a denoiser was taken care of
    formats = Formats.of(format, weight=weight_format, kv=kv_format)
    peak_of(chip_record, formats.gemm)
    step = (
        model
        if isinstance(model, Workload)
        else workload(
            model, phase, batch=batch, seq=seq, context=context, source=source, accumulate=accumulate,
            recompute=recompute, lora=lora,
        )
    )  # fmt: skip
    constants = efficiency_of(chip_record) if efficiency is None else efficiency
    link = chip_record.scale_up
    if system_record is not None and system_record.scale_up is not None:
        link = system_record.scale_up
    most = _largest_group(link, system_record)
    t = tensor_parallel
    if t is None:
        t = _fewest(step, chip_record, formats, constants, most)
    _check_group(t, step, most, (system_record or chip_record).id)

    power = power_model(chip_record, formats)
    lines, grade = breakdown(step, chip_record, formats, constants, link, t)
    if efficiency is None:
        on = chip_record if link is chip_record.scale_up else msgspec.structs.replace(chip_record, scale_up=link)
        found = basis(step, lines, on, formats, constants, t, software)
    else:
        own = sum(line.seconds for line in lines)
        found = Basis(Range(own, own, own), "constants of your own", False)
    lines = with_joules(settle(lines, found.seconds.expected), step, chip_record, formats, t, power)
    return result(
        step, lines, found, chip=chip_record, system=system_record, formats=formats, chips=t, grade=grade, power=power,
        memory=footprint(step, chip_record, formats, constants, t),
        paid=pay(chip_record, system_record, price, date=date, region=region), pue=pue,
        notes=(
            *assumptions(step, chip_record, formats, constants, t, power, found),
            *(
                ()
                if tensor_parallel is not None or t == 1
                else (f"{t} chips: the fewest in whose memory the step fits",)
            ),
        ),
    )  # fmt: skip


def hardware(chip: Chip | str | None, system: System | str | None) -> tuple[Chip, System | None]:
    """Look up a chip, alone or as the one of a system; the system too where one is given."""
    rented = catalogue.system(system) if isinstance(system, str) else system
    if chip is None:
        if rented is None:
            raise ValueError("give a chip or a system, such as 'h100' or 'p5.48xlarge'")
        return catalogue.chip(rented.chip), rented
    record = catalogue.chip(chip) if isinstance(chip, str) else chip
    if rented is not None and rented.chip != record.id:
        raise ValueError(f"system {rented.id} has {rented.chip} chips, not {record.id}")
    return record, rented


def _largest_group(link: Link | None, system: System | None) -> int:
    """Count the chips that one scale-up network joins, within the system if one is given."""
    domain = 1 if link is None or link.bandwidth is None else link.domain or 1
    return domain if system is None else min(domain, system.chips)


def _fewest(step: Workload, chip: Chip, formats: Formats, constants: Efficiency, most: int) -> int:
    heads = step.model.heads
    for t in (t for t in range(1, min(most, heads) + 1) if heads % t == 0):
        if footprint(step, chip, formats, constants, t).fits:
            return t
    return 1


def _check_group(t: int, step: Workload, most: int, where: str) -> None:
    if not isinstance(t, int) or isinstance(t, bool):
        raise TypeError(f"tensor_parallel must be an integer, got {t!r}")
    if t < 1 or step.model.heads % t:
        raise ValueError(f"tensor_parallel must divide the {step.model.heads} heads of {step.model.name}, got {t}")
    if t > most:
        raise ValueError(f"tensor_parallel is {t}, but the scale-up network of {where} joins {most} chips")
