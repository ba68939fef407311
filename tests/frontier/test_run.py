"""A frontier measures each unit and recipe once, goes on from its store, and follows its arguments."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import chipmeter as cm
from chipmeter.comparison import NumericError
from chipmeter.comparison.probe import MatrixProbe
from chipmeter.frontier import AXES, Store
from chipmeter.report import frontier as report
from chipmeter.report.pages import frontier_page

ARGUMENTS: dict[str, Any] = {"chips": ["h100", "h200", "b200"], "formats": ["bf16", "fp8"], "layers": 1}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is measured."""
    measured: list[str] = []
    real = MatrixProbe.measure

    def measure(self: MatrixProbe, linear: Any) -> Any:
        measured.append(f"{linear.unit.name} {linear.recipe}")
        return real(self, linear)

    monkeypatch.setattr(MatrixProbe, "measure", measure)
    return measured


def test_chips_that_share_a_unit_share_its_measurement(counted: list[str]) -> None:
    f = cm.frontier("gpt2", **ARGUMENTS)
    assert len(f.points) == 9  # three chips; bf16, and fp8 by two recipes
    assert len(counted) == len(set(counted)) == 6
    by = {(p.chip.id, p.format, p.recipe): p.error for p in f.points}
    assert by["h100_sxm", "fp8", "fp8"] == by["h200", "fp8", "fp8"] != by["h200", "fp8", "fp8-row"]


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cm.frontier("gpt2", **ARGUMENTS)
    order = list(counted)
    counted.clear()

    def stop(what: str, share: float) -> None:
        if share > 0.4:
            raise KeyboardInterrupt

    with Store(tmp_path / "s") as store, pytest.raises(KeyboardInterrupt):
        cm.frontier("gpt2", **ARGUMENTS, store=store, progress=stop)
    done = list(counted)
    counted.clear()
    with Store(tmp_path / "s") as store:
        resumed = cm.frontier("gpt2", **ARGUMENTS, store=store)
    assert done + counted == order
    assert counted != order
    assert resumed == whole


def test_other_data_is_measured_anew(tmp_path: Path, counted: list[str]) -> None:
    with Store(tmp_path / "s") as store:
        cm.frontier("gpt2", **ARGUMENTS, store=store)
        first = len(counted)
        cm.frontier("gpt2", **{**ARGUMENTS, "layers": 2}, store=store)
        assert len(counted) == 2 * first
        cm.frontier("gpt2", **ARGUMENTS, batch=7, store=store)
        assert len(counted) == 2 * first


def test_a_result_in_the_store_that_cannot_be_read(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        cm.frontier("gpt2", chips=["h100"], formats=["bf16"], layers=1, store=store)
        (name,) = store
    import sqlite3

    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("UPDATE results SET value = ?", (b"{",))
    db.close()
    with Store(tmp_path / "s") as store, pytest.raises(ValueError, match="cannot be read") as caught:
        cm.frontier("gpt2", chips=["h100"], formats=["bf16"], layers=1, store=store)
    assert repr(name) in str(caught.value)


def test_results_that_are_not_finite_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = NumericError(math.inf, math.inf, "a", 1.0, 1.0, {"a": math.inf}, math.inf, 0.0)
    monkeypatch.setattr(MatrixProbe, "measure", lambda self, linear: error)
    arguments: dict[str, Any] = {"chips": ["h100"], "formats": ["bf16"], "layers": 1}
    with Store(tmp_path / "s") as store:
        first = cm.frontier("gpt2", **arguments, store=store)
        assert cm.frontier("gpt2", **arguments, store=store) == first
    assert first.points[0].error == error
    assert report.data(first)["points"][0]["kl_nats"] is None


def test_what_overflowed_is_never_best(monkeypatch: pytest.MonkeyPatch) -> None:
    nan = math.nan
    real = MatrixProbe.measure

    def measure(self: MatrixProbe, linear: Any) -> NumericError:
        overflowed = NumericError(nan, nan, "a", nan, nan, {"a": nan}, math.inf, 0.0)
        return overflowed if linear.recipe == "bfloat16" else real(self, linear)

    monkeypatch.setattr(MatrixProbe, "measure", measure)
    f = cm.frontier("gpt2", chips=["h100"], formats=["bf16", "fp8"], layers=1)
    assert "bf16" not in {p.format for axis in AXES for p in f.best(axis)}
    assert "in fp8" in frontier_page(f).verdict.split(";")[0]
    point = report.data(f)["points"][0]
    assert point["sqnr_db"] is point["cosine"] is None
    json.dumps(report.data(f), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chips": ["h1000"]}, "unknown chip"),
        ({"formats": ["fp9"]}, "unknown number format"),
        ({"chips": ["v100"], "formats": ["nvfp4"]}, "no chip asked for has any"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cm.frontier("gpt2", **{**ARGUMENTS, **change})


def test_data_marks_the_best_and_keeps_unknowns() -> None:
    rows = report.data(cm.frontier("gpt2", chips=["h100", "trn3"], formats=["bf16"], layers=1))["points"]
    assert [(r["chip"], r["dollars_per_unit"] is None) for r in rows] == [("h100_sxm", False), ("trn3", True)]
    assert "dollars" in rows[0]["pareto"]
    assert "dollars" not in rows[1]["pareto"]
