"""The time of a whole step, from the model fitted on measured programs where one describes it, else from its operations.

Training, decoding, reading prompts and picture generation were measured as programs: their time is the fitted one, and
the operations say where it goes. Everything else is the sum of its operations, with the doubt of the kernels behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from chipmeter.chips import Chip
from chipmeter.cost.calibration import Efficiency
from chipmeter.cost.constants import log_bounds
from chipmeter.cost.fitting import widen
from chipmeter.cost.kernels import attention_constants, gemm_constants
from chipmeter.cost.plan import Plan
from chipmeter.cost.predict import Prediction, decode_step, prompt_step, training_step
from chipmeter.cost.ranges import Range
from chipmeter.cost.records import OpEstimate
from chipmeter.cost.roofline import attention_format
from chipmeter.cost.serving import Serving
from chipmeter.evidence import Grade
from chipmeter.workloads import Attention, Formats, Gemm, Workload, bytes_per_element

SOFTWARE = {"decode": "vllm", "train": "mbridge"}
"""Whose runs a phase goes by unless another is named: those with the most rows."""

TRAINED = {"bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "mxfp8": "mxfp8", "nvfp4": "nvfp4"}
"""Formats that training was measured in, under the names of the constants."""

PROGRAM = 0.25
"""Log error of a sum of kernels against a program of them: launches, gaps and traffic that no kernel's table holds.
Kernel sums and fitted parts of dense prompts differ by 0.1 to 0.3 on H100, H200 and B200."""

EXPERTS = 0.5
"""The same for mixtures of experts, whose routing and imbalance no kernel's table holds: programs of experts left out of a
fit differ by 0.15 to 0.38 in the median."""

ROOFLINE, UNKNOWN = 0.4, 0.7
"""Log error of a roofline with a family's own efficiency, and with the defaults between other families (a factor of
two; assumed). Roofline fits of GEMM tables have a 90th percentile of 0.16 to 0.45 on the chip they were fitted on."""

DOUBT: dict[Grade, float] = {"hardware": 0.0, "documented": 0.0, "inferred": 0.05, "assumed": 0.15}
"""Log error taken for a figure of a chip by its grade, conflicts between sources aside (assumed)."""


class Basis(NamedTuple):
    """What the time of a step rests on: the range, in words, and whether that is outside what was measured."""

    seconds: Range
    source: str
    outside: bool


def measured(step: Workload, chip: Chip, formats: Formats, chips: int, software: str | None) -> Prediction | None:
    """Predict a step by the constants fitted on measured programs; None where none of them describes it."""
    model = step.model
    if model.kind != "decoder":
        return None
    if step.phase == "train" and formats.gemm in TRAINED and formats.weight == formats.gemm:
        plan = Plan(
            chips=chips, batch=step.batch, seq=step.seq, micro=step.batch / step.accumulate, tensor=chips,
            expert=min(chips, model.experts) if model.experts else 1, recompute=step.recompute,
            adapters=step.lora > 0, format=TRAINED[formats.gemm],
        )  # fmt: skip
        return training_step(model, chip, plan, software=software or SOFTWARE["train"])
    if step.phase not in ("prefill", "decode"):
        return None
    load = Serving(
        chips=chips, sequences=step.batch, prompt=step.context, answer=2.0, format=formats.gemm,
        cache_width=bytes_per_element(formats.kv), weight_width=bytes_per_element(formats.weight),
    )  # fmt: skip
    engine = software or SOFTWARE["decode"]
    if step.phase == "decode":
        return decode_step(model, chip, load, engine=engine, alone=True)
    if model.experts:
        # The fitted part of prompts counts their work, not the experts that few tokens make it read.
        return None
    load = msgspec.structs.replace(load, prompt=step.seq)
    return prompt_step(model, chip, load, before=step.context, engine=engine)


def basis(
    step: Workload, lines: Sequence[OpEstimate], chip: Chip, formats: Formats, efficiency: Efficiency, chips: int,
    software: str | None,
) -> Basis:  # fmt: skip
    """Find the time of a step: never less than its matrix work at peak, nor than reading weights and cache once."""
    floor = roofline(step, chip, formats, chips)
    doubt = figures_doubt(chip, formats)
    found = measured(step, chip, formats, chips, software)
    if found is not None:
        seconds = (found.range * Range.around(1.0, -doubt, doubt)).at_least(floor)
        return Basis(seconds, f"runs of {found.source}", found.outside)
    total = sum(line.seconds for line in lines)
    low, high, outside = _kernel_bounds(step, lines, chip, formats, efficiency)
    low, high = widen(low, high, doubt)
    if step.model.kind != "graph":
        low, high = widen(low, high, EXPERTS if step.model.experts else PROGRAM)
    return Basis(Range.around(total, low, high).at_least(floor), "its operations, one after the other", outside)


def roofline(step: Workload, chip: Chip, formats: Formats, chips: int = 1) -> float:
    """Seconds below which no implementation can be: matrix work at peak, or weights and cache read once.

    >>> from chipmeter.chips import chip
    >>> from chipmeter.workloads import preset, workload
    >>> step = workload(preset("llama-3.1-8b"), "decode", context=1000)
    >>> 15e9 / 3.35e12 < roofline(step, chip("h100"), Formats.of("bf16")) < 17e9 / 3.35e12
    True
    """
    attending = chip.peak[attention_format(chip, formats)].value
    work = 0.0
    for op in step.ops:
        if isinstance(op, Gemm):
            work += op.flops / chip.peak[formats.gemm].value
        elif isinstance(op, Attention):
            work += op.flops / attending
    read = sum(
        op.count * op.groups * op.n * op.k for op in step.ops if isinstance(op, Gemm) and op.weights and op.split
    ) * bytes_per_element(formats.weight)
    if step.phase == "decode":
        read += step.kv_elements * bytes_per_element(formats.kv)
    return max(work, read / chip.memory_bandwidth.value) / chips


def figures_doubt(chip: Chip, formats: Formats) -> float:
    """Log error that the chip's own figures bring in: by their grade, and by how far published ones disagree."""
    peak, bandwidth = chip.peak[formats.gemm], chip.memory_bandwidth
    return max(DOUBT[peak.grade], DOUBT[bandwidth.grade])


def _kernel_bounds(
    step: Workload, lines: Sequence[OpEstimate], chip: Chip, formats: Formats, efficiency: Efficiency
) -> tuple[float, float, bool]:
    """Log bounds of a sum of operations, all taken to err together, and whether any is outside what was measured."""
    if not efficiency.fitted:
        width = UNKNOWN if efficiency.family == "default" else ROOFLINE
        return -width, width, True
    ops = {op.name: op for op in step.ops}
    total = sum(line.seconds for line in lines) or 1.0
    low = high = 0.0
    outside = False
    for line in lines:
        op = ops.get(line.name)
        bounds = (-ROOFLINE, ROOFLINE)
        if isinstance(op, Gemm):
            found, moved = gemm_constants(chip, formats)
            bounds, outside = log_bounds(found, ""), outside or moved
        elif isinstance(op, Attention):
            found, moved = attention_constants(op, chip, formats)
            bounds, outside = log_bounds(found, ""), outside or moved
        low, high = low + bounds[0] * line.seconds / total, high + bounds[1] * line.seconds / total
    return low, high, outside
