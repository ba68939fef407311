"""Seconds of a transfer between chips: the one place where the cost of whole programs asks what a collective takes."""

from __future__ import annotations

from chipmeter.cost.device import Device

REACHED = 0.75
"""Share of a link's rate that collectives sustain: 69 to 82 % for rings on A100, H100 and B200 at 512 MiB."""

STEP = 1e-6
"""Seconds of one step of a ring (assumed)."""

_VOLUME = {"all-reduce": 2.0, "all-gather": 1.0, "reduce-scatter": 1.0, "all-to-all": 1.0}


def collective_seconds(chip: Device, op: str, size: float, ranks: float, spread: float | None = None) -> float:
    """Time one collective of `size` bytes (the whole vector) over `ranks` chips.

    Parameters
    ----------
    chip : Device
    op : {"all-reduce", "all-gather", "reduce-scatter", "all-to-all"}
    size : float
        Bytes of the full vector; for all-to-all, bytes that each rank sends.
    ranks : float
    spread : float, optional
        Chips over which the group is strided: a group of 8 that takes every 4th chip spreads over 32. By default
        neighbours.

    Examples
    --------
    >>> from chipmeter.cost.device import device
    >>> collective_seconds(device("h100"), "all-reduce", 2**30, 1)
    0.0
    >>> 0.004 < collective_seconds(device("h100"), "all-reduce", 2**30, 8) < 0.007
    True
    """
    if ranks <= 1:
        return 0.0
    inside = (spread or ranks) <= chip.domain
    rate = REACHED * (chip.link if inside else chip.network)
    if not inside and (spread or ranks) < chip.domain * ranks:
        # Some neighbours share a domain: only the part that leaves it is slow, and every chip's port carries a share.
        near = max(1.0, chip.domain * ranks / (spread or ranks))
        share = (ranks - near) / max(ranks - 1, 1.0) if op == "all-to-all" else 1.0 / near
        rate = 1.0 / (max(share, 0.0) / (REACHED * chip.network) + (1 - max(share, 0.0)) / (REACHED * chip.link))
    steps = _VOLUME[op] * (1.0 if op == "all-to-all" else ranks - 1)
    return steps * STEP + _VOLUME[op] * (ranks - 1) / ranks * size / rate
