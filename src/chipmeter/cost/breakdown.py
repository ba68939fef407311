"""The operations of a step one by one on one chip: seconds by what limits them, joules, and what was assumed."""

from __future__ import annotations

from chipmeter.chips import Chip, Link
from chipmeter.cost.calibration import Efficiency, Rate
from chipmeter.cost.energy import PowerModel
from chipmeter.cost.parallel import all_reduce_seconds, shard
from chipmeter.cost.records import OpEstimate
from chipmeter.cost.roofline import LIMITS, Limit, attention_format, op_time
from chipmeter.evidence import Grade, weakest
from chipmeter.workloads import AllReduce, Formats, Workload


def breakdown(
    step: Workload,
    chip: Chip,
    formats: Formats,
    efficiency: Efficiency,
    link: Link | None,
    tensor_parallel: int,
    power: PowerModel | None,
) -> tuple[tuple[OpEstimate, ...], Grade]:
    """Price every operation of a step on one chip of a tensor-parallel group.

    Operations follow one another: nothing overlaps, the network included.

    Returns
    -------
    tuple of OpEstimate
    Grade
        The weakest of the figures that the seconds rest on.
    """
    lines, grades = [], []
    for whole in step.ops:
        op = shard(whole, tensor_parallel)
        if isinstance(op, AllReduce):
            times, grade = _block_end(op, chip, efficiency, link, tensor_parallel, formats)
            busy = 0.0
        else:
            time = op_time(op, chip, formats, efficiency)
            grade, busy = time.grade, max(time.compute, time.memory)
            times = dict.fromkeys(LIMITS, 0.0)
            times["latency"] = time.launch
            times["compute" if time.compute >= time.memory else "memory bandwidth"] = busy
        seconds = sum(times.values())
        if seconds == 0.0:
            continue
        grades.append(grade)
        lines.append(
            OpEstimate(
                name=op.name,
                count=op.count,
                flops=op.flops,
                bytes=op.bytes(formats),
                grade=grade,
                joules=None if power is None else power.joules(op, formats, busy, seconds),
                time_by_limit=times,
            )
        )
    return tuple(lines), weakest(*grades)


def _block_end(
    op: AllReduce, chip: Chip, efficiency: Efficiency, link: Link | None, chips: int, formats: Formats
) -> tuple[dict[Limit, float], Grade]:
    times: dict[Limit, float] = dict.fromkeys(LIMITS, 0.0)
    grades: list[Grade] = []
    if chips > 1 and link is not None and link.bandwidth is not None:
        times["network"], grade = all_reduce_seconds(op, chips, chip, link, formats, efficiency)
        grades.append(grade)
    if efficiency.block is not None:
        times["latency"] = op.count * op.passes * efficiency.block.value
        grades.append(efficiency.block.grade)
    return times, weakest(*grades) if grades else "documented"


def assumptions(
    step: Workload,
    chip: Chip,
    formats: Formats,
    efficiency: Efficiency,
    tensor_parallel: int,
    power: PowerModel | None,
) -> tuple[str, ...]:
    """List in words what an estimate takes for granted."""
    notes = [
        *_kernel_notes(chip, formats, efficiency),
        f"data between operations in {formats.activation}, cache in {formats.kv}, results written once",
        f"{efficiency.runtime.value / 1e9:.1f} GB of each chip's memory are the runtime's ({efficiency.runtime.grade})",
    ]
    if efficiency.family == "default":
        notes.append(f"no efficiency is known for {chip.id}: defaults between other chips' are used")
    if efficiency.block is not None:
        notes.append(
            f"{efficiency.block.value * 1e6:.0f} us per attention and feed-forward block beyond the operations "
            f"({efficiency.block.grade}: {efficiency.block.source})"
        )
    if tensor_parallel > 1:
        notes.append(
            "all-reduces take what their schedules are priced at on the scale-up links, and overlap with nothing"
        )
    if step.model.experts:
        notes.append(
            "tokens choose experts uniformly and independently; experts are split over the chips like any GEMM"
        )
    if step.phase == "train":
        notes.append(
            "AdamW on one replica: no data-parallel traffic, no recomputation, gradients in 32 bits, whole batch at once"
        )
    notes.append(
        "energy unknown: no power figure of this chip is published"
        if power is None
        else f"{power.assumption}; accelerator boards only, without hosts, network and cooling"
    )
    return tuple(notes)


def _kernel_notes(chip: Chip, formats: Formats, efficiency: Efficiency) -> list[str]:
    gemm, attention = efficiency.of_gemm(formats.gemm), efficiency.attention
    if efficiency.fitted:
        return [
            (
                f"{formats.gemm} GEMMs and attention follow tile and wave formulas fitted on measured kernels of {chip.id} or "
                f"its nearest relative (inferred), +{gemm.launch * 1e6:.1f} and {attention.launch * 1e6:.1f} us each"
            )
        ]
    return [
        f"{formats.gemm} GEMMs reach {_rate(gemm)} ({gemm.grade}: {gemm.source})",
        f"attention in {attention_format(chip, formats)} reaches {_rate(attention)} ({attention.grade})",
    ]


def _rate(rate: Rate) -> str:
    return f"{rate.compute:.0%} of peak, {rate.memory:.0%} of bandwidth, +{rate.launch * 1e6:.1f} us each"
