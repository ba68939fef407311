"""The operations of a step one by one on one chip: seconds by what limits them, joules, and what was assumed."""

from __future__ import annotations

import msgspec

from chipmeter.chips import Chip, Link
from chipmeter.cost.board import fitted_watts
from chipmeter.cost.calibration import Efficiency, Rate
from chipmeter.cost.energy import PowerModel
from chipmeter.cost.parallel import all_reduce_seconds, shard
from chipmeter.cost.records import OpEstimate
from chipmeter.cost.roofline import LIMITS, Limit, attention_format, op_times
from chipmeter.cost.whole import Basis
from chipmeter.evidence import Grade, weakest
from chipmeter.workloads import AllReduce, Formats, Workload

REST = "software and overlap"
"""Name of the line that holds what a fitted time has beyond its operations."""


def breakdown(
    step: Workload, chip: Chip, formats: Formats, efficiency: Efficiency, link: Link | None, tensor_parallel: int
) -> tuple[tuple[OpEstimate, ...], Grade]:
    """Time every operation of a step on one chip of a tensor-parallel group; their joules are still to be found.

    Operations follow one another: nothing overlaps, the network included.

    Returns
    -------
    tuple of OpEstimate
    Grade
        The weakest of the figures that the seconds rest on.
    """
    lines, grades = [], []
    ops = [shard(whole, tensor_parallel) for whole in step.ops]
    for op, time in zip(ops, op_times(ops, chip, formats, efficiency), strict=True):
        if isinstance(op, AllReduce):
            times, grade = _block_end(op, chip, efficiency, link, tensor_parallel, formats)
        else:
            grade = time.grade
            times = dict.fromkeys(LIMITS, 0.0)
            times["latency"] = time.launch
            times["compute" if time.compute >= time.memory else "memory bandwidth"] = max(time.compute, time.memory)
        if sum(times.values()) == 0.0:
            continue
        grades.append(grade)
        lines.append(
            OpEstimate(
                name=op.name,
                count=op.count,
                flops=op.flops,
                bytes=op.bytes(formats),
                grade=grade,
                joules=None,
                time_by_limit=times,
            )
        )
    return tuple(lines), weakest(*grades)


def settle(lines: tuple[OpEstimate, ...], seconds: float) -> tuple[OpEstimate, ...]:
    """Make the lines add up to the time of the whole: what is left becomes a line, what is too much shrinks them all.

    >>> one = OpEstimate(name="a", count=1, flops=0, bytes=0, joules=None, grade="inferred",
    ...                  time_by_limit={"compute": 2.0, "memory bandwidth": 0.0, "network": 0.0, "latency": 0.0})
    >>> [line.seconds for line in settle((one,), 3.0)], [line.seconds for line in settle((one,), 1.0)]
    ([2.0, 1.0], [1.0])
    """
    total = sum(line.seconds for line in lines)
    if seconds > total * (1 + 1e-12):
        times = dict.fromkeys(LIMITS, 0.0)
        times["latency"] = seconds - total
        rest = OpEstimate(name=REST, count=1, flops=0.0, bytes=0.0, joules=None, grade="inferred", time_by_limit=times)
        return (*lines, rest)
    if seconds >= total * (1 - 1e-12):
        return lines
    return tuple(
        msgspec.structs.replace(
            line, time_by_limit={limit: time * seconds / total for limit, time in line.time_by_limit.items()}
        )
        for line in lines
    )


def with_joules(
    lines: tuple[OpEstimate, ...], step: Workload, chip: Chip, formats: Formats, tensor_parallel: int,
    power: PowerModel | None,
) -> tuple[OpEstimate, ...]:  # fmt: skip
    """Fill in the joules of every line on one chip."""
    if power is None:
        return lines
    ops = {op.name: shard(op, tensor_parallel) for op in step.ops}
    watts = {}
    if power.fitted is not None:
        watts = fitted_watts(ops, {line.name: line.seconds for line in lines}, chip, formats)
    filled = []
    for line in lines:
        busy = line.time_by_limit["compute"] + line.time_by_limit["memory bandwidth"]
        op = ops.get(line.name)
        if line.name in watts:
            joules = watts[line.name] * line.seconds
        else:
            joules = power.idle * line.seconds if op is None else power.joules(op, formats, busy, line.seconds)
        filled.append(msgspec.structs.replace(line, joules=joules))
    return tuple(filled)


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
    found: Basis,
) -> tuple[str, ...]:
    """List in words what an estimate takes for granted."""
    notes = [
        f"time from {found.source}" + ("; model or chip is outside what was measured" if found.outside else ""),
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
        again = {"none": "no recomputation", "selective": "attention recomputed", "full": "layers recomputed"}
        notes.append(
            f"AdamW on one replica: no data-parallel traffic, {again[step.recompute]}, gradients in 32 bits, "
            + ("whole batch at once" if step.accumulate == 1 else f"{step.accumulate} microbatches")
            + (f"; adapters of rank {step.lora} alone are trained" if step.lora else "")
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
