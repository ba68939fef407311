"""Where a model runs: the chip with the networks of the system that it is part of, the price, and whose software."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from chipmeter import chips as catalogue
from chipmeter.chips import Chip, Price, PriceKind, System
from chipmeter.cost.device import Device, device
from chipmeter.cost.ranges import Range
from chipmeter.cost.result import pay
from chipmeter.cost.roofline import peak_of
from chipmeter.cost.shape import Shape
from chipmeter.workloads import Architecture, find_model

Model = Architecture | Shape | str | os.PathLike[str]


class Site(NamedTuple):
    """A model and where it runs.

    Attributes
    ----------
    model : Shape
    chip : Chip
        With the networks of the system that it is part of.
    device : Device
    price : Price or None
    paid : Range or None
        Dollars per chip-hour: the price, and how far it or dearer offers of the kind reach.
    software : str
    system : str or None
    """

    model: Shape
    chip: Chip
    device: Device
    price: Price | None
    paid: Range | None
    software: str
    system: str | None = None


def find_site(
    model: Model, chip: Chip | str | None, system: System | str | None, price: PriceKind | Price, software: str,
    formats: Sequence[str], memory: float | None = None,
) -> Site:  # fmt: skip
    """Look everything up; `memory` takes the place of the bytes that a chip has.

    >>> find_site("llama-3.1-8b", None, "p5.48xlarge", "on-demand", "mbridge", ["fp8"]).chip.id
    'h100_sxm'
    """
    shape = model if isinstance(model, Shape) else Shape.of(find_model(model))
    rented = catalogue.system(system) if isinstance(system, str) else system
    if chip is None:
        if rented is None:
            raise ValueError("give a chip or a system, such as 'h100' or 'p5.48xlarge'")
        chip = rented.chip
    record = catalogue.chip(chip) if isinstance(chip, str) else chip
    if rented is not None:
        if rented.chip != record.id:
            raise ValueError(f"system {rented.id} has {rented.chip} chips, not {record.id}")
        record = msgspec.structs.replace(
            record, scale_up=rented.scale_up or record.scale_up, scale_out=rented.scale_out or record.scale_out
        )
    for format in formats:
        peak_of(record, format)
    on = device(record)
    if memory is not None:
        if not 0 < memory < math.inf:
            raise ValueError(f"memory must be a positive number of bytes, got {memory!r}")
        on = msgspec.structs.replace(on, memory=float(memory))
    paid = pay(record, rented, price)
    return Site(shape, record, on, paid.price, paid.range, software, None if rented is None else rented.id)


def whole(name: str, size: object) -> int:
    """Check a size.

    >>> whole("batch", 8)
    8
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} must be an integer of 1 or more, got {size!r}")
    return size
