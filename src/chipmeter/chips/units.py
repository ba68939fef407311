"""Quantities as people write them: ``"141 GB"``, ``"3.35 TB/s"``, ``"80 GiB"``, with errors that tell the units apart."""

from __future__ import annotations

import re

_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}

BASE = {
    "memory": "B", "memory_bandwidth": "B/s", "bandwidth": "B/s", "peak": "FLOP/s", "vector": "FLOP/s", "clock": "Hz",
    "tdp": "W", "idle": "W", "power": "W", "power_measured": "W", "power_provisioned": "W",
}  # fmt: skip
"""Unit of each field of a chip or system."""

SMALLEST = 1e6
"""Bytes, bytes/s and FLOP/s below which a figure was surely given in a larger unit."""


def quantity(text: str, field: str) -> float:
    """Read a quantity in the unit of a field.

    Parameters
    ----------
    text : str
        A number and a unit; k, M, G, T, P are powers of 1000 and Ki, Mi, Gi, Ti powers of 1024.
    field : str
        A key of `BASE`.

    Raises
    ------
    ValueError
        If the unit is another kind of quantity, unknown, or left out.

    Examples
    --------
    >>> quantity("141 GB", "memory"), quantity("80 GiB", "memory"), quantity("3.35 TB/s", "memory_bandwidth")
    (141000000000.0, 85899345920.0, 3350000000000.0)
    """
    base = BASE[field]
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z/]*)\s*", text)
    if found is None:
        raise ValueError(f"{field} must be a number with a unit such as {_example(base)!r}, got {text!r}")
    number, unit = float(found.group(1)), found.group(2)
    for prefix, factor in (*_BINARY.items(), *_DECIMAL.items()):
        if unit == prefix + base:
            return number * factor
    other = next((name for name in sorted(set(BASE.values()), key=len, reverse=True) if unit.endswith(name)), None)
    if other is not None and other != base:
        raise ValueError(f"{field} is in {base}, but {text!r} is in {other}")
    raise ValueError(
        f"{field}: unknown unit in {text!r}; accepted: kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of "
        "1024: 1 TiB is 1.0995 TB)".replace("B", base)
        if base.startswith("B")
        else f"{field}: unknown unit in {text!r}; accepted: {base} with k, M, G, T, P before it"
    )


def _example(base: str) -> str:
    return {"B": "80 GB", "B/s": "3.35 TB/s", "FLOP/s": "989 TFLOP/s", "Hz": "1.8 GHz"}.get(base, "700 W")


def too_small(field: str, value: float) -> str | None:
    """Say what a figure that is too small for its unit was likely meant as; None where it is plausible.

    >>> print(too_small("memory", 80.0))
    memory is in B, and 80 of them are no chip's: 80 GB is 8e+10, 80 GiB is 8.58993e+10 (1 TiB is 1.0995 TB)
    """
    if value >= SMALLEST:
        return None
    base = BASE[field.split(".")[0]]
    meant = f"{value:g} T{base} is {value * 1e12:g}"
    if base == "B":
        meant = f"{value:g} GB is {value * 1e9:g}, {value:g} GiB is {value * 2**30:g} (1 TiB is 1.0995 TB)"
    elif base == "B/s":
        meant += f", {value:g} TiB/s is {value * 2**40:g}"
    return f"{field} is in {base}, and {value:g} of them are no chip's: {meant}"
