"""From the names people use to unit records: `h100/fp8`, `h100/wgmma.e4m3.f32`, `hopper/wgmma.e4m3.e4m3.f32.f32`."""

from __future__ import annotations

from functools import cache

from chipmeter._names import unknown_name
from chipmeter.matmul import amd, ieee, neuroncore, nvidia, tpu
from chipmeter.matmul.units import Unit

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
    (`family.a.d` and `family.a.b.d`), and `chip/format`.

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
    lowered = name.lower()
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
