"""A fit written down: its constants, how far it missed, and when it was made."""

from __future__ import annotations

from datetime import date

import numpy as np

from chipmeter.cost.constants import Constants
from chipmeter.cost.fitting import Array, conformal


def summary(
    values: dict[str, float], errors: Array, held_out: Array, source: str, span: dict[str, Array] | None = None
) -> Constants:
    """Record fitted constants with their residuals."""
    low, high = conformal(held_out)
    return Constants(
        values=values,
        rows=len(errors),
        median_error=float(np.median(np.abs(errors))),
        p90_error=float(np.quantile(np.abs(errors), 0.9)),
        low=low,
        high=high,
        span={name: (float(x.min()), float(x.max())) for name, x in (span or {}).items()},
        source=source,
        date=date.today().isoformat(),
    )
