"""A search over every plan of Llama-3.1-405B on 16,384 chips, against a plan at a time, per plan."""

from __future__ import annotations

from typing import Any

from chipmeter.cost import training_step
from chipmeter.planning import best_plan


def test_search(paired: Any) -> None:
    sizes = {"chip": "h100", "batch": 2048, "seq": 8192}
    found = best_plan("llama-3.1-405b", chips=16384, **sizes)
    priced = found.legal + found.unfit
    paired(lambda: best_plan("llama-3.1-405b", chips=16384, **sizes),
           lambda: [training_step("llama-3.1-405b", "h100", found.best.plan) for _ in range(100)],
           meaning=f"x 100 plans one by one, for {priced:,} plans")  # fmt: skip
