"""Look-ups in the packaged catalogue: each file is read when first asked for, and once."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import msgspec

from chipmeter._names import UnknownNameError, unknown_name
from chipmeter.chips.load import read_chip, read_systems
from chipmeter.chips.records import Chip, Price, PriceKind, System

_DATA = Path(__file__).parent / "data"
_IGNORED = str.maketrans("", "", " -_.")


def chip(name: str) -> Chip:
    """Look up a chip by name or alias; case, spaces, `-`, `_` and `.` do not matter.

    Parameters
    ----------
    name : str
        An id ("h100_sxm") or an alias ("h100", "trainium3", "ironwood").

    Raises
    ------
    UnknownNameError
        If no chip has this name; the message lists the nearest that do.

    Examples
    --------
    >>> chip("H100").id, chip("tpu-v7").id
    ('h100_sxm', 'tpu_v7')
    >>> chip("h100").peak["fp8"].grade
    'documented'
    """
    found = _ids().get(_key(name)) if isinstance(name, str) else None
    if found is None:
        if isinstance(name, str) and any(_key(entry.id) == _key(name) for entry in systems()):
            raise UnknownNameError(f"{name!r} is a system, not a chip: give it as system (--system)")
        raise unknown_name(
            "chip", name, {known for chip_id, aliases in _index().items() for known in (chip_id, *aliases)}
        )
    return _chip(found)


def chips() -> tuple[Chip, ...]:
    """List all chips, by vendor and age.

    >>> len(chips()) > 30
    True
    """
    return tuple(_chip(chip_id) for chip_id in _index())


def system(name: str) -> System:
    """Look up a system by name; case, spaces, `-`, `_` and `.` do not matter.

    Raises
    ------
    UnknownNameError
        If no system has this name; the message lists the nearest that do.

    Examples
    --------
    >>> system("trn2.48xlarge").chips
    16
    """
    by_key = {_key(entry.id): entry for entry in systems()}
    found = by_key.get(_key(name)) if isinstance(name, str) else None
    if found is None:
        if isinstance(name, str) and _key(name) in _ids():
            raise UnknownNameError(f"{name!r} is a chip, not a system: give it as chip (--chip)")
        raise unknown_name("system", name, (entry.id for entry in systems()))
    return found


@functools.cache
def systems() -> tuple[System, ...]:
    """List all systems: rented by the hour, or bought."""
    return tuple(entry for path in sorted((_DATA / "systems").glob("*.toml")) for entry in read_systems(path))


def prices(name: str) -> tuple[tuple[System, Price], ...]:
    """List every price in force for a chip, with the system it is paid for.

    Parameters
    ----------
    name : str
        Name of a chip, as for `chip`.
    """
    chip_id = chip(name).id
    return tuple((entry, price) for entry in systems() if entry.chip == chip_id for price in entry.prices)


def cheapest_price(of: Chip | str, kinds: Iterable[PriceKind] = ("on-demand",)) -> Price | None:
    """Find the lowest price per chip-hour in force among some kinds of price; None when none is known.

    Parameters
    ----------
    of : Chip or str
        A chip or its name. A chip that is not in the catalogue has no prices.
    kinds : iterable of str
        Kinds of price to consider.

    Raises
    ------
    UnknownNameError
        If the chip is unknown, or a kind is not one of `PriceKind`.

    Examples
    --------
    >>> cheapest_price("trn3") is None
    True
    >>> cheapest_price("trn2", kinds=("on-demand", "capacity-block")).dollars_per_chip_hour
    2.235
    """
    wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in wanted:
        if kind not in get_args(PriceKind):
            raise unknown_name("price kind", kind, get_args(PriceKind))
    chip_id = of.id if isinstance(of, Chip) else chip(of).id
    offers = [price for entry in systems() if entry.chip == chip_id for price in entry.prices if price.kind in wanted]
    return min(offers, key=lambda price: price.dollars_per_chip_hour, default=None)


def _key(name: str) -> str:
    return name.casefold().translate(_IGNORED)


@functools.cache
def _index() -> dict[str, tuple[str, ...]]:
    """Map chip ids to aliases, in the order chips are listed; small, so that one name costs one chip file."""
    text = (_DATA / "index.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, tuple[str, ...]])


@functools.cache
def _ids() -> dict[str, str]:
    return {_key(name): chip_id for chip_id, aliases in _index().items() for name in (chip_id, *aliases)}


@functools.cache
def _chip(chip_id: str) -> Chip:
    record = read_chip(_DATA / "chips" / f"{chip_id}.toml")
    return msgspec.structs.replace(record, aliases=_index()[chip_id])
