"""A plan refuses what is no plan; degrees laid along one axis and policies along the other are priced as each plan alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chipmeter.cost import Plan, Plans, Shape, software, training_step, training_steps
from chipmeter.cost.device import device
from chipmeter.cost.distinct import FEW, once_each
from chipmeter.cost.plan import recompute_codes, schedule_codes
from chipmeter.cost.residency import fullest_stage, total_bytes
from chipmeter.workloads import preset


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": -4}, "batch of a plan must be a positive number, got -4"),
        ({"tensor": 0}, "tensor of a plan must be a positive number, got 0"),
        ({"seq": True}, "seq of a plan must be a positive number, got True"),
        ({"micro": float("nan")}, "micro of a plan must be a positive number, got nan"),
        ({"schedule": "1f2b"}, "unknown schedule '1f2b'; did you mean '1f1b'?"),
        ({"recompute": "half"}, "unknown recomputation policy 'half'"),
        ({"zero": 4}, "zero must be 0, 1, 2 or 3, got 4"),
        ({"gradient_bytes": 8}, "gradient_bytes must be 2 or 4, got 8"),
    ],
)
def test_what_is_no_plan_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("?", r"\?")):
        Plan(**{"chips": 8, "batch": 8, "seq": 4096, **change})  # type: ignore[arg-type]


def test_plans_laid_out_together_agree_in_what_is_no_column() -> None:
    one = {"chips": 8, "batch": 8, "seq": 4096}
    with pytest.raises(ValueError, match="must agree in adapters, format, gradient_bytes"):
        Plans.of([Plan(**one), Plan(**one, format="fp8")])  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["llama-3.1-70b", "deepseek-v3"])
def test_two_axes_are_priced_as_each_plan_alone(model: str) -> None:
    def column(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.array(values, dtype=np.float64).reshape(-1, 1)

    laid = Plans(
        chips=column(256), batch=column(512), seq=column(4096), pipeline=column(4), micro=column(1, 2, 1),
        tensor=column(1, 4, 8), context=column(2, 1, 2), expert=column(1, 8, 8), virtual=np.array([[1.0, 5.0, 1.0, 1.0]]),
        schedule=schedule_codes(["1f1b", "interleaved", "zb-h1", "gpipe"])[None],
        recompute=recompute_codes(["none", "full", "selective op", "none"])[None], zero=np.array([[1, 3, 0, 2]]),
        sequence_parallel=np.array([[True]]),
    )  # fmt: skip
    shape, chip = Shape.of(preset(model)), device("h100")
    steps, held = training_steps(shape, chip, laid), total_bytes(fullest_stage(shape, laid))
    assert laid.shape == steps.seconds.shape == held.shape == (3, 4)
    some = laid.cut(np.array([2, 0]), slice(1, 3))
    for row, column_ in np.ndindex(3, 4):
        plan = laid.plan(row, column_)
        alone = training_step(shape, "h100", plan)
        assert steps.one(row, column_).parts == pytest.approx(alone.parts, rel=1e-12)
        assert steps.seconds[row, column_] == pytest.approx(alone.seconds, rel=1e-12)
        assert held[row, column_] == pytest.approx(
            total_bytes(fullest_stage(shape, Plans.of([plan]))).item(), rel=1e-12
        )
    assert (some.shape, some.plan(0, 1), some.plan(1, 0)) == ((2, 2), laid.plan(2, 2), laid.plan(0, 1))


def test_each_distinct_row_is_computed_once() -> None:
    seen: list[int] = []

    def add(a: np.ndarray[tuple[int], np.dtype[np.float64]], b: np.ndarray[tuple[int], np.dtype[np.float64]]) -> object:
        seen.append(len(a))
        return a + 10.0 * b

    a, b = np.arange(FEW * 2) % 7.0, np.arange(FEW * 2) % 3.0
    assert np.array_equal(once_each(add, a, b), a + 10.0 * b)  # type: ignore[arg-type]
    assert seen == [21]


def test_every_software_says_where_its_habits_are_read() -> None:
    for name, one in software._all().items():
        assert one.gradient_bytes in (2, 4), name
        assert one.grade != "documented" or re.search(r"\w+/\w+|arXiv \d{4}\.\d{5}", one.source), name
        assert len(one.source) > 20, name
