"""The price of a chip-hour, and dollars from seconds."""

from __future__ import annotations

from chipmeter.chips import Chip, Price, PriceKind, System, cheapest_price


def find_price(chip: Chip, system: System | None = None, kind: PriceKind = "on-demand") -> Price | None:
    """Find the lowest price in force of a kind: of the system if one is given, else of any system with the chip.

    Returns None when no such price is known; another kind is never put in its place.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    lowest = cheapest_price(chip, kinds=(kind,))
    if system is None:
        return lowest
    offers = [price for price in system.prices if price.kind == kind]
    return min(offers, key=lambda price: price.dollars_per_chip_hour, default=None)


def dollars(seconds: float, chips: int, price: Price) -> float:
    """Dollars of some chips for some seconds.

    >>> dollars(3600, 2, Price(kind="on-demand", dollars_per_hour=16.0, chips=8, grade="assumed", source="example"))
    4.0
    """
    return seconds / 3600.0 * chips * price.dollars_per_chip_hour
