"""The records of the catalogue: a chip, a system built of chips, a price, a link, and a figure that disagrees.

Units are SI throughout: FLOP/s, bytes, bytes/s, Hz, watts, joules, dollars. `None` means nobody has published it.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from chipmeter.chips.units import too_small
from chipmeter.evidence import Figure, Grade

FORMATS = (
    "fp64",
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "fp8",
    "mxfp8",
    "mxfp6",
    "mxfp4",
    "nvfp4",
    "int8",
    "int4",
)
"""The number formats a matrix-engine peak rate may be given for."""

Status = Literal["shipping", "announced"]
SystemKind = Literal["cloud", "ultraserver", "onprem", "pod"]
PriceKind = Literal["on-demand", "capacity-block", "reserved-1y", "reserved-3y", "spot", "flex", "owned"]
"""`owned` is somebody's estimate of the whole cost of ownership per hour; what a system costs to buy is `System.capex`."""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all records share: frozen, and no field beyond those named."""


class Link(_Record, frozen=True, kw_only=True):
    """A network as one chip sees it: `bandwidth` in bytes/s per direction, `domain` in chips reached without leaving it."""

    name: str
    bandwidth: Figure | None = None
    domain: int | None = None
    topology: str | None = None

    def __post_init__(self) -> None:
        _positive("bandwidth", self.bandwidth)
        if self.domain is not None and self.domain < 1:
            raise ValueError(f"domain must be at least 1 chip, got {self.domain}")


class Conflict(_Record, frozen=True, kw_only=True):
    """A published figure that disagrees with the one in use; kept as it was printed, in the `unit` named."""

    field: str
    value: float
    unit: str
    grade: Grade
    source: str
    date: str | None = None
    note: str | None = None


class Chip(_Record, frozen=True, kw_only=True):
    """One accelerator: what it computes, holds and moves, and what is known of its power.

    Attributes
    ----------
    peak : dict of str to Figure
        Dense matrix-engine rate in FLOP/s (OP/s for integers) by number format; a format that is absent has no
        matrix-engine rate on this chip.
    logical_cores : int
        Ranks that its software makes of one chip by default: those that programs, tables and collectives count.
    vector : Figure or None
        FLOP/s in fp32 of the units beside the matrix engine.
    memory, memory_bandwidth : Figure
        Bytes of device memory, bytes/s.
    scale_up, scale_out : Link or None
        The network between neighbouring chips, and the one between machines.
    tdp, idle : Figure or None
        Watts: the rated limit, and the board with nothing to do.
    energy_per_flop : dict of str to Figure
        Measured joules per FLOP of large matrix products by number format; the whole board, static power included.
    energy_per_byte : Figure or None
        Measured joules per byte of device memory streamed; the whole board, static power included.
    units : dict of str to str
        Name of the matrix unit that computes a number format bit for bit; absent where no arithmetic is published.
    conflicts : tuple of Conflict
        Figures that disagree with those above: kept, never averaged.
    """

    id: str
    name: str
    vendor: str
    launch: str
    status: Status = "shipping"
    aliases: tuple[str, ...] = ()
    process: str | None = None
    cores: str | None = None
    logical_cores: int = 1
    clock: Figure | None = None
    matrix_unit: str | None = None
    onchip: str | None = None
    peak: dict[str, Figure]
    vector: Figure | None = None
    memory: Figure
    memory_bandwidth: Figure
    scale_up: Link | None = None
    scale_out: Link | None = None
    tdp: Figure | None = None
    idle: Figure | None = None
    energy_per_flop: dict[str, Figure] = {}
    energy_per_byte: Figure | None = None
    units: dict[str, str] = {}
    conflicts: tuple[Conflict, ...] = ()
    notes: str | None = None

    def __post_init__(self) -> None:
        if self.logical_cores < 1:
            raise ValueError(f"logical_cores must be 1 or more, got {self.logical_cores}")
        if not self.peak:
            raise ValueError("peak must name at least one number format")
        for field in ("peak", "energy_per_flop", "units"):
            unknown = sorted(set(getattr(self, field)) - set(FORMATS))
            if unknown:
                raise ValueError(f"{field} has unknown number format {unknown[0]!r}; accepted: {', '.join(FORMATS)}")
        for field in ("energy_per_flop", "units"):
            stray = sorted(set(getattr(self, field)) - set(self.peak))
            if stray:
                raise ValueError(f"{field} names {stray[0]!r}, a format without a peak rate")
        for field in ("peak", "energy_per_flop"):
            for number_format, figure in getattr(self, field).items():
                _positive(f"{field}.{number_format}", figure)
        sized = [("memory", self.memory), ("memory_bandwidth", self.memory_bandwidth)]
        for field, figure in (*sized, *((f"peak.{name}", rate) for name, rate in self.peak.items())):
            problem = too_small(field, figure.value) if figure.value > 0 else None
            if problem is not None:
                raise ValueError(problem)
        for field in ("clock", "vector", "memory", "memory_bandwidth", "tdp", "idle", "energy_per_byte"):
            _positive(field, getattr(self, field))


