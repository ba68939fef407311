"""The records of a plan file: workloads, candidate systems, limits and the site."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from chipmeter.chips import PriceKind

Tenure = Literal["own", "rent"]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all records share: frozen, named fields only, and finite numbers."""

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field} must be a finite number that is not negative, got {value}")


class Serving(_Record, frozen=True, tag="serving", tag_field="kind"):
    """Requests to answer, all month.

    Attributes
    ----------
    name, model : str
        `model` is a preset or a path to a config.json.
    requests_per_second : float
        Mean rate.
    input_tokens, output_tokens : int
        Of a request.
    ttft, tpot : float
        Most seconds to the first token, and between tokens.
    formats : tuple of str
        Number formats that are accurate enough; the cheapest is taken on each chip.
    on_premises : bool
        Whether the data must not leave the building: only owned systems may serve it.
    """

    name: str
    model: str
    requests_per_second: float
    input_tokens: int
    output_tokens: int
    ttft: float = 5.0
    tpot: float = 0.1
    formats: tuple[str, ...] = ("bf16",)
    on_premises: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("requests_per_second", "input_tokens", "output_tokens", "ttft", "tpot"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field} must be positive, got {getattr(self, field)}")
        if not self.formats:
            raise ValueError("formats must name at least one number format")


class Training(_Record, frozen=True, tag="training", tag_field="kind"):
    """Tokens to train on before a deadline.

    Attributes
    ----------
    name, model : str
    tokens : float
        Training tokens in all.
    deadline_days : float
    sequence : int
        Tokens of a sequence.
    formats : tuple of str
    on_premises : bool
    """

    name: str
    model: str
    tokens: float
    deadline_days: float
    sequence: int = 4096
    formats: tuple[str, ...] = ("bf16",)
    on_premises: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("tokens", "deadline_days", "sequence"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field} must be positive, got {getattr(self, field)}")
        if not self.formats:
            raise ValueError("formats must name at least one number format")


class Candidate(_Record, frozen=True):
    """A system that may be owned or rented.

    Attributes
    ----------
    system : str
        As in the catalogue (`chipmeter chips show CHIP` lists the systems of a chip).
    tenure : {"own", "rent"}
    price : str
        Kind of price when rented.
    dollars_per_hour, capex, power : float or None
        Your own figures for the whole system, in place of the catalogue's: dollars, dollars and watts.
    at_most : int
        Systems that can be had.
    """

    system: str
    tenure: Tenure
    price: PriceKind = "on-demand"
    dollars_per_hour: float | None = None
    capex: float | None = None
    power: float | None = None
    at_most: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_most < 1:
            raise ValueError(f"at_most must be at least 1, got {self.at_most}")
        if self.tenure == "own" and self.dollars_per_hour is not None:
            raise ValueError("dollars_per_hour is for rented systems; an owned one has capex")
        if self.tenure == "rent" and self.capex is not None:
            raise ValueError("capex is for owned systems; a rented one has dollars_per_hour")


class Limits(_Record, frozen=True):
    """What the plan must stay within; None: no limit.

    Attributes
    ----------
    power : float or None
        Watts on the own floor, cooling included.
    floor : float or None
        Square metres.
    capex : float or None
        Dollars at the start.
    opex_per_month : float or None
        Dollars each month: rent, power, staff and maintenance.
    """

    power: float | None = None
    floor: float | None = None
    capex: float | None = None
    opex_per_month: float | None = None


class Site(_Record, frozen=True):
    """The own floor and its running costs; defaults come from `data/site.toml`, with sources.

    Attributes
    ----------
    pue : float
        Power drawn over power of the systems.
    dollars_per_kwh : float
    loading : float
        Share of the purchase that network, storage and installation add.
    upkeep_per_year : float
        Share of the purchase that staff, maintenance and software take each year.
    floor_per_kilowatt : float
        Square metres for a kilowatt of systems.
    years : float
        Useful life: what is left of it at the end of the plan is credited linearly.
    utilisation : float
        Share of its time that a system is planned to be busy, in (0, 1).
    """

    pue: float
    dollars_per_kwh: float
    loading: float
    upkeep_per_year: float
    floor_per_kilowatt: float
    years: float
    utilisation: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pue < 1:
            raise ValueError(f"pue must be at least 1, got {self.pue}")
        if not 0 < self.utilisation < 1:
            raise ValueError(f"utilisation must lie between 0 and 1, got {self.utilisation}")
        if not self.years > 0:
            raise ValueError(f"years must be positive, got {self.years}")


class Problem(_Record, frozen=True):
    """A whole plan file.

    Attributes
    ----------
    months : int
        Months the plan covers.
    workloads : tuple of Serving or Training
    systems : tuple of Candidate
    limits : Limits
    site : Site
    """

    months: int
    workloads: tuple[Serving | Training, ...]
    systems: tuple[Candidate, ...]
    limits: Limits
    site: Site

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.months <= 240:
            raise ValueError(f"months must lie in 1..240, got {self.months}")
        for what in ("workloads", "systems"):
            if not getattr(self, what):
                raise ValueError(f"{what} must not be empty")
        names = [workload.name for workload in self.workloads]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"workload {twice!r}: name is given twice")
        pairs = [(candidate.system, candidate.tenure, candidate.price) for candidate in self.systems]
        again = next((pair for pair in pairs if pairs.count(pair) > 1), None)
        if again is not None:
            raise ValueError(f"system {again[0]!r} is listed twice as {again[1]}")
        if any(w.on_premises for w in self.workloads) and not any(c.tenure == "own" for c in self.systems):
            name = next(w.name for w in self.workloads if w.on_premises)
            raise ValueError(f"workload {name!r} has on_premises = true, but no system has tenure 'own'")
