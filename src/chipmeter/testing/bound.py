"""The least seconds a chip can take for an operation, and the share of it that a measurement reached."""

from __future__ import annotations

from dataclasses import dataclass

from chipmeter import chips, ops
from chipmeter.chips import Chip
from chipmeter.cost import Efficiency, op_time
from chipmeter.evidence import Grade


@dataclass(frozen=True)
class Roofline:
    """The bound of one operation on one chip.

    Attributes
    ----------
    chip : str
    op : ops.Gemm, ops.Attention or ops.Copy
    seconds : float
        The longer of the time at the peak rate and the time at the memory bandwidth: nothing runs faster.
    limit : {"compute", "memory bandwidth"}
        Which of them that is.
    grade : str
        Evidence of the chip's figures.
    """

    chip: str
    op: ops.Gemm | ops.Attention | ops.Copy
    seconds: float
    limit: str
    grade: Grade

    def fraction(self, seconds: float) -> float:
        """Share of the bound that `seconds` reached: 1 is the roofline.

        Raises
        ------
        ValueError
            If `seconds` is not positive.
        """
        if not seconds > 0:
            raise ValueError(f"seconds must be positive, got {seconds!r}")
        return self.seconds / seconds

    def assert_at_least(self, fraction: float, *, seconds: float) -> None:
        """Assert that a measured time reached a share of the roofline.

        Parameters
        ----------
        fraction : float
            In (0, 1].
        seconds : float
            Measured seconds of one execution.

        Raises
        ------
        AssertionError
            If it did not; also if it beat the roofline by more than 2 %, which means that the measurement, the
            operation or the chip is not what the test says.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {fraction!r}")
        reached = self.fraction(seconds)
        told = (
            f"{self.op} on {self.chip}: {seconds * 1e6:.4g} us is {reached:.1%} of the roofline "
            f"({self.seconds * 1e6:.4g} us, {self.limit}; figures {self.grade})"
        )
        if reached > 1.02:
            raise AssertionError(f"{told}: faster than the chip can be, so the measurement or the operation is wrong")
        if reached < fraction:
            raise AssertionError(f"{told}, wanted at least {fraction:.1%}")


def bound(chip: str | Chip, op: ops.Gemm | ops.Attention | ops.Copy) -> Roofline:
    """Compute the roofline of an operation on a chip, from the peak figures of the catalogue.

    Raises
    ------
    ValueError
        If the chip is unknown or has no rate for the operation's format.

    Examples
    --------
    >>> b = bound("h100", ops.Gemm(4096, 4096, 4096, "bf16"))
    >>> round(b.seconds * 1e6, 1), b.limit
    (138.9, 'compute')
    >>> round(b.fraction(200e-6), 3)
    0.695
    """
    record = chips.chip(chip) if isinstance(chip, str) else chip
    if isinstance(op, ops.Copy):
        rate = record.memory_bandwidth
        return Roofline(record.id, op, op.bytes / rate.value, "memory bandwidth", rate.grade)
    time = op_time(op.operation, record, op.formats, Efficiency.ideal())
    return Roofline(record.id, op, time.seconds, time.limit, time.grade)
