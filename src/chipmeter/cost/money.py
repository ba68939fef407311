"""The price of a chip-hour, dollars from seconds, and the price or power at which one estimate beats another."""

from __future__ import annotations

from typing import Protocol, get_args

import msgspec

from chipmeter._names import unknown_name
from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.chips.catalogue import systems
from chipmeter.cost.ranges import Range


def offers(
    chip: Chip,
    system: System | None = None,
    kind: PriceKind = "on-demand",
    *,
    date: str | None = None,
    region: str | None = None,
) -> tuple[Price, ...]:
    """List the prices of a kind, lowest first: of the system if one is given, else of any system with the chip.

    Parameters
    ----------
    chip : Chip
    system : System, optional
    kind : str
    date : str, optional
        ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``: prices quoted then, in force or not; by default those in force.
    region : str, optional
        Part of the name of the region quoted for.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> from chipmeter.chips import chip, system
    >>> [p.dollars_per_hour for p in offers(chip("h200"), system("p5en.48xlarge"), "capacity-block", date="2026-01")]
    [41.61]
    """
    if kind not in get_args(PriceKind):
        raise unknown_name("price kind", kind, get_args(PriceKind))
    places = [entry for entry in systems() if entry.chip == chip.id] if system is None else [system]
    found = [price for place in places for price in (*place.prices, *(place.history if date else ()))]
    wanted = [
        price
        for price in found
        if price.kind == kind
        and (date is None or (price.date or "").startswith(date))
        and (region is None or region.casefold() in (price.region or "").casefold())
    ]
    return tuple(sorted(wanted, key=lambda price: price.dollars_per_chip_hour))


def find_price(
    chip: Chip,
    system: System | None = None,
    kind: PriceKind = "on-demand",
    *,
    date: str | None = None,
    region: str | None = None,
) -> Price | None:
    """Find the lowest price of a kind; see `offers`.

    Returns None when no such price is known; another kind is never put in its place.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    return next(iter(offers(chip, system, kind, date=date, region=region)), None)


def price_range(used: Price, others: tuple[Price, ...] = ()) -> Range:
    """Dollars per chip-hour: the price used, and how far it reaches: its own quoted range and dearer offers alike.

    >>> ask = Price(kind="spot", dollars_per_hour=8.0, chips=8, high=16.0, grade="assumed", source="example")
    >>> price_range(ask).high
    2.0
    """
    paid = used.dollars_per_chip_hour
    ends = [max(price.high or 0.0, price.dollars_per_hour) / price.chips for price in (used, *others)]
    return Range(paid, paid, max(ends))


def dollars(seconds: float, chips: int, price: Price) -> float:
    """Dollars of some chips for some seconds.

    >>> dollars(3600, 2, Price(kind="on-demand", dollars_per_hour=16.0, chips=8, grade="assumed", source="example"))
    4.0
    """
    return seconds / 3600.0 * chips * price.dollars_per_chip_hour


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """What a chip may cost and draw for its work to be a share cheaper than another's.

    Attributes
    ----------
    chip, against : str
    saving : float
        Share saved, 0 to 1.
    dollars_per_chip_hour : Range or None
        The most it may rent for; None where the price of the other is unknown.
    watts_per_chip : Range or None
        The most its board may draw for joules to be that share lower; None where the other's power is unknown.
    """

    chip: str
    against: str
    saving: float
    dollars_per_chip_hour: Range | None
    watts_per_chip: Range | None

    def __str__(self) -> str:
        said = []
        if self.dollars_per_chip_hour is not None:
            r = self.dollars_per_chip_hour
            said.append(
                f"{self.chip} saves {self.saving:.0%} of the dollars if it rents below ${r.expected:.2f} per chip-hour "
                f"(${r.low:.2f} to ${r.high:.2f})"
            )
        if self.watts_per_chip is not None:
            r = self.watts_per_chip
            said.append(
                f"{self.chip} saves {self.saving:.0%} of the energy if a board draws below {r.expected:.0f} W "
                f"({r.low:.0f} to {r.high:.0f} W)"
            )
        return "; ".join(said) or f"neither price nor power of {self.against} is known, so there is nothing to beat"


class Priced(Protocol):
    """Work and what it takes: an estimate, a plan of training, a deployment that serves."""

    @property
    def chip(self) -> str:
        """The chip that does it."""

    @property
    def unit(self) -> str:
        """What the work is counted in."""

    @property
    def units(self) -> float:
        """How much work the rest is of."""

    @property
    def chips(self) -> int:
        """Chips that share it."""

    @property
    def seconds_range(self) -> Range:
        """Seconds of all chips together."""

    @property
    def dollars_range(self) -> Range | None:
        """Dollars of all chips; None where no price is known."""

    @property
    def joules_range(self) -> Range | None:
        """Joules of all boards; None where no power is known."""


def break_even(new: Priced, against: Priced, saving: float = 0.5) -> BreakEven:
    """Find the price and power at which some work is a share cheaper than the same elsewhere, per unit of work.

    The answer where a price is not published: what it would have to be.

    Parameters
    ----------
    new, against : Estimate, Ranked or Deployment
        Of the same work; `new` needs neither price nor power.
    saving : float
        Share to save, from 0 to below 1.

    Raises
    ------
    ValueError
        If the units of work differ or the saving is out of range.

    Examples
    --------
    >>> from chipmeter.cost import estimate
    >>> new = estimate("llama-3.1-70b", "trn3", format="mxfp8", batch=64)
    >>> old = estimate("llama-3.1-70b", system="p5en.48xlarge", format="fp8", batch=64, price="capacity-block")
    >>> print(str(break_even(new, old)).split(" below ")[0])
    trn3 saves 50% of the dollars if it rents
    """
    if new.unit != against.unit:
        raise ValueError(
            f"{new.chip} counts {new.unit}s and {against.chip} counts {against.unit}s: compare like with like"
        )
    if not 0 <= saving < 1:
        raise ValueError(f"saving must lie from 0 to below 1, got {saving}")
    per_unit = new.seconds_range * (new.chips / new.units)
    money = power = None
    if against.dollars_range is not None:
        money = against.dollars_range * ((1 - saving) / against.units) / per_unit * 3600.0
    if against.joules_range is not None:
        power = against.joules_range * ((1 - saving) / against.units) / per_unit
    return BreakEven(
        chip=new.chip, against=against.chip, saving=saving, dollars_per_chip_hour=money, watts_per_chip=power
    )
