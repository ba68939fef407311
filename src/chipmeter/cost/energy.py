"""Joules of operations on one accelerator board: from measured energy per operation, else from its rated power."""

from __future__ import annotations

import msgspec

from chipmeter.chips import Chip
from chipmeter.cost.board import gemm_power
from chipmeter.cost.device import IDLE_SHARE
from chipmeter.cost.roofline import attention_format
from chipmeter.evidence import Figure, Grade, weakest
from chipmeter.workloads import Attention, Formats, Gemm, Op

MEASURED, RATED = (-0.25, 0.25), (-0.6, 0.0)
"""Log bounds of energy from measured joules (90th percentiles of board power by table: 0.16 to 0.36), and from the rated
power: measured boards draw 50 to 100 % of it when busy."""


class PowerModel(msgspec.Struct, frozen=True, kw_only=True):
    """How the power of a board is found; `watts` of each operation lies between `idle` and `limit`.

    Attributes
    ----------
    limit, idle : float
        Watts.
    per_flop, per_byte : Figure or None
        Measured joules of the whole board; None when the rated power is all that is known.
    attention_per_flop : Figure or None
    fitted : (float, float) or None
        Log bounds of the power model fitted on measured kernels, where products and attention follow it.
    grade : Grade
    assumption : str
        How the figure was found, for people.
    """

    limit: float
    idle: float
    grade: Grade
    assumption: str
    per_flop: Figure | None = None
    attention_per_flop: Figure | None = None
    per_byte: Figure | None = None
    fitted: tuple[float, float] | None = None

    @property
    def doubt(self) -> tuple[float, float]:
        """Log bounds of the energy: of measured boards 90 % of rows lie within a quarter; a rating is never passed."""
        if self.fitted is not None:
            return self.fitted
        return RATED if self.per_flop is None else MEASURED

    def joules(self, op: Op, formats: Formats, busy: float, seconds: float) -> float:
        """Joules of one chip for an operation that takes `seconds`, of which `busy` on arithmetic or memory."""
        if self.per_flop is None or self.per_byte is None:
            return busy * self.limit + (seconds - busy) * self.idle
        work = 0.0
        if isinstance(op, Gemm):
            work = op.flops * self.per_flop.value
        elif isinstance(op, Attention):
            work = op.flops * (self.attention_per_flop or self.per_flop).value
        active = max(work, op.bytes(formats) * self.per_byte.value, busy * self.idle)
        return min(active, busy * self.limit) + (seconds - busy) * self.idle


def power_model(chip: Chip, formats: Formats) -> PowerModel | None:
    """Choose how to price the energy of a chip.

    Products and attention follow the power model fitted on measured kernels, of the chip or a relative, within the chip's
    own limit. Else measured joules per FLOP and per byte are used where the catalogue has both for the format: the larger
    of the two, not their sum, because both were measured on the whole board. Else the board is taken to draw its rated power
    while it works and a share of it while it waits. A chip without a published power gives None: unknown stays
    unknown.

    Examples
    --------
    >>> from chipmeter.chips import chip
    >>> power_model(chip("trn2"), Formats.of("bf16")) is None
    True
    >>> power_model(chip("h100"), Formats.of("bf16")).grade
    'assumed'
    """
    if chip.tdp is None:
        return None
    limit = chip.tdp.value
    idle = chip.idle.value if chip.idle is not None else IDLE_SHARE * limit
    per_flop, per_byte = chip.energy_per_flop.get(formats.gemm), chip.energy_per_byte
    power = gemm_power(chip, formats)
    if power is not None:
        found, moved = power
        return PowerModel(
            limit=limit,
            idle=idle,
            grade="assumed" if moved else weakest("inferred", chip.tdp.grade),
            assumption=(
                f"energy from the board power of measured kernels, of {'a relative' if moved else chip.id}: at most "
                f"{limit:.0f} W, {idle:.0f} W while waiting"
            ),
            per_flop=per_flop,
            attention_per_flop=chip.energy_per_flop.get(attention_format(chip, formats)),
            per_byte=per_byte,
            fitted=(found.low, found.high),
        )
    if per_flop is None or per_byte is None:
        return PowerModel(
            limit=limit,
            idle=idle,
            grade="assumed",
            assumption=(
                f"energy from rated power: {limit:.0f} W while working, {idle:.0f} W while waiting; "
                f"no measured energy of {formats.gemm} on {chip.id}"
            ),
        )
    grades: list[Grade] = [chip.tdp.grade, per_flop.grade, per_byte.grade]
    grades.append("assumed" if chip.idle is None else chip.idle.grade)
    return PowerModel(
        limit=limit,
        idle=idle,
        grade=weakest(*grades),
        assumption=(
            f"energy from measured board energy: {per_flop.value * 1e12:.2f} pJ per FLOP, "
            f"{per_byte.value * 1e12:.0f} pJ per byte, at most {limit:.0f} W, {idle:.0f} W while waiting"
        ),
        per_flop=per_flop,
        attention_per_flop=chip.energy_per_flop.get(attention_format(chip, formats)),
        per_byte=per_byte,
    )
