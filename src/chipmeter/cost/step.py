"""Time, memory, energy and dollars of one step of a model on one chip or a tensor-parallel group of chips."""

from __future__ import annotations

import os

from chipmeter import chips as catalogue
from chipmeter.chips import Chip, Link, Price, PriceKind, System
from chipmeter.cost.breakdown import assumptions, breakdown
from chipmeter.cost.calibration import Efficiency
from chipmeter.cost.calibration import efficiency as efficiency_of
from chipmeter.cost.energy import power_model
from chipmeter.cost.memory import footprint
from chipmeter.cost.money import dollars, find_price
from chipmeter.cost.records import Estimate
from chipmeter.cost.roofline import LIMITS, Limit, peak_of
from chipmeter.evidence import Grade
from chipmeter.workloads import Architecture, Formats, Workload, find_model, workload


def estimate(
    model: Architecture | str | os.PathLike[str],
    chip: Chip | str | None = None,
    *,
    system: System | str | None = None,
    phase: str | None = None,
    batch: int = 1,
    seq: int | None = None,
    context: int | None = None,
    format: str = "bf16",
    weight_format: str | None = None,
    kv_format: str | None = None,
    tensor_parallel: int | None = None,
    price: PriceKind | Price = "on-demand",
    efficiency: Efficiency | None = None,
) -> Estimate:
    """Estimate the time, memory, energy and dollars of one step of a model.

    Parameters
    ----------
    model : Architecture, str or path
        An architecture, the name of a preset, or a path to a ``config.json`` or the folder that holds it.
    chip : Chip or str, optional
    system : System or str, optional
        Something one rents: gives the chip, its network, and the price. One of `chip` and `system` is needed.
    phase : {"prefill", "decode", "encode", "train"}, optional
        By default "encode" for an encoder and "decode" for a decoder.
    batch, seq, context : int, optional
        Sequences, new tokens of each, and tokens of each already cached; see `workload` for what they default to.
    format : str
        Number format of GEMM operands: it sets the matrix rate used and, unless `weight_format` is given, the bytes
        of the weights. Everything else stays in 16 bits when it is narrower.
    weight_format, kv_format : str, optional
        Formats in which weights and the key-value cache are stored.
    tensor_parallel : int, optional
        Chips that share each layer; must divide the attention heads. By default the fewest in whose memory the step
        fits, or one if it fits nowhere.
    price : str or Price
        Kind of price to look up, or a price of your own.
    efficiency : Efficiency, optional
        Constants in place of those of the chip's family.

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
    """
    architecture = find_model(model)
    chip_record, system_record = _hardware(chip, system)
    formats = Formats.of(format, weight=weight_format, kv=kv_format)
    peak = peak_of(chip_record, formats.gemm)
    step = workload(architecture, phase, batch=batch, seq=seq, context=context)
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
    lines, grade = breakdown(step, chip_record, formats, constants, link, t, power)
    seconds = sum(line.seconds for line in lines)
    by_limit: dict[Limit, float] = {limit: sum(line.time_by_limit[limit] for line in lines) for limit in LIMITS}
    joules = None if power is None else t * sum(line.joules or 0.0 for line in lines)
    used = price if isinstance(price, Price) else find_price(chip_record, system_record, price)

    grades: dict[str, Grade] = {"seconds": grade}
    if power is not None:
        grades["joules"] = power.grade
    if used is not None:
        grades["dollars"] = used.grade
    return Estimate(
        model=architecture.name,
        chip=chip_record.id,
        phase=step.phase,
        system=None if system_record is None else system_record.id,
        batch=step.batch,
        seq=step.seq,
        context=step.context,
        tensor_parallel=t,
        formats=formats,
        unit=step.unit,
        units=step.units,
        tokens=step.tokens,
        seconds=seconds,
        flops=step.matrix_flops,
        mfu=step.matrix_flops / (seconds * peak.value * t),
        memory=footprint(step, chip_record, formats, constants, t),
        joules=joules,
        price=used,
        dollars=None if used is None else dollars(seconds, t, used),
        bottleneck=max(by_limit, key=lambda limit: by_limit[limit]),
        time_by_limit=by_limit,
        ops=lines,
        grades=grades,
        assumptions=(
            *assumptions(step, chip_record, formats, constants, t, power),
            *(
                ()
                if tensor_parallel is not None or t == 1
                else (f"{t} chips: the fewest in whose memory the step fits",)
            ),
            _price_note(used, price, system_record or chip_record),
        ),
    )


def _hardware(chip: Chip | str | None, system: System | str | None) -> tuple[Chip, System | None]:
    rented = catalogue.system(system) if isinstance(system, str) else system
    if chip is None:
        if rented is None:
            raise ValueError("give a chip or a system")
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


def _price_note(used: Price | None, asked: PriceKind | Price, of: Chip | System) -> str:
    if used is None:
        return f"no {asked} price of {of.id} is known"
    when = f", {used.date}" if used.date else ""
    return f"price: ${used.dollars_per_chip_hour:.2f} per chip-hour, {used.kind}{when}; every second is paid and used"
