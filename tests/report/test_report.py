"""Reports show what a comparison holds: nothing cut, nothing invented, unknown and assumed marked."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
from rich.console import Console

import chipmeter as cm
from chipmeter.comparison import Comparison
from chipmeter.report import comparison
from chipmeter.report.numbers import decibels, si, significant


@pytest.fixture(scope="module")
def result() -> Comparison:
    return cm.compare("gpt2", chips=["h100", "trn2", "trn3", "mi355x"], formats=["bf16", "mxfp8", "nvfp4"], layers=1)


def text_of(result: Comparison, width: int = 128) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(comparison.table(result))
    return console.export_text()


def test_table_has_a_row_per_chip_and_format_and_cuts_nothing(result: Comparison) -> None:
    text = text_of(result)
    assert "…" not in text
    body = text.split("Error:")[0]
    for name in ("h100_sxm", "trn2", "trn3", "mi355x"):
        assert name in body
    assert body.count("bf16") == 4
    assert "no nvfp4 matrix rate" in text


def test_unknown_prices_and_powers_say_so(result: Comparison) -> None:
    line = next(line for line in text_of(result).splitlines() if line.startswith(" trn3"))
    assert line.count("unknown") == 2


def test_a_price_of_another_kind_is_starred(result: Comparison) -> None:
    text = text_of(result)
    assert "* no public on-demand price: capacity-block." in text
    assert "*" in next(line for line in text.splitlines() if line.startswith(" trn2"))


def test_chips_without_an_emulation_show_no_error(result: Comparison) -> None:
    row = next(r for r in comparison.data(result)["rows"] if r["chip"] == "mi355x")
    assert row["unit"] is None
    assert row["sqnr_db"] is None


def test_synthetic_data_is_named(result: Comparison) -> None:
    assert "synthetic weights" in text_of(result)


def test_json_is_plain_and_round_trips(result: Comparison) -> None:
    data = comparison.data(result)
    assert json.loads(msgspec.json.encode(data)) == data
    assert data["synthetic"] is True
    assert {row["work_unit"] for row in data["rows"]} == {"token"}


def test_csv_has_the_rows_of_the_json(result: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison.csv_text(result))))
    data = comparison.data(result)["rows"]
    assert [r["chip"] for r in rows] == [r["chip"] for r in data]
    assert [float(r["seconds_per_unit"]) for r in rows] == [r["seconds_per_unit"] for r in data]
    assert rows[-1]["joules_per_unit"] == (
        "" if data[-1]["joules_per_unit"] is None else str(data[-1]["joules_per_unit"])
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(999.4, "999 s"), (999.6, "1.00 ks"), (1e-15, "0.00100 ps"), (0.00099951, "1.00 ms"), (-2.5e6, "-2.50 Ms")],
)
def test_si_prefixes_at_their_edges(value: float, text: str) -> None:
    assert si(value, "s") == text


def test_numbers_keep_three_digits() -> None:
    assert [significant(v) for v in (0.0123456, 9.999, 99.99, 0.0)] == ["0.0123", "10.0", "100", "0"]
    assert decibels(float("nan")) == "nan"
