"""What a floor adds: host, network and cooling power to the boards' energy, and the hourly cost of owning a system."""

from __future__ import annotations

import functools
import math
from importlib import resources

import msgspec

from chipmeter.chips import Price, System
from chipmeter.cost.ranges import Range
from chipmeter.evidence import weakest

HOURS = 8760.0


class Cited(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure with its ends and its source."""

    low: float
    expected: float
    high: float
    source: str

    @property
    def range(self) -> Range:
        """Without the source."""
        return Range(self.low, self.expected, self.high)


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The figures of a floor, from `data/site.toml`.

    Attributes
    ----------
    pue : Cited
        Power of the site over that of its machines.
    host_watts, network_watts : Cited
        Beside each accelerator: processors, memory, fans and supplies; adapters and switches.
    dollars_per_kwh, years, loading : Cited
        Electricity; useful life; fabric, storage, software, staff and capital cost as a share of the purchase.
    colocation : Cited
        Dollars per provisioned kilowatt and month with space, cooling and power.
    provisioned_kilowatts : dict of str to float
        Set aside for each accelerator, by chip.
    """

    pue: Cited
    host_watts: Cited
    network_watts: Cited
    dollars_per_kwh: Cited
    years: Cited
    loading: Cited
    colocation: Cited
    provisioned_kilowatts: dict[str, float]


@functools.cache
def site() -> Site:
    """Read the packaged figures."""
    text = resources.files("chipmeter.cost").joinpath("data/site.toml").read_bytes()
    return msgspec.toml.decode(text, type=Site)


def facility_joules(boards: Range, seconds: Range, chips: int, pue: float | None = None) -> Range:
    """Joules at the meter: boards, hosts and network, times what cooling and distribution add.

    Parameters
    ----------
    boards : Range
        Joules of all boards.
    seconds : Range
    chips : int
    pue : float, optional
        Of your own floor.

    Examples
    --------
    >>> at_meter = facility_joules(Range(700, 700, 700), Range(1, 1, 1), 1)
    >>> round(at_meter.expected), at_meter.low < at_meter.expected < at_meter.high
    (1262, True)
    """
    floor = site()
    time = seconds.expected
    watts = Range(*(boards_end / time for boards_end in (boards.low, boards.expected, boards.high)))
    total = watts + chips * (floor.host_watts.range + floor.network_watts.range)
    return total * time * cooling(pue)


def cooling(pue: float | None = None) -> Range:
    """Return the power at the meter over that of the machines: your own floor's, or what floors have.

    >>> cooling(1.2).expected
    1.2
    """
    if pue is None:
        return site().pue.range
    if not 0 < pue < math.inf:
        raise ValueError(f"pue must be positive, got {pue}")
    return Range(pue, pue, pue)


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour of an owned chip costs, by part.

    Attributes
    ----------
    system : str
    capital : Range
        The purchase over its useful life and the hours used.
    loading : Range
        Fabric, storage, software, staff and cost of capital.
    power : Range
        Electricity of the system at the meter, or rent of space with power.
    total : Range
        Dollars per chip-hour, all parts.
    price : Price
        The expected total as a price of the kind "owned"; its `high` is the upper end.
    """

    system: str
    capital: Range
    loading: Range
    power: Range
    total: Range
    price: Price


def ownership(
    system: System, *, utilisation: float = 0.9, colocated: bool = False, pue: float | None = None,
    dollars_per_kwh: float | None = None, years: float | None = None, capex: float | None = None,
) -> Ownership:  # fmt: skip
    """Work out what an hour of a chip of an owned system costs.

    Parameters
    ----------
    system : System
    utilisation : float
        Share of the hours that are used; the others are paid as well.
    colocated : bool
        Rent space, cooling and power by the provisioned kilowatt instead of running a floor.
    pue, dollars_per_kwh, years, capex : float, optional
        In place of the packaged figures.

    Raises
    ------
    ValueError
        If the purchase price or power of the system is not known, or a figure is out of range.

    Examples
    --------
    >>> from chipmeter.chips import system
    >>> one = ownership(system("gb200_nvl72"))
    >>> round(one.capital.expected, 2), 1.4 < one.price.dollars_per_chip_hour < 1.7
    (1.06, True)
    """
    floor = site()
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must lie in (0, 1], got {utilisation}")
    for name, value in (("pue", pue), ("dollars_per_kwh", dollars_per_kwh), ("years", years), ("capex", capex)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    bought = capex if capex is not None else None if system.capex is None else system.capex.value
    if bought is None:
        raise ValueError(f"no purchase price of {system.id} is known: give capex in dollars")
    life = floor.years.range if years is None else Range(years, years, years)
    capital = (bought / system.chips / (HOURS * utilisation)) / life
    grade = weakest("assumed" if capex is not None or system.capex is None else system.capex.grade, "assumed")
    power = _power(system, floor, colocated, pue, dollars_per_kwh) / utilisation
    loading = capital * floor.loading.range
    total = capital + loading + power
    price = Price(
        kind="owned", dollars_per_hour=total.expected * system.chips, chips=system.chips, grade=grade,
        high=total.high * system.chips,
        source=f"worked out for {system.id}: purchase, staff and fabric, power; {utilisation:.0%} of the hours used",
    )  # fmt: skip
    return Ownership(system=system.id, capital=capital, loading=loading, power=power, total=total, price=price)


def _power(system: System, floor: Site, colocated: bool, pue: float | None, per_kwh: float | None) -> Range:
    """Dollars per chip-hour of electricity at the meter, or of rented space with power."""
    if colocated:
        kilowatts = floor.provisioned_kilowatts.get(system.chip)
        if kilowatts is None and system.power_provisioned is not None:
            kilowatts = system.power_provisioned.value / 1e3 / system.chips
        if kilowatts is None:
            raise ValueError(f"no provisioned power of {system.id} is known")
        return floor.colocation.range * (kilowatts * 12 / HOURS)
    figure = system.power_measured or system.power
    if figure is None:
        raise ValueError(f"no power of {system.id} is known")
    electricity = floor.dollars_per_kwh.range if per_kwh is None else Range(per_kwh, per_kwh, per_kwh)
    return (figure.value / 1e3 / system.chips) * cooling(pue) * electricity
