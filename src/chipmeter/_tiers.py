"""Which instruction-set tier runs: the best this CPU has, or the one CHIPMETER_TIER names."""

from __future__ import annotations

import os

from chipmeter import _kernels


def tiers() -> tuple[str, ...]:
    """List the tiers that this build has and this CPU can run, best first.

    >>> tier() in tiers()
    True
    """
    return _kernels.tiers()


def tier() -> str:
    """Name the tier whose kernels run now."""
    return _kernels.active_tier()


def use_tier(name: str) -> None:
    """Run another tier's kernels from now on, in the whole process; every tier gives the same bits.

    Raises
    ------
    ValueError
        If this build or CPU does not have it.
    """
    _kernels.use_tier(name)


if wanted := os.environ.get("CHIPMETER_TIER"):
    try:
        use_tier(wanted)
    except ValueError as error:
        raise ImportError(f"CHIPMETER_TIER: {error}") from None
