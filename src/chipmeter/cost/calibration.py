"""How much of its rated speed a chip reaches: constants by chip family, read from `data/efficiency.toml`."""

from __future__ import annotations

import functools
import math
from importlib import resources

import msgspec

from chipmeter.chips import Chip
from chipmeter.evidence import Figure, Grade


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fractions of peak that large operations sustain, and the seconds each operation adds.

    Attributes
    ----------
    compute, memory : float
        Fractions of the peak rate and of the memory bandwidth, in (0, 1].
    launch : float
        Seconds per operation.
    """

    compute: float
    memory: float
    launch: float
    grade: Grade
    source: str
    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.compute <= 1 and 0 < self.memory <= 1):
            raise ValueError(f"compute and memory must lie in (0, 1], got {self.compute} and {self.memory}")
        if not 0 <= self.launch < math.inf:
            raise ValueError(f"launch must be finite and not negative, got {self.launch}")


class _Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chips: tuple[str, ...]
    gemm: tuple[Rate, ...] = ()
    attention: Rate | None = None
    pointwise: Rate | None = None
    block: Figure | None = None
    runtime: Figure | None = None
    array: tuple[int, int] | None = None
    min_rows: int = 1
    fitted: bool = False


class Efficiency(msgspec.Struct, frozen=True, kw_only=True):
    """The constants of one chip.

    Attributes
    ----------
    family : str
        Chip family they were found for; "default" when there is none.
    gemm : dict of str to Rate
        By number format of the operands.
    attention, pointwise : Rate
    block : Figure or None
        Seconds per attention or feed-forward block that the operations do not account for.
    runtime : Figure
        Bytes that driver and libraries take from each chip.
    array : (int, int) or None
        Rows (k) and columns (n) of a systolic array.
    min_rows : int
        Rows of activations below which the array takes no less time.
    fitted : bool
        Whether matrix products and attention follow the tile and wave formulas fitted on measured kernels, of this
        chip or a relative; `gemm` and `attention` then give only what starting a kernel inside a graph takes.
    rated_links : bool
        Whether collectives run at the links' full rate and without latency, instead of as measured.
    """

    family: str
    gemm: dict[str, Rate]
    attention: Rate
    pointwise: Rate
    runtime: Figure
    block: Figure | None = None
    array: tuple[int, int] | None = None
    min_rows: int = 1
    fitted: bool = False
    rated_links: bool = False

    def of_gemm(self, format: str) -> Rate:
        """Look up the constants of GEMMs in a number format.

        Raises
        ------
        ValueError
            If there are none for the format.
        """
        if format not in self.gemm:
            raise ValueError(f"no GEMM efficiency for {format}; known: {', '.join(sorted(self.gemm))}")
        return self.gemm[format]

    @classmethod
    def ideal(cls) -> Efficiency:
        """Full speed from the first operation: the plain roofline, a lower bound on any time."""
        rate = Rate(compute=1, memory=1, launch=0, grade="documented", source="the roofline itself")
        formats = {format for row in _families()["default"].gemm for format in row.formats}
        return cls(
            family="ideal",
            gemm=dict.fromkeys(formats, rate),
            attention=rate,
            pointwise=rate,
            rated_links=True,
            runtime=Figure(value=0.0, grade="documented", source="the roofline itself"),
        )


@functools.cache
def _families() -> dict[str, _Family]:
    text = resources.files("chipmeter.cost").joinpath("data/efficiency.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, _Family])


def efficiency(chip: Chip) -> Efficiency:
    """Find the constants of a chip: those of its family, and the stated defaults for what the family lacks.

    Examples
    --------
    >>> from chipmeter.chips import chip
    >>> efficiency(chip("h100")).gemm["bf16"].compute
    0.78
    """
    families = _families()
    name = next((name for name, family in families.items() if chip.id in family.chips), "default")
    own, default = families[name], families["default"]
    attention, pointwise = own.attention or default.attention, own.pointwise or default.pointwise
    runtime = own.runtime or default.runtime
    if attention is None or pointwise is None or runtime is None:
        raise ValueError("efficiency.toml: [default] must state every constant")
    return Efficiency(
        family=name,
        gemm={format: row for rows in (default.gemm, own.gemm) for row in rows for format in row.formats},
        attention=attention,
        pointwise=pointwise,
        runtime=runtime,
        block=own.block,
        array=own.array,
        min_rows=own.min_rows,
        fitted=own.fitted,
    )
