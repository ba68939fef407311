"""error_analysis: a product against exact arithmetic, its bound, and the share of each step in the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipmeter._arrays import AnyArray
from chipmeter.analysis.bound import bound
from chipmeter.analysis.exact import Float64, exact_product, factors, plus
from chipmeter.analysis.steps import ablate
from chipmeter.matmul import Order, Unit, matmul
from chipmeter.matmul import unit as find_unit
from chipmeter.matmul.operands import operand_dtype
from chipmeter.matmul.packed import elements
from chipmeter.quantize import sqnr

SAMPLE = 64
"""Rows and columns, at most, on which the error is taken apart."""


@dataclass(frozen=True)
class Loss:
    """What one step of the arithmetic loses, by ablation: the error power that goes when the step is made exact.

    Attributes
    ----------
    step : str
        "truncation" (or "rounding in tiles"): all that a step loses beyond rounding its exact sum to nearest: terms cut
        when aligned, conversion toward zero. "accumulation": partial sums rounded to nearest in the accumulator's
        format. "output": the exact result rounded once to that format. Made exact in this order.
    share : float
        The power that goes, over that of the unit's error: the shares add up to 1. Negative where a step's error makes
        up for a later one's.
    rms : float
        Root mean square error with all steps before this one made exact.
    """

    step: str
    share: float
    rms: float


@dataclass(frozen=True)
class ErrorAnalysis:
    """Error of a product under a unit.

    Attributes
    ----------
    unit : str
    shape : tuple of int
        M, N, K.
    sqnr : float
        Decibels over the outputs that did not overflow.
    max_ulp : float
        Largest error in units in the last place of the result's type, at the exact value.
    max_error : float
    worst : tuple of int
        Row and column of the largest error in ulp.
    worst_value, worst_exact : float
        What the unit gives there, and the exact value rounded to float64.
    overflowed : int
        Outputs that are infinite, NaN, wrapped or clamped although the operands are finite.
    bound : ndarray (M, N) of float64 or None
        See `chipmeter.analysis.bound`; None for models without one.
    bound_used : float or None
        Largest error over bound.
    losses : tuple of Loss
        By step, on `sampled` outputs; empty where the unit is no chain of its own steps.
    sampled : int
    """

    unit: str
    shape: tuple[int, int, int]
    sqnr: float
    max_ulp: float
    max_error: float
    worst: tuple[int, int]
    worst_value: float
    worst_exact: float
    overflowed: int
    bound: Float64 | None
    bound_used: float | None
    losses: tuple[Loss, ...]
    sampled: int

    @property
    def largest_loss(self) -> str | None:
        """The step that loses most: "overflow" if any output overflowed; None without an error."""
        if self.overflowed:
            return "overflow"
        return max(self.losses, key=lambda loss: loss.share).step if self.losses and self.max_error else None

    def __str__(self) -> str:
        """Return the analysis as text."""
        m, n, k = self.shape
        lines = [f"{self.unit}, {m} x {n} x {k}: SQNR {self.sqnr:.1f} dB, at most {self.max_ulp:.3g} ulp"]
        lines.append(f"  worst at {self.worst}: {self.worst_value!r}, exact {self.worst_exact!r}")
        if self.bound_used is not None:
            lines.append(f"  {self.bound_used:.2%} of the error bound used at most")
        lines += [f"  {loss.step:<12} {loss.share:7.1%} of the error power" for loss in self.losses]
        lines.append(f"  {self.overflowed} outputs overflowed")
        return "\n".join(lines)


def error_analysis(
    a: AnyArray,
    b: AnyArray,
    c: AnyArray | None = None,
    *,
    unit: str | Unit,
    scale_a: AnyArray | None = None,
    scale_b: AnyArray | None = None,
    order: Order | None = None,
    threads: int | None = None,
) -> ErrorAnalysis:
    """Compare a product under a unit with exact arithmetic, and find which step loses most.

    The exact result is computed as double-double by error-free float64 GEMMs (`exact_product`); integers are exact. The
    error is taken apart on up to 64 x 64 outputs spread over the result, by running the unit step by step beside exact
    sums.

    Parameters
    ----------
    a : ndarray (M, K)
    b : ndarray (K, N)
    c : ndarray (M, N), optional
    unit, scale_a, scale_b, order, threads
        As for `chipmeter.matmul`.

    Returns
    -------
    ErrorAnalysis

    Raises
    ------
    TypeError, ValueError
        As `chipmeter.matmul`; and for operands that are not matrices, or not finite.

    Examples
    --------
    >>> import chipmeter as cm
    >>> x = cm.cast(np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64), "fp8")
    >>> found = error_analysis(x, x.T, unit="h100/fp8")
    >>> found.largest_loss, found.bound_used < 1
    ('truncation', True)
    """
    chosen = find_unit(unit)
    if order is not None:
        chosen = chosen.with_order(order)
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, np.ndarray) or x.ndim != 2:
            got = f"shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
            raise ValueError(f"{name} must be a matrix, got {got}")
    a, b = elements(a, chosen.a, -1), elements(b, chosen.b, -2)
    d = matmul(a, b, c, unit=chosen, scale_a=scale_a, scale_b=scale_b, threads=threads)
    scales = None if scale_a is None or scale_b is None else (scale_a, scale_b)
    x, y = factors(a, b, scales, chosen)
    z = None if c is None else c.astype(np.float64)
    for name, v in (("a", x), ("b", y), ("c", z)):
        if v is not None and not np.isfinite(v).all():
            raise ValueError(f"{name} must be finite for an error analysis, with its scales")
    high, low = exact_product(x, y, z)
    result = d.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.asarray(plus((-high, -low), result)[0])
    good = np.isfinite(result) & np.isfinite(high)
    if operand_dtype(chosen.d).kind in "iu":
        good &= error == 0
    error = np.where(good, error, 0.0)
    ulps = np.where(good, np.abs(error) / _ulp(high, chosen.d), -1.0)
    at = np.unravel_index(int(np.argmax(ulps)), ulps.shape)
    limit = bound(a, b, c, chosen, scales)
    used = None
    if limit is not None:
        used = float(np.max(np.divide(np.abs(error), limit, out=np.zeros_like(error), where=limit > 0)))
    rows, columns = _sample(d.shape[0], int(at[0])), _sample(d.shape[1], int(at[1]))
    parts = ablate(a, b, c, scales, chosen, rows, columns, d)
    losses: tuple[Loss, ...] = ()
    if parts is not None:
        ok = good[np.ix_(rows, columns)]
        rms = [_rms(p, ok) for _, p in parts] + [0.0]
        losses = tuple(
            Loss(name, (r * r - after * after) / rms[0] ** 2 if rms[0] else 0.0, r)
            for (name, _), r, after in zip(parts, rms, rms[1:], strict=False)
        )
    return ErrorAnalysis(
        unit=chosen.name,
        shape=(d.shape[0], d.shape[1], a.shape[1]),
        sqnr=sqnr(high[good], result[good]) if good.any() else float("nan"),
        max_ulp=max(0.0, float(ulps[at])),
        max_error=float(np.max(np.abs(error))),
        worst=(int(at[0]), int(at[1])),
        worst_value=float(result[at]),
        worst_exact=float(high[at]),
        overflowed=int(np.count_nonzero(~good)),
        bound=limit,
        bound_used=used,
        losses=losses,
        sampled=len(rows) * len(columns) if losses else 0,
    )


def _rms(part: Float64, ok: NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.mean(part[ok] ** 2))) if ok.any() else 0.0


def _sample(count: int, worst: int) -> NDArray[np.int64]:
    """Up to SAMPLE indices spread evenly, the worst among them."""
    spread = np.linspace(0, count - 1, min(count, SAMPLE - 1)).round().astype(np.int64)
    return np.unique(np.append(spread, worst))


def _ulp(exact: Float64, kind: str) -> Any:
    """Return the unit in the last place of a result type at exact values."""
    dtype = operand_dtype(kind)
    if dtype.kind in "iu":
        return 1.0
    info = np.finfo(dtype)
    return np.ldexp(1.0, np.maximum(np.frexp(exact)[1] - 1, info.minexp) - info.nmant)
