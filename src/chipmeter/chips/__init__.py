"""The catalogue: chips, the systems built of them, and their prices, every figure with its source and grade.

>>> from chipmeter.chips import chip
>>> chip("h100").peak["bf16"].value
989400000000000.0
"""

from chipmeter.chips.catalogue import cheapest_price, chip, chips, prices, system, systems
from chipmeter.chips.load import load_chip
from chipmeter.chips.records import FORMATS, Chip, Conflict, Link, Price, PriceKind, System

__all__ = [
    "FORMATS",
    "Chip",
    "Conflict",
    "Link",
    "Price",
    "PriceKind",
    "System",
    "cheapest_price",
    "chip",
    "chips",
    "load_chip",
    "prices",
    "system",
    "systems",
]
