"""Seconds of one operation on one chip: fitted formulas where kernels were measured, else a roofline with efficiency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import msgspec

from chipmeter.chips import Chip
from chipmeter.cost.calibration import Efficiency, Rate
from chipmeter.cost.calibration import efficiency as efficiency_of
from chipmeter.evidence import Figure, Grade, weakest
from chipmeter.workloads import AllReduce, Attention, Formats, Gemm, Op
from chipmeter.workloads.widths import BITS

Limit = Literal["compute", "memory bandwidth", "network", "latency"]
LIMITS: tuple[Limit, ...] = get_args(Limit)


class OpTime(msgspec.Struct, frozen=True, kw_only=True):
    """Where the seconds of an operation go; all its executions together.

    Attributes
    ----------
    compute, memory : float
        Seconds on the arithmetic units and on the memory; they overlap.
    launch : float
        Seconds before any work is done.
    grade : Grade
        The weakest of the figures used.
    """

    compute: float
    memory: float
    launch: float
    grade: Grade

    @property
    def seconds(self) -> float:
        """The longer of compute and memory, and the launch."""
        return max(self.compute, self.memory) + self.launch

    @property
    def limit(self) -> Limit:
        """What takes most of the time."""
        if self.launch > max(self.compute, self.memory):
            return "latency"
        return "compute" if self.compute >= self.memory else "memory bandwidth"


def op_time(op: Op, chip: Chip, formats: Formats, efficiency: Efficiency | None = None) -> OpTime:
    """Time an operation on one chip.

    Matrix products and attention on chips with measured kernels, or relatives that have, follow the formulas of
    `chipmeter.cost.gemm` and `chipmeter.cost.attention`; anything else takes
    ``max(flops / (compute x peak), bytes / (memory x bandwidth)) + launch`` for each execution. On a systolic array
    k and n count up to the next multiple of the array, and rows up to the fewest that keep it busy. All-reduces are
    timed by `chipmeter.cost.parallel`; here they take no time.

    Parameters
    ----------
    op : Op
    chip : Chip
    formats : Formats
    efficiency : Efficiency, optional
        By default that of the chip's family; `Efficiency.ideal()` gives the plain roofline.

    Raises
    ------
    ValueError
        If the chip has no peak rate for the GEMM format.

    Examples
    --------
    >>> from chipmeter.chips import chip
    >>> op = Gemm(4096, 4096, 4096)
    >>> round(op_time(op, chip("h100"), Formats.of("bf16"), Efficiency.ideal()).seconds * 1e6, 1)
    138.9
    """
    return op_times((op,), chip, formats, efficiency)[0]


def op_times(ops: Sequence[Op], chip: Chip, formats: Formats, efficiency: Efficiency | None = None) -> list[OpTime]:
    """Time many operations, each as `op_time` does; matrix products all at once."""
    known = efficiency_of(chip) if efficiency is None else efficiency
    bodies = iter(_gemm_bodies(ops, chip, formats) if known.fitted else ())
    return [_one(op, chip, formats, known, bodies) for op in ops]


def _gemm_bodies(ops: Sequence[Op], chip: Chip, formats: Formats) -> list[tuple[float, bool]]:
    from chipmeter.cost.kernels import gemm_bodies

    products = [op for op in ops if isinstance(op, Gemm)]
    if products:
        peak_of(chip, formats.gemm)
    return gemm_bodies(products, chip, formats)


def _one(op: Op, chip: Chip, formats: Formats, known: Efficiency, bodies: Iterator[tuple[float, bool]]) -> OpTime:
    if isinstance(op, AllReduce):
        return OpTime(compute=0.0, memory=0.0, launch=0.0, grade="documented")
    if known.fitted:
        kernel = _fitted(op, chip, formats, known, bodies)
        if kernel is not None:
            return kernel
    peak: Figure | None
    work = op.flops
    if isinstance(op, Gemm):
        peak, rate = peak_of(chip, formats.gemm), known.of_gemm(formats.gemm)
        work = _array_flops(op, known)
    elif isinstance(op, Attention):
        peak, rate = chip.peak[attention_format(chip, formats)], known.attention
    else:
        peak, rate = chip.vector, known.pointwise
    return _time(work, op, chip, peak, rate, formats)


def _fitted(
    op: Op, chip: Chip, formats: Formats, efficiency: Efficiency, bodies: Iterator[tuple[float, bool]]
) -> OpTime | None:
    """Time an operation by the formulas fitted on measured kernels; None where they do not describe it.

    They describe matrix products, causal attention without a window, and decoding with keys and values of one width.
    Starting a kernel inside a captured graph, operands narrowed already, takes what `efficiency` says.
    """
    from chipmeter.cost.kernels import attention_body

    if isinstance(op, Gemm):
        (body, by_compute), launch = next(bodies), efficiency.of_gemm(formats.gemm).launch
    elif isinstance(op, Attention):
        found = attention_body(op, chip, formats, attention_format(chip, formats))
        if found is None:
            return None
        body, by_compute, launch = *found, efficiency.attention.launch
    else:
        return None
    times = op.count * op.passes
    seconds = float(max(times * body, op.bytes(formats) / chip.memory_bandwidth.value))
    return OpTime(
        compute=seconds if by_compute else 0.0,
        memory=0.0 if by_compute else seconds,
        launch=float(times * launch),
        grade=weakest("inferred", chip.memory_bandwidth.grade),
    )


def _time(work: float, op: Op, chip: Chip, peak: Figure | None, rate: Rate, formats: Formats) -> OpTime:
    grades: list[Grade] = [chip.memory_bandwidth.grade, rate.grade]
    compute = 0.0
    if peak is not None:
        compute = work / (rate.compute * peak.value)
        grades.append(peak.grade)
    memory = op.bytes(formats) / (rate.memory * chip.memory_bandwidth.value)
    return OpTime(compute=compute, memory=memory, launch=op.count * op.passes * rate.launch, grade=weakest(*grades))


def peak_of(chip: Chip, format: str) -> Figure:
    """Look up the dense matrix rate of a chip in a number format.

    Raises
    ------
    ValueError
        If the chip has none, naming the formats it has.
    """
    if format not in chip.peak:
        raise ValueError(f"{chip.id} has no {format} matrix rate; it has {', '.join(sorted(chip.peak))}")
    return chip.peak[format]


def attention_format(chip: Chip, formats: Formats) -> str:
    """Name the format attention is computed in: the GEMM format if it has 16 bits or more, else one of 16 bits."""
    wide = formats.gemm if BITS[formats.gemm] >= 16 else formats.activation
    for format in (wide, "bf16", "fp16", formats.gemm):
        if format in chip.peak:
            return format
    raise ValueError(f"{chip.id} has no rate for attention; it has {', '.join(sorted(chip.peak))}")


def _array_flops(op: Gemm, efficiency: Efficiency) -> float:
    if efficiency.array is None:
        return op.flops
    deep, wide = efficiency.array
    rows = max(op.m, efficiency.min_rows * op.groups)
    return op.passes * op.count * 2 * rows * wide * math.ceil(op.n / wide) * deep * math.ceil(op.k / deep)
