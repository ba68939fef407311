"""Does the answer depend on what the vendor has not published? One product under every order a unit leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.matmul.gemm import matmul
from chipmeter.matmul.names import unit as find_unit
from chipmeter.matmul.units import Unit
from chipmeter.quantize.tensor import QuantizedTensor


@dataclass(frozen=True)
class Deviation:
    """One order's result against the default order's.

    Parameters
    ----------
    order : str
    differing : float
        Share of outputs whose bits differ; all NaN count as one value.
    max_ulps : int
        Largest distance in units of the last place of the result's type; outputs that are NaN on one side only count
        as the whole range.
    max_error : float
        Largest difference, in the units of the result; over outputs finite on both sides.
    relative_rms : float
        Root mean square of the difference over that of the default's result; over outputs finite on both sides.
    """

    order: str
    differing: float
    max_ulps: int
    max_error: float
    relative_rms: float


@dataclass(frozen=True)
class Sensitivity:
    """What a product owes to the orders its unit leaves open.

    Parameters
    ----------
    unit : str
    default : str
        The order the others are held against.
    results : dict of str to ndarray
        The product under every order.
    deviations : tuple of Deviation
        One for each other order; empty where the accumulation is published.
    """

    unit: str
    default: str | None
    results: dict[str, AnyArray]
    deviations: tuple[Deviation, ...]

    @property
    def depends(self) -> bool:
        """Whether any order changes any bit."""
        return any(d.differing > 0 for d in self.deviations)

    @property
    def worst(self) -> Deviation | None:
        """The order farthest from the default, by relative_rms."""
        return max(self.deviations, key=lambda d: (d.relative_rms, d.max_ulps), default=None)

    def __str__(self) -> str:
        """Write one line per order."""
        if not self.deviations:
            return f"{self.unit}: the accumulation is published; nothing is left open"
        title = f"{self.unit}: {'depends' if self.depends else 'does not depend'} on the unpublished order"
        rows = (
            f"  {d.order:<14} {d.differing:7.2%} of outputs differ from {self.default}, by at most {d.max_ulps} ulp; "
            f"relative rms {d.relative_rms:.2e}"
            for d in self.deviations
        )
        return "\n".join((title, *rows))


def sensitivity(
    a: AnyArray | QuantizedTensor,
    b: AnyArray | QuantizedTensor,
    unit: str | Unit,
    c: AnyArray | None = None,
    *,
    threads: int | None = None,
    **scales: Any,
) -> Sensitivity:
    """Multiply under every order that a unit's vendor has not published, and compare.

    Rounding: each product as `matmul(..., order=)` computes it; differences are taken in float64.

    Parameters
    ----------
    a, b, c, unit, threads
        As for `chipmeter.matmul`.
    **scales
        `scale_a` and `scale_b`, for block-scaled units.

    Returns
    -------
    Sensitivity

    Raises
    ------
    TypeError, ValueError
        As `chipmeter.matmul`.

    Examples
    --------
    Small integers are exact in every order but one; the rounding of products to bfloat16 shows:

    >>> x = np.arange(32, dtype=np.float16).reshape(2, 16)
    >>> found = sensitivity(x, x.T, "trn2/fp16")
    >>> [d.order for d in found.deviations if d.differing]
    ['bf16-products']
    >>> print(sensitivity(x, x.T, "h100/fp16"))
    hopper/wgmma.f16.f16.f32.f32: the accumulation is published; nothing is left open
    """
    chosen = find_unit(unit)
    default = getattr(chosen.model, "order", None) if chosen.orders else None
    results: dict[str, AnyArray] = {
        order: matmul(a, b, c, unit=chosen, order=order, threads=threads, **scales)
        for order in sorted(chosen.orders, key=lambda o: o != default)
    }
    if default is None:
        return Sensitivity(chosen.name, None, {}, ())
    others = (_deviation(o, results[default], r) for o, r in results.items() if o != default)
    return Sensitivity(chosen.name, default, results, tuple(others))


def _ordinal(x: AnyArray) -> NDArray[np.int64]:
    """Give neighbouring values of a float type neighbouring numbers: both zeros are 0, NaN is the last."""
    codes = x.view(f"u{x.dtype.itemsize}").astype(np.int64)
    sign = np.int64(1) << (8 * x.dtype.itemsize - 1) if x.dtype.itemsize < 8 else np.iinfo(np.int64).min
    magnitude = codes & ~sign
    ordinal = np.where(codes & sign != 0, -magnitude, magnitude)
    return np.where(np.isnan(x), np.iinfo(np.int32).max if x.dtype.itemsize < 8 else np.iinfo(np.int64).max, ordinal)


def _deviation(order: str, base: AnyArray, other: AnyArray) -> Deviation:
    differs = (base.view(f"u{base.dtype.itemsize}") != other.view(f"u{base.dtype.itemsize}")) & ~(
        np.isnan(base) & np.isnan(other)
    )
    ulps = np.abs(_ordinal(base) - _ordinal(other))
    both = np.isfinite(base) & np.isfinite(other)
    x, y = base[both].astype(np.float64), other[both].astype(np.float64)
    size = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    gap = float(np.sqrt(np.mean((x - y) ** 2))) if x.size else 0.0
    return Deviation(
        order,
        float(differs.mean()),
        int(ulps.max()),
        float(np.abs(x - y).max()) if x.size else 0.0,
        gap / size if size else (0.0 if gap == 0 else float("inf")),
    )
