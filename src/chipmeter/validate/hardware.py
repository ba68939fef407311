"""Chips as tables of measurements name them, and the few that the catalogue does not carry."""

from __future__ import annotations

import functools
import re
from importlib import resources

import msgspec

from chipmeter.cost.device import Device, device


class _Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    like: str
    peak: dict[str, float] = {}
    bandwidth: float | None = None
    memory: float | None = None
    cores: int | None = None
    limit: float | None = None
    link: float | None = None
    domain: int | None = None
    source: str = ""


class Habits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the runs of a family of chips do where their rows do not say; zeros and blanks stand for nothing of the kind.

    Attributes
    ----------
    mlperf_format : str
        Number format of MLPerf's recipes.
    sharded : bool
        Whether parameters are divided over all chips.
    sequences_per_chip : int
        Of one step.
    """

    mlperf_format: str = ""
    sharded: bool = False
    sequences_per_chip: int = 0


class _Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pattern: tuple[tuple[str, str], ...]
    extra: dict[str, _Extra]
    habits: dict[str, Habits]


@functools.cache
def _names() -> _Names:
    text = resources.files("chipmeter.validate").joinpath("data/hardware.toml").read_bytes()
    return msgspec.toml.decode(text, type=_Names)


def hardware_id(text: str) -> str:
    """Find the chip that a table's free text means; ``"unknown"`` where none is recognised.

    >>> hardware_id("NVIDIA H200-SXM-141GB"), hardware_id("TPU-trillium"), hardware_id("abacus")
    ('h200', 'tpu_v6e', 'unknown')
    """
    low = text.lower()
    return next((chip for pattern, chip in _names().pattern if re.search(pattern, low)), "unknown")


@functools.cache
def hardware(text: str) -> Device:
    """Find the chip that a table's free text means, as numbers; an unknown one is taken for an H100."""
    found = hardware_id(text)
    extra = _names().extra.get(found)
    if extra is None:
        return device(found)
    base = device(extra.like)
    given = {
        name: value
        for name in ("bandwidth", "memory", "cores", "limit", "link", "domain")
        if (value := getattr(extra, name)) is not None
    }
    return msgspec.structs.replace(base, id=found, peak={**base.peak, **extra.peak}, **given)


def kin(chip: Device) -> str:
    """Return the catalogue chip whose constants describe a chip."""
    extra = _names().extra.get(chip.id)
    return chip.id if extra is None else extra.like


def habits(chip: Device) -> Habits:
    """Return what the runs of a chip's family do where their rows do not say.

    >>> habits(hardware("TPU v5p")).mlperf_format, habits(hardware("H100")).sharded
    ('int8', False)
    """
    return _names().habits.get(chip.family, Habits())


def is_stand_in(chip: Device) -> bool:
    """Whether the chip was not recognised or is not in the catalogue."""
    return chip.id in _names().extra