class Price(_Record, frozen=True, kw_only=True):
    """What an hour costs: `dollars_per_hour` pays for `chips` chips (of a system file: the whole system's).

    Attributes
    ----------
    high : float or None
        Upper end where the source quotes a range; `dollars_per_hour` is then its lower end.
    region, date : str or None
        Where and when the price was quoted; None when the source does not say.

    Examples
    --------
    >>> Price(kind="on-demand", dollars_per_hour=55.04, chips=8, grade="inferred", source="a").dollars_per_chip_hour
    6.88
    """

    kind: PriceKind
    dollars_per_hour: float
    chips: int
    grade: Grade
    source: str
    high: float | None = None
    region: str | None = None
    date: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if not (0 < self.dollars_per_hour < math.inf):
            raise ValueError(f"dollars_per_hour must be a positive finite number, got {self.dollars_per_hour}")
        if self.high is not None and not (self.dollars_per_hour <= self.high < math.inf):
            raise ValueError(f"high must be finite and not below dollars_per_hour, got {self.high}")
        if self.chips < 1:
            raise ValueError(f"chips must be at least 1, got {self.chips}")

    @property
    def dollars_per_chip_hour(self) -> float:
        """Dollars for one chip for one hour."""
        return self.dollars_per_hour / self.chips


class System(_Record, frozen=True, kw_only=True):
    """Something one can rent or buy: `chips` chips of one kind, with their networks, power and prices.

    Attributes
    ----------
    chip : str
        Id of the chip it is built of.
    scale_up, scale_out : Link or None
        Networks where they differ from the chip's own; bytes/s per chip and direction.
    power : Figure or None
        Watts of the whole system at its rating.
    power_measured : Figure or None
        Watts of the whole system measured under load.
    power_provisioned : Figure or None
        Watts a site sets aside for it, cooling and network included; about twice what it draws.
    capex : Figure or None
        Dollars to buy the whole system.
    prices, history : tuple of Price
        Prices in force, and those that were in force before.
    """

    id: str
    name: str
    kind: SystemKind
    chip: str
    chips: int
    vendor: str | None = None
    host: str | None = None
    scale_up: Link | None = None
    scale_out: Link | None = None
    power: Figure | None = None
    power_measured: Figure | None = None
    power_provisioned: Figure | None = None
    capex: Figure | None = None
    prices: tuple[Price, ...] = ()
    history: tuple[Price, ...] = ()
    notes: str | None = None

    def __post_init__(self) -> None:
        if self.chips < 1:
            raise ValueError(f"chips must be at least 1, got {self.chips}")
        for field in ("power", "power_measured", "power_provisioned", "capex"):
            _positive(field, getattr(self, field))


def _positive(field: str, figure: Figure | None) -> None:
    if figure is not None and figure.value <= 0:
        raise ValueError(f"{field} must be positive, got {figure.value}")
