"""From the names people use to unit records: `h100/fp8`, `h100/wgmma.e4m3.f32`, `hopper/wgmma.e4m3.e4m3.f32.f32`."""

from __future__ import annotations

from functools import cache, lru_cache

from chipmeter._names import UnknownNameError, unknown_name
from chipmeter.matmul import amd, ieee, neuroncore, nvidia, tpu
from chipmeter.matmul.units import Unit

SYNONYMS = {
    "titan-v": "v100", "rtx-2080": "t4", "rtx-6000": "t4", "a100-40": "a100", "a100-80": "a100", "a800": "a100", "a10": "a40",
    "a10g": "a40", "rtx-a6000": "a40", "rtx-3090": "a40", "l40": "l40s", "rtx-4080": "rtx-4090", "rtx-6000-ada": "l40s",
    "h100-sxm": "h100", "h100-pcie": "h100", "h20": "h100", "h800": "h100", "rtx-5080": "rtx-5090", "rtx-5070": "rtx-5090",
    "mi210": "mi250x", "mi250": "mi250x", "mi300a": "mi300x", "trillium": "tpu-v6e", "ironwood": "tpu-v7", "tpu-v7x": "tpu-v7",
}  # fmt: skip
"""Chips with the matrix units of another one: the same compute capability or architecture."""

UNKNOWN_CHIPS = {
    "b300": "sm_103", "gb300": "sm_103", "gb10": "sm_121", "rubin": "Rubin", "mi350x": "CDNA4", "mi355x": "CDNA4",
    "rx-7900": "RDNA3", "rx-9070": "RDNA4", "trn4": "NeuronCore v5", "tpu-v8": "TPU v8",
}  # fmt: skip
"""Chips whose arithmetic nobody has published, and what it would be that of."""

_SOURCES = (nvidia, amd, neuroncore, tpu, ieee)


@cache
def units() -> dict[str, Unit]:
    """Return every unit by its full name.

    >>> len(units()) > 200
    True
    """
    return {u.name: u for source in _SOURCES for u in source.units()}


@cache
def aliases() -> dict[str, str]:
    """Return the short names `chip/format` and `arch/format`, each with the full name it stands for.

    >>> aliases()["b200/nvfp4"]
    'blackwell/tcgen05-nvf4.e2m1.e2m1.f32.f32'
    """
    found = {}
    for source in _SOURCES:
        for place, arch in {**{a: a for a in source.PREFERRED}, **source.CHIPS}.items():
            for short, instruction in source.PREFERRED[arch].items():
                found[f"{place}/{short}"] = f"{arch}/{instruction}"
    return found


def unit(name: str | Unit) -> Unit:
    """Find a matrix unit; a record, for instance one of your own, is returned as it is.

    Accepted are full names `arch/family.a.b.c.d`, the same with a chip for the architecture, with types left out
    (`family.a.d` and `family.a.b.d`), and `chip/format`; `_` is as `-` in a chip's name.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    TypeError
        If `name` is neither a string nor a `Unit`.

    Examples
    --------
    >>> unit("h100/wgmma.e4m3.f32").name
    'hopper/wgmma.e4m3.e4m3.f32.f32'
    >>> unit("h100/fp9")
    Traceback (most recent call last):
    ...
    chipmeter._names.UnknownNameError: unknown unit 'h100/fp9'; did you mean 'h100/fp8' or 'h100/fp64' or 'h100/fp16'?
    """
    if isinstance(name, Unit):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a unit is named by a string or given as a record, got {type(name).__name__}")
    return _named(name)


@lru_cache(maxsize=1024)
def _named(name: str) -> Unit:
    place, slash, rest = name.lower().partition("/")
    place = place.replace("_", "-")
    if slash and place in UNKNOWN_CHIPS:
        raise UnknownNameError(
            f"unknown unit {name!r}: the arithmetic of {UNKNOWN_CHIPS[place]} is not published; describe it as a Unit of "
            "your own, or name a chip whose arithmetic you take it to have"
        )
    lowered = SYNONYMS.get(place, place) + slash + rest
    full = aliases().get(lowered, lowered)
    if full not in units():
        full = _expand(full)
    if full not in units():
        raise unknown_name("unit", name, [*aliases(), *units()])
    return units()[full]


def _expand(name: str) -> str:
    """Spell out a chip as its architecture, and left-out types: b as a, and c as d."""
    place, _, instruction = name.partition("/")
    arch = next((s.CHIPS[place] for s in _SOURCES if place in s.CHIPS), place)
    family, *types = instruction.split(".")
    if len(types) == 2:
        types = [types[0], types[0], types[1], types[1]]
    elif len(types) == 3:
        types = [types[0], types[1], types[2], types[2]]
    return f"{arch}/{'.'.join([family, *types])}"
