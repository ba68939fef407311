"""`chipmeter collective` prints the curve with the algorithm chosen at each size, as a table, as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chipmeter.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["collective", *arguments])


def test_a_curve_names_the_algorithm_at_each_size() -> None:
    done = run("all_reduce", "--system", "p5.48xlarge", "--size", "8:8G", "--json")
    assert done.exit_code == 0, done.output
    curve = json.loads(done.output)
    assert [t["bytes"] for t in curve] == [2**k for k in range(3, 34)]
    assert (curve[0]["algorithm"], curve[0]["protocol"]) == ("ring", "LL")
    assert curve[-1]["algorithm"] == "nvls"
    assert all(t["low"] < t["seconds"] < t["high"] for t in curve)
    assert curve[0]["ranks"] == 8


def test_the_table() -> None:
    done = run("all_gather", "--system", "trn1.32xlarge", "--size", "1K:1G:1024", "--ranks", "8", "--algorithm", "ring")
    assert done.exit_code == 0, done.output
    assert "all_gather on 8 ranks of trn1.32xlarge" in done.output
    for cell in ("1K", "1M", "1G", "ring Simple", "evidence: "):
        assert cell in done.output


def test_the_page(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    file = tmp_path / "c.html"
    done = run("all_reduce", "--system", "h200", "--size", "1K:1G:32", "--report", str(file))
    assert done.exit_code == 0, done.output
    text = file.read_text()
    assert "all_reduce on 8 ranks of h200" in text
    assert "nvls Simple" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("all_redce", "--system", "h100"), "did you mean 'all_reduce'"),
        (("all_reduce", "--system", "h10"), "unknown system 'h10'"),
        (("all_reduce", "--system", "h100", "--ranks", "1"), "at least 2 ranks, got 1"),
        (("all_reduce", "--system", "h100", "--ranks", "0"), "at least 2 ranks, got 0"),
        (("all_reduce", "--system", "h100", "--algorithm", "rings"), "did you mean 'ring'"),
        (("all_reduce", "--system", "t4", "--ranks", "9"), "no path between 9 ranks of t4"),
        (("all_reduce", "--system", "h100", "--size", "0"), "at least 1"),
        (("all_reduce", "--system", "h100", "--size", "8:4"), "not smaller"),
        (("all_reduce", "--system", "h100", "--size", "1:8G:1"), "factor of 2 or more"),
        (("all_reduce", "--system", "h100", "--size", "1:8:2:2"), "FROM:TO:FACTOR"),
        (("all_reduce", "--system", "h100", "--size", "many"), "expected a size such as"),
        (("all_reduce", "--system", "h100", "--size", "1:99999999999999999999999T"), "more than 64 sizes"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output.replace("\n", " ")
